//! Error texts in the operator's conditions. A status is not written again for parts of a text that differ at each
//! attempt.

/// The beginning of the condition of a space whose deletion is refused.
pub(crate) const DELETION_WAITS: &str = "the deletion of this DeveloperSpace waits: ";

/// Returns true if two sentences about a failure are the same, except for parts that an API server, a resolver or a
/// webhook changes each time: addresses and ports, times and durations, identifiers. The action before the first colon
/// names the operator's own objects and counts as written.
pub(crate) fn is_same_message(one: &str, other: &str) -> bool {
    one == other || normalised(one).eq(normalised(other))
}

fn normalised(sentence: &str) -> impl Iterator<Item = &str> {
    let (action, reason) = sentence.split_once(": ").unwrap_or((sentence, ""));
    // A word with a digit may differ the next time, and so may a hexadecimal number that happens to have none.
    let steady = |word: &&str| {
        !word.bytes().any(|byte| byte.is_ascii_digit()) && !is_identifier(word) && !SYSTEM_CALLS.contains(word)
    };
    std::iter::once(action).chain(reason.split_whitespace().filter(steady))
}

/// The system calls that Go's net package names (<https://pkg.go.dev/net#OpError>): a connection that is reset fails in
/// any of them.
const SYSTEM_CALLS: [&str; 7] = ["dial", "connect:", "read", "read:", "write", "write:", "tcp"];

/// Sixteen hexadecimal digits or more, as trace identifiers and hashes have.
fn is_identifier(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_differ_only_in_changing_parts_are_the_same() {
        const ACTION: &str = "failed to create ResourceQuota developerspace in orchid-lab: ";
        for (one, other) in [
            (
                "read tcp 10.42.0.1:52144->10.42.0.17:9443: read: connection reset by peer",
                "read tcp 10.42.0.1:61022->10.42.0.17:9443: read: connection reset by peer",
            ),
            (
                "lookup quota-check.svc: read udp 10.42.0.1:41231->10.43.0.10:53: i/o timeout",
                "lookup quota-check.svc: read udp 10.42.0.1:1->10.43.0.10:53: i/o timeout",
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-11-26T10:00:01Z is after 2026-11-01T00:00:00Z",
                "x509: certificate has expired or is not yet valid: current time 2026-11-26T10:31:59Z is after 2026-11-01T00:00:00Z",
            ),
            (
                "dial tcp 127.0.0.1:38945: connect: connection reset by peer",
                "write tcp 127.0.0.1:44876->127.0.0.1:38945: write: connection reset by peer",
            ),
            ("timed out after 9.99s, request deadbeefdeadbeef", "timed out after 1m2.5s, request cafecafecafecafecafe"),
            (
                "dial tcp [fd00::1]:9443: connect: connection refused",
                "dial tcp [fd00::2a]:9443: connect: connection refused",
            ),
        ] {
            assert!(is_same_message(&format!("{ACTION}{one}"), &format!("{ACTION}{other}")), "{one}\n{other}");
        }
    }

    #[test]
    fn another_action_and_another_refusal_are_different_messages() {
        for (one, other) in [
            (
                "failed to create RoleBinding developerspace-a1 in orchid-lab: no",
                "failed to create RoleBinding developerspace-a2 in orchid-lab: no",
            ),
            (
                "failed to delete namespace orchid-lab: connection refused",
                "failed to delete namespace orchid-lab: connection reset by peer",
            ),
            ("failed to finish within 60s", "failed to finish within 30s"),
        ] {
            assert!(!is_same_message(one, other), "{one}\n{other}");
        }
    }
}
