//! The length of sentences that contain texts of other programs.

/// `text`, cut between two characters to at most `longest` bytes, with a mark where it was cut.
pub fn shorten(text: &str, longest: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}{ELLIPSIS}", start_of(text, longest.saturating_sub(ELLIPSIS.len())))
}

/// The start of `text`: its whole characters within the first `longest` bytes.
pub fn start_of(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

/// The first `most` of `all`, and the number of the others, including `unread` ones that are not in `all`.
pub fn some_of(all: &[String], most: usize, unread: usize) -> String {
    let named = all.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(most).saturating_add(unread);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_ends_with_an_ellipsis() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("shorter", 6), "sho…");
        let cut = shorten(&"é".repeat(1_000), 1_024);
        assert!(cut.len() <= 1_024 && cut.trim_end_matches('…').chars().all(|c| c == 'é'), "{cut}");
        assert_eq!(shorten("é", 1), "…");
        assert_eq!([start_of("aé", 3), start_of("aé", 2), start_of("aé", 0), start_of("aé", 9)], ["aé", "a", "", "aé"]);
    }

    #[test]
    fn the_first_items_are_named_and_the_others_counted() {
        let all = ["fern", "moss", "oak"].map(String::from);
        assert_eq!(some_of(&all, 3, 0), "fern, moss, oak");
        assert_eq!(some_of(&all, 2, 40), "fern, moss and 41 more");
    }
}
