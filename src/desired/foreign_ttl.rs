//! The notations of other tools for a time to live. Each text is parsed as its tool parses it, and refused if that tool
//! refuses it.

use chrono::TimeDelta;

/// A time to live of kube-janitor: one whole number and one unit, see `TTL_PATTERN` in its `helper.py`.
pub(crate) fn janitor(text: &str) -> Option<TimeDelta> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let length = unit_length(unit).filter(|_| is_number && matches!(unit, "s" | "m" | "h" | "d" | "w"))?;
    span(number.parse::<i128>().ok()?.checked_mul(length)?)
}

/// A time to live of k8s-ttl-controller, which reads it with <https://pkg.go.dev/github.com/xhit/go-str2duration/v2>:
/// Go's grammar of durations with days and weeks. A sequence of decimal numbers, each with a unit, in any order, such
/// as `1.5h`, `90m` or `2d12h`.
pub(crate) fn go(text: &str) -> Option<TimeDelta> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanoseconds: i128 = 0;
    while !rest.is_empty() {
        let (number, tail) = split_where(rest, |char| !is_numeric(char));
        let (unit, tail) = split_where(tail, is_numeric);
        nanoseconds = nanoseconds.checked_add(part(number, unit_length(unit)?)?)?;
        rest = tail;
    }
    span(nanoseconds)
}

fn is_numeric(char: char) -> bool {
    char.is_ascii_digit() || char == '.'
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

/// `number` times `length`; digits are needed on one side of the point at least. Nothing is finer than a billionth of a
/// unit.
fn part(number: &str, length: i128) -> Option<i128> {
    const DECIMALS: usize = 9;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(DECIMALS).collect();
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(length)?.checked_add(digits.parse::<i128>().ok()?.checked_mul(length)? / 1_000_000_000)
}

fn unit_length(unit: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    Some(match unit {
        "ns" => 1,
        // U+00B5, the micro sign, and U+03BC, the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        "w" => 604_800 * SECOND,
        _ => return None,
    })
}

/// A span that deletes at once, or that Go's 64 bits cannot hold, is refused as a mistake.
fn span(nanoseconds: i128) -> Option<TimeDelta> {
    i64::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds > 0).map(TimeDelta::nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_parsed_with_days_and_weeks() {
        const HOUR: f64 = 3_600.0;
        for (text, seconds) in [
            ("1.5h", 1.5 * HOUR),
            ("90m", 1.5 * HOUR),
            ("1h30m", 1.5 * HOUR),
            ("2d12h", 60.0 * HOUR),
            ("1w", 168.0 * HOUR),
            ("+1w2d", 216.0 * HOUR),
            (".5d", 12.0 * HOUR),
            ("1.d", 24.0 * HOUR),
            ("30m1h", 1.5 * HOUR),
            ("1h1h", 2.0 * HOUR),
            ("300ms", 0.3),
            ("2us", 2e-6),
            ("2\u{b5}s", 2e-6),
            ("2\u{3bc}s", 2e-6),
            ("1ns", 1e-9),
            ("0.1234567891s", 0.123_456_789),
        ] {
            let nanoseconds = go(text).and_then(|span| span.num_nanoseconds());
            #[allow(clippy::cast_possible_truncation, reason = "a table of small numbers")]
            let expected = Some((seconds * 1e9).round() as i64);
            assert_eq!(nanoseconds, expected, "{text}");
        }
    }

    #[test]
    fn durations_that_the_tool_refuses_are_refused() {
        for text in [
            "",
            "+",
            "-1",
            "-1h",
            "1",
            "0",
            "0s",
            "1H",
            "1D",
            "6M",
            "1 h",
            "h",
            ".",
            ".h",
            "1.2.3h",
            "1y",
            "1mo",
            "1h30",
            "99999999w",
            "1\u{fc}",
        ] {
            assert_eq!(go(text), None, "{text:?}");
        }
    }

    #[test]
    fn kube_janitor_durations_have_one_number_and_one_unit() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("8h", 28_800), ("7d", 604_800), ("2w", 1_209_600)] {
            assert_eq!(janitor(text), Some(TimeDelta::seconds(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "-1",
            "7",
            "0d",
            "6M",
            "7D",
            "1d12h",
            "1.5h",
            "+7d",
            " 7d",
            "7d ",
            "7\u{fc}",
            "nonsense",
            "99999999999999999999w",
        ] {
            assert_eq!(janitor(text), None, "{text:?}");
        }
    }
}
