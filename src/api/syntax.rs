//! The syntax that the API server accepts for names, for keys of labels and annotations, and for values of labels.

/// Returns true if `value` may be the value of a label: at most 63 characters, alphanumeric at both ends,
/// see <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= 63 && is_name_segment(value))
}

/// Returns true if `key` may be the key of a label or an annotation: an optional DNS prefix and a name of at most 63
/// characters.
pub fn is_qualified_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_ok = prefix.is_none_or(|p| p.len() <= 253 && p.split('.').all(is_dns_label));
    prefix_ok && !name.is_empty() && name.len() <= 63 && is_name_segment(name)
}

/// Returns true if `name` is an RFC 1123 label: lower-case alphanumerics and `-`, at most 63 characters.
pub fn is_dns_label(name: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if alnum(first) && alnum(last))
        && bytes.len() <= 63
        && bytes.iter().all(|&b| alnum(b) || b == b'-')
}

fn is_name_segment(value: &str) -> bool {
    let bytes = value.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_and_keys_follow_the_server() {
        for (value, ok) in
            [("payments", true), ("Payments_2.0-x", true), ("", true), ("-a", false), ("a b", false), ("ä", false)]
        {
            assert_eq!(is_label_value(value), ok, "{value:?}");
        }
        assert!(!is_label_value(&"a".repeat(64)));
        for (key, ok) in [
            ("example.com/tier", true),
            ("tier", true),
            ("Example.com/tier", false),
            ("/tier", false),
            ("a/b/c", false),
            ("", false),
        ] {
            assert_eq!(is_qualified_key(key), ok, "{key:?}");
        }
    }
}
