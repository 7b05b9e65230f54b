//! Patterns of names and keys, in which a star matches any characters.

/// Returns true if `value` equals `pattern`, in which each `*` matches any run of characters.
pub fn matches_pattern(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| value.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("monitoring", "monitoring", true),
            ("monitoring", "monitoring-2", false),
            ("istio-*", "istio-system", true),
            ("istio-*", "istio", false),
            ("*-system", "cert-system", true),
            ("*-system", "cert-systems", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} against {name}");
        }
    }
}
