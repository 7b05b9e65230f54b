//! The keys of labels and annotations that no space may set, whatever its class allows.

use crate::api::names;

/// Domains, with their subdomains, whose keys control the cluster, its policies, its networks, its tenancy, or the
/// accounts of a cloud, and the operator's own domain.
pub(crate) const RESERVED_DOMAINS: [&str; 21] = [
    "kubernetes.io",
    "k8s.io",
    names::GROUP,
    "openshift.io",
    "istio.io",
    "linkerd.io",
    "cilium.io",
    "projectcalico.org",
    "kuma.io",
    "consul.hashicorp.com",
    "kyverno.io",
    "gatekeeper.sh",
    "openpolicyagent.org",
    "x-k8s.io",
    "cattle.io",
    "amazonaws.com",
    "cloud.google.com",
    "ovn.org",
    "clastix.io",
    "antrea.io",
    "tigera.io",
];

/// Reserved keys without a domain.
pub(crate) const RESERVED_KEYS: [&str; 1] = ["istio-injection"];

/// Returns true if a space's own labels and annotations may never use `key`, whatever its class allows.
pub(crate) fn is_reserved_key(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return RESERVED_KEYS.contains(&key) };
    RESERVED_DOMAINS.iter().any(|reserved| domain == *reserved || domain.ends_with(&format!(".{reserved}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admission_policy_has_the_same_reserved_keys() {
        let policy = include_str!("../../config/policy/bounds.yaml");
        let list = |words: &[&str]| {
            format!("[{}]", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "))
        };
        for words in [&RESERVED_DOMAINS[..], &RESERVED_KEYS] {
            assert!(policy.contains(&list(words)), "config/policy/bounds.yaml lacks {}", list(words));
        }
    }

    #[test]
    fn reserved_keys_cover_subdomains() {
        for (key, reserved) in [
            ("pod-security.kubernetes.io/enforce", true),
            ("kubernetes.io/metadata.name", true),
            ("developerspace.dev/space", true),
            ("sub.k8s.io/x", true),
            ("istio-injection", true),
            ("linkerd.io/inject", true),
            ("policies.kyverno.io/x", true),
            ("example.com/tier", false),
            ("notkubernetes.io/x", false),
            ("tier", false),
        ] {
            assert_eq!(is_reserved_key(key), reserved, "{key}");
        }
    }
}
