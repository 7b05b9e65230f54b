//! Formats times, amounts, and words for human readers and for shells.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::duration::format_duration;

/// The two largest units of a span: `3d4h`, `12m30s`, `0s`.
pub(crate) fn short_duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().max(0);
    let unit = [(86_400, 3_600), (3_600, 60), (60, 1)].into_iter().find(|(large, _)| seconds >= *large);
    let small = unit.map_or(1, |(_, small)| small);
    format_duration(TimeDelta::seconds(seconds - seconds % small))
}

/// `in 3d4h`, `2h ago`.
pub(crate) fn from_now(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    if at >= now { format!("in {}", short_duration(at - now)) } else { format!("{} ago", short_duration(now - at)) }
}

/// The time until a space ends: `in 3d4h`, `never`.
pub(crate) fn expiry(now: DateTime<Utc>, at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| from_now(now, at))
}

/// A bar of ten characters and the percentage: `[####......]  40%`. A share above 100% is a full bar.
pub(crate) fn bar(share: f64) -> String {
    const WIDTH: usize = 10;
    let tenths = (share.clamp(0.0, 1.0) * 10.0).round();
    // A share above 0 fills at least one character.
    let filled = (0..=WIDTH)
        .find(|&n| f64::from(u8::try_from(n).unwrap_or(u8::MAX)) >= tenths)
        .unwrap_or(WIDTH)
        .max(usize::from(share > 0.0));
    format!("[{}{}] {:>3.0}%", "#".repeat(filled), ".".repeat(WIDTH - filled), share.max(0.0) * 100.0)
}

/// The text without line breaks and control characters: other users write much of it, and terminals interpret some
/// control characters.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with a replacement character for each control character that a terminal interprets and for each character
/// that changes the text direction: other users write much of the text.
pub(crate) fn printable(text: &str) -> String {
    let rules = |letter: char| {
        let directs =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        directs || (letter.is_control() && !"\n\t".contains(letter))
    };
    text.replace(rules, "\u{fffd}")
}

/// Quotes a word for a shell, if necessary. In a quoted word, an empty string follows `kubectl`: a shell ignores it,
/// and without it `Flags::on` could insert flags, whose own quotes would end the word.
pub(crate) fn shell_quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''").replace("kubectl", "kubectl''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3_600, "1h"),
            (3_661, "1h1m"),
            (273_600, "3d4h"),
            (273_659, "3d4h"),
            (-5, "0s"),
        ] {
            assert_eq!(short_duration(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn an_expiry_is_relative_to_the_current_time() {
        let now: DateTime<Utc> = "2026-11-24T09:00:00Z".parse().unwrap();
        assert_eq!(expiry(now, None), "never");
        assert_eq!(expiry(now, Some(now + TimeDelta::hours(76))), "in 3d4h");
        assert_eq!(expiry(now, Some(now - TimeDelta::minutes(2))), "2m ago");
    }

    #[test]
    fn bars_show_tenths() {
        assert_eq!(bar(0.0), "[..........]   0%");
        assert_eq!(bar(0.01), "[#.........]   1%");
        assert_eq!(bar(0.4), "[####......]  40%");
        assert_eq!(bar(1.0), "[##########] 100%");
        assert_eq!(bar(2.5), "[##########] 250%");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(
            printable("edit\u{1b}[2J\u{202e}b\r\nfamily \u{1f469}\u{200d}\u{1f4bb}"),
            "edit\u{fffd}[2J\u{fffd}b\u{fffd}\nfamily \u{1f469}\u{200d}\u{1f4bb}"
        );
    }

    #[test]
    fn a_quoted_word_is_one_word_for_a_shell() {
        for (word, typed) in [
            ("User:nadia@example.com", "User:nadia@example.com"),
            ("two words", "'two words'"),
            ("o'neill", r"'o'\''neill'"),
            ("", "''"),
            ("kubectl", "kubectl"),
            ("run kubectl get", "'run kubectl'' get'"),
            ("kubectl '", r"'kubectl'' '\'''"),
        ] {
            assert_eq!(shell_quoted(word), typed);
            let printed =
                std::process::Command::new("sh").args(["-c", &format!("printf %s {typed}")]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), word);
        }
    }
}
