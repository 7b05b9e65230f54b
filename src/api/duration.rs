//! The duration grammar of `ttl` and similar fields: `30m`, `7d`, `1d12h`, `2w`, and the explicit `never`.

use std::{fmt, str::FromStr, time::Duration};

use chrono::TimeDelta;

/// Units, largest first, with their length in seconds. A day is 24 hours, a week is 7 days.
const UNITS: [(char, i64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest duration that is accepted: a thousand years, well within the range of a timestamp.
const MAX_SECONDS: i64 = 1_000 * 366 * 86_400;

/// A time to live: a positive span, or no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// `never` or `forever`.
    Never,
    /// A positive number of seconds.
    After(TimeDelta),
}

/// A duration on a command line, in the grammar of `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// The error for a text that is not a duration. Its sentence is shown to the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration: write whole numbers with units, largest first, such as 30m, 7d, 1d12h or 2w{hint}"
)]
pub struct DurationError {
    text: String,
    hint: &'static str,
}

impl Ttl {
    /// The span, unless it is [`Ttl::Never`].
    pub fn span(self) -> Option<TimeDelta> {
        match self {
            Self::Never => None,
            Self::After(span) => Some(span),
        }
    }
}

impl FromStr for Ttl {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" | "forever" => Ok(Self::Never),
            _ => parse_duration(text).map(Self::After),
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = parse_duration(text).map_err(|error| error.to_string())?;
        span.to_std().map(Self).map_err(|error| error.to_string())
    }
}

/// Reads one or more of `<int>w <int>d <int>h <int>m <int>s`, largest unit first, without spaces, more than zero.
pub fn parse_duration(text: &str) -> Result<TimeDelta, DurationError> {
    let fail = |hint| DurationError { text: text.chars().take(40).collect(), hint };
    let mut seconds: i64 = 0;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next().ok_or_else(|| fail(" (the unit is missing)"))?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(|| fail(""))?;
        let number: i64 = number.parse().map_err(|_| fail(""))?;
        seconds = number
            .checked_mul(*length)
            .and_then(|part| seconds.checked_add(part))
            .filter(|sum| *sum <= MAX_SECONDS)
            .ok_or_else(|| fail(" (it is longer than 1000 years; use never if that is allowed)"))?;
        rest = &tail[unit.len_utf8()..];
    }
    if seconds == 0 {
        return Err(fail(" (it must be more than zero)"));
    }
    Ok(TimeDelta::seconds(seconds))
}

/// Writes a span in the grammar, largest units first; whole seconds, rounded down, `0s` when there is none.
pub fn format_duration(span: TimeDelta) -> String {
    let mut seconds = span.num_seconds().max(0);
    let mut text = String::new();
    for (name, length) in UNITS.iter().filter(|(name, _)| *name != 'w') {
        if seconds >= *length {
            text.push_str(&(seconds / length).to_string());
            text.push(*name);
            seconds %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(span) => f.write_str(&format_duration(*span)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_the_grammar() {
        for (text, seconds) in [
            ("30m", 1_800),
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("2w", 1_209_600),
            ("1w1d1h1m1s", 694_861),
            ("90s", 90),
            ("0d5m", 300),
        ] {
            assert_eq!(text.parse(), Ok(Ttl::After(TimeDelta::seconds(seconds))), "{text}");
        }
        assert_eq!("never".parse(), Ok(Ttl::Never));
        assert_eq!("forever".parse(), Ok(Ttl::Never));
    }

    #[test]
    fn rejects_everything_else() {
        for text in [
            "",
            "0",
            "7",
            "-1d",
            "0s",
            "0d0h",
            "1x",
            "1h1d",
            "1d1d",
            "1 d",
            "1.5h",
            "d",
            "NEVER",
            "1D",
            "99999999999d",
            "+1d",
            "１d",
            "9223372036854775807w",
            "1d ",
            "∞",
        ] {
            assert!(text.parse::<Ttl>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_formatted_duration_parses_to_the_same_value(seconds in 1..MAX_SECONDS) {
            let span = TimeDelta::seconds(seconds);
            prop_assert_eq!(parse_duration(&format_duration(span)), Ok(span));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Ttl>();
        }
    }
}
