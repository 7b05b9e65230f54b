//! Names that look alike: to Kubernetes, the composed and the decomposed form of the same letters are different names.

/// A warning about a name that contains combining marks.
pub(crate) fn combining_characters_warning(name: &str) -> Option<String> {
    name.chars().any(is_combining).then(|| {
        format!(
            "{name} contains combining characters. It looks like the name in composed characters, but Kubernetes treats them as different \
            names: compare it byte for byte with the output of `kubectl auth whoami`."
        )
    })
}

/// The blocks of combining marks, see <https://www.unicode.org/charts/>.
fn is_combining(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_combining_characters_causes_a_warning() {
        assert_eq!(combining_characters_warning("User:jürgen@example.com"), None);
        assert!(
            combining_characters_warning("User:ju\u{308}rgen@example.com")
                .is_some_and(|warning| warning.starts_with("User:ju\u{308}rgen@example.com contains"))
        );
    }
}
