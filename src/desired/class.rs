//! Validation of a `SpaceClass`, so that an administrator sees a mistake at the class and not in each of its spaces.

use std::collections::BTreeSet;

use super::{
    class_quota, credential_lifetime::MIN_LIFETIME, lifetime::rules::Rules, limit_range, network_policy, role_bindings::owner_role,
};
use crate::api::{
    Access, SpaceClassSpec,
    duration::{Ttl, format_duration, parse_duration},
    names, syntax,
};

/// Half of the total size that the API server allows for the annotations of one object, in bytes.
const MOST_ANNOTATIONS: usize = 128 * 1024;

/// Validates the spec. The error is a sentence that names the field and the correction.
pub fn check(class: &SpaceClassSpec) -> Result<(), String> {
    check_lifetime(class)?;
    let hard = class.quota.as_ref().map(|quota| quota.hard.clone()).unwrap_or_default();
    class_quota::check(class)?;
    limit_range::complete(&class.limit_range, &hard)?;
    network_policy::check(&class.network)?;
    check_access(class)?;
    check_roles(class)?;
    check_names(class)?;
    check_metadata(class)
}

/// The ClusterRoles that the operator must be allowed to bind.
pub fn cluster_roles(class: &SpaceClassSpec) -> BTreeSet<String> {
    let roles = class.roles.iter().map(|role| role.cluster_role.clone());
    roles.chain([owner_role(class).to_owned()]).collect()
}

/// Domains, with their subdomains, whose keys control the cluster, its policies, its networks, its tenancy, or the accounts of a cloud, and the
/// operator's own domain.
pub const RESERVED_DOMAINS: [&str; 21] = [
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
pub const RESERVED_KEYS: [&str; 1] = ["istio-injection"];

/// Returns true if a space's own labels and annotations may never use `key`, whatever its class allows.
pub fn is_reserved(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return RESERVED_KEYS.contains(&key) };
    RESERVED_DOMAINS.iter().any(|reserved| domain == *reserved || domain.ends_with(&format!(".{reserved}")))
}

fn check_lifetime(class: &SpaceClassSpec) -> Result<(), String> {
    let rules = Rules::of(class)?;
    match (rules.default_ttl, rules.max_ttl) {
        (Some(Ttl::Never), _) if !rules.allow_never => Err("lifetime.defaultTTL is never, which requires lifetime.allowNever: true".into()),
        (Some(Ttl::After(default)), Some(max)) if default > max => Err(format!(
            "lifetime.defaultTTL {} is longer than lifetime.maxTTL {}: shorten defaultTTL or lengthen maxTTL",
            format_duration(default),
            format_duration(max)
        )),
        _ => Ok(()),
    }
}

/// Validates the names of ClusterRoles. The API server only requires that such a name can be one part of a path.
fn check_roles(class: &SpaceClassSpec) -> Result<(), String> {
    let cannot_be = |role: &String| matches!(role.as_str(), "." | "..") || role.contains(['/', '%']);
    match cluster_roles(class).into_iter().find(cannot_be) {
        None => Ok(()),
        Some(role) => Err(format!("{role:?} is not a valid name of a ClusterRole such as edit: change roles[].clusterRole or ownerRole")),
    }
}

/// Refuses a pattern that no name matches. Such a pattern is a mistake, and in `names.denied` it would admit the names that it was written to deny.
fn check_names(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(rules) = &class.names else { return Ok(()) };
    let can_match = |pattern: &str| pattern.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte));
    let edges = |pattern: &str| !pattern.starts_with('-') && !pattern.ends_with('-');
    for (field, patterns) in [("allowed", &rules.allowed), ("denied", &rules.denied)] {
        if let Some(pattern) = patterns.iter().find(|pattern| !can_match(pattern) || !edges(pattern)) {
            return Err(format!(
                "names.{field}: {pattern:?} matches no valid name of a space (lower-case letters, digits, and dashes between them): use for example prod or prod-*"
            ));
        }
    }
    Ok(())
}

/// Refuses a `maxDuration` for which the API server issues no credential.
fn check_access(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(Access { methods: _, certificate, oidc: _, token, server: _ }) = &class.access else { return Ok(()) };
    let certificate = certificate.as_ref().and_then(|certificate| certificate.max_duration.as_deref());
    let token = token.as_ref().and_then(|token| token.max_duration.as_deref());
    for (field, text) in [("certificate", certificate), ("token", token)] {
        let Some(text) = text else { continue };
        let span = parse_duration(text).map_err(|error| format!("access.{field}.maxDuration: {error}"))?;
        if span < MIN_LIFETIME {
            return Err(format!("access.{field}.maxDuration {text} is less than 10m, the minimum of the API server: set 10m or more"));
        }
    }
    Ok(())
}

fn check_metadata(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(metadata) = &class.metadata else { return Ok(()) };
    let size: usize = metadata.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MOST_ANNOTATIONS {
        return Err(format!("metadata.annotations have {size} bytes, and at most {MOST_ANNOTATIONS} are allowed: shorten them"));
    }
    for (field, keys) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
        for key in keys.keys() {
            if !syntax::is_qualified_key(key) {
                return Err(format!("metadata.{field}: {key:?} is not a valid key such as example.com/tier"));
            }
            if key == names::LABEL_NAMESPACE_NAME
                || key == names::LABEL_MANAGED_BY
                || key.starts_with(names::POD_SECURITY_PREFIX)
                || key.starts_with(names::PREFIX)
            {
                return Err(format!(
                    "metadata.{field}: {key} is written by the operator or the API server; use podSecurity for Pod Security levels"
                ));
            }
        }
    }
    let bad = metadata.allowed_keys.iter().find(|pattern| !syntax::is_qualified_key(&pattern.replace('*', "x")));
    bad.map_or(Ok(()), |pattern| {
        Err(format!("metadata.allowedKeys: {pattern:?} is neither a valid key nor a prefix with a star such as example.com/*"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judge(value: Value) -> Result<(), String> {
        check(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn sensible_classes_pass() {
        for class in [
            json!({}),
            json!({"lifetime": {"defaultTTL": "7d", "maxTTL": "1w"}}),
            json!({"lifetime": {"defaultTTL": "never", "allowNever": true}}),
            json!({"access": {"methods": ["Token"], "certificate": {"maxDuration": "10m"}}}),
            json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 3}}, "metadata": {"allowedKeys": ["example.com/*", "*"]}}),
            json!({"roles": [{"name": "reader", "clusterRole": "system:aggregate-to-view"}]}),
            json!({"names": {"allowed": ["*", "corp", "team-*"], "denied": ["prod", "prod-*", "*-prod", "xn--*"]}}),
        ] {
            assert_eq!(judge(class.clone()), Ok(()), "{class}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (class, says) in [
            (json!({"lifetime": {"defaultTTL": "8d", "maxTTL": "1w"}}), "longer than lifetime.maxTTL"),
            (json!({"lifetime": {"defaultTTL": "never"}}), "allowNever"),
            (json!({"access": {"certificate": {"maxDuration": "9m59s"}}}), "access.certificate.maxDuration 9m59s is less than 10m"),
            (json!({"access": {"token": {"maxDuration": "1s"}}}), "access.token.maxDuration 1s is less than 10m"),
            (json!({"lifetime": {"warnBefore": ["soon"]}}), "lifetime.warnBefore"),
            (json!({"quota": {"hard": {"cores": 3}}}), "quota.hard cores"),
            (json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 2}}}), "is below 3 in quota.hard"),
            (json!({"limitRange": [{"type": "Container", "min": {"cpu": 3}, "max": {"cpu": 2}}]}), "above"),
            (json!({"metadata": {"labels": {"developerspace.dev/owner": "x"}}}), "written by the operator"),
            (json!({"metadata": {"labels": {"a b": "x"}}}), "is not a valid key"),
            (json!({"network": {"allowFromNamespaces": [{"matchLabels": {"two words": "a"}}]}}), "is not a valid key"),
            (json!({"network": {"allowFromNamespaces": [{"matchLabels": {"a": "-"}}]}}), "is not a valid label value"),
            (json!({"network": {"allowFromNamespaces": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}), "requires values"),
            (
                json!({"network": {"allowFromNamespaces": [{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}]}}),
                "allows no values",
            ),
            (json!({"metadata": {"allowedKeys": ["a/b/*"]}}), "allowedKeys"),
            (json!({"metadata": {"annotations": {"example.com/text": "x".repeat(128 * 1024)}}}), "metadata.annotations have"),
            (json!({"roles": [{"name": "reader", "clusterRole": "view/edit"}]}), "\"view/edit\" is not a valid name of a ClusterRole"),
            (json!({"ownerRole": ".."}), "is not a valid name of a ClusterRole"),
            (json!({"ownerRole": "100%"}), "is not a valid name of a ClusterRole"),
            (json!({"names": {"allowed": ["Team-*"]}}), "names.allowed: \"Team-*\" matches no valid name"),
            (json!({"names": {"denied": ["prod", "prod.*"]}}), "names.denied: \"prod.*\" matches no valid name"),
            (json!({"names": {"denied": ["-prod"]}}), "names.denied: \"-prod\""),
        ] {
            let sentence = judge(class.clone()).unwrap_err();
            assert!(sentence.contains(says), "{class}: {sentence}");
        }
    }

    #[test]
    fn the_policy_knows_the_same_reserved_keys() {
        let policy = include_str!("../../config/policy/bounds.yaml");
        let list = |words: &[&str]| format!("[{}]", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "));
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
            assert_eq!(is_reserved(key), reserved, "{key}");
        }
    }
}
