//! Validation of a `SpaceClass`, so that an administrator sees a mistake at the class and not in each of its spaces.

use std::collections::BTreeSet;

use super::{
    class_quota, credential_lifetime::MIN_LIFETIME, lifetime::rules::LifetimeRules, limit_range, network_policy,
    role_bindings::owner_role,
};
use crate::api::{
    Access, SpaceClassSpec,
    duration::{Ttl, format_duration, parse_duration},
    names, syntax,
};

/// Half of the total size that the API server allows for the annotations of one object, in bytes.
const MAX_ANNOTATION_BYTES: usize = 128 * 1024;

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

fn check_lifetime(class: &SpaceClassSpec) -> Result<(), String> {
    let rules = LifetimeRules::from_class(class)?;
    match (rules.default_ttl, rules.max_ttl) {
        (Some(Ttl::Never), _) if !rules.allow_never => {
            Err("lifetime.defaultTTL is never, which requires lifetime.allowNever: true".into())
        }
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
        Some(role) => Err(format!(
            "{role:?} is not a valid name of a ClusterRole such as edit: change roles[].clusterRole or ownerRole"
        )),
    }
}

/// Refuses a pattern that no name matches. Such a pattern is a mistake, and in `names.denied` it would admit the names
/// that it was written to deny.
fn check_names(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(rules) = &class.names else { return Ok(()) };
    let can_match = |pattern: &str| {
        pattern.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte))
    };
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
            return Err(format!(
                "access.{field}.maxDuration {text} is less than 10m, the minimum of the API server: set 10m or more"
            ));
        }
    }
    Ok(())
}

fn check_metadata(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(metadata) = &class.metadata else { return Ok(()) };
    let size: usize = metadata.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATION_BYTES {
        return Err(format!(
            "metadata.annotations have {size} bytes, and at most {MAX_ANNOTATION_BYTES} are allowed: shorten them"
        ));
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
        Err(format!(
            "metadata.allowedKeys: {pattern:?} is neither a valid key nor a prefix with a star such as example.com/*"
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check_json(value: Value) -> Result<(), String> {
        check(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn valid_classes_are_accepted() {
        for class in [
            json!({}),
            json!({"lifetime": {"defaultTTL": "7d", "maxTTL": "1w"}}),
            json!({"lifetime": {"defaultTTL": "never", "allowNever": true}}),
            json!({"access": {"methods": ["Token"], "certificate": {"maxDuration": "10m"}}}),
            json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 3}}, "metadata": {"allowedKeys": ["example.com/*", "*"]}}),
            json!({"roles": [{"name": "reader", "clusterRole": "system:aggregate-to-view"}]}),
            json!({"names": {"allowed": ["*", "corp", "team-*"], "denied": ["prod", "prod-*", "*-prod", "xn--*"]}}),
        ] {
            assert_eq!(check_json(class.clone()), Ok(()), "{class}");
        }
    }

    #[test]
    fn invalid_classes_are_refused_with_a_message() {
        for (class, says) in [
            (json!({"lifetime": {"defaultTTL": "8d", "maxTTL": "1w"}}), "longer than lifetime.maxTTL"),
            (json!({"lifetime": {"defaultTTL": "never"}}), "allowNever"),
            (
                json!({"access": {"certificate": {"maxDuration": "9m59s"}}}),
                "access.certificate.maxDuration 9m59s is less than 10m",
            ),
            (json!({"access": {"token": {"maxDuration": "1s"}}}), "access.token.maxDuration 1s is less than 10m"),
            (json!({"lifetime": {"warnBefore": ["soon"]}}), "lifetime.warnBefore"),
            (json!({"quota": {"hard": {"cores": 3}}}), "quota.hard cores"),
            (json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 2}}}), "is below 3 in quota.hard"),
            (json!({"limitRange": [{"type": "Container", "min": {"cpu": 3}, "max": {"cpu": 2}}]}), "above"),
            (json!({"metadata": {"labels": {"developerspace.dev/owner": "x"}}}), "written by the operator"),
            (json!({"metadata": {"labels": {"a b": "x"}}}), "is not a valid key"),
            (json!({"network": {"allowFromNamespaces": [{"matchLabels": {"two words": "a"}}]}}), "is not a valid key"),
            (json!({"network": {"allowFromNamespaces": [{"matchLabels": {"a": "-"}}]}}), "is not a valid label value"),
            (
                json!({"network": {"allowFromNamespaces": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}),
                "requires values",
            ),
            (
                json!({"network": {"allowFromNamespaces": [{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}]}}),
                "allows no values",
            ),
            (json!({"metadata": {"allowedKeys": ["a/b/*"]}}), "allowedKeys"),
            (
                json!({"metadata": {"annotations": {"example.com/text": "x".repeat(128 * 1024)}}}),
                "metadata.annotations have",
            ),
            (
                json!({"roles": [{"name": "reader", "clusterRole": "view/edit"}]}),
                "\"view/edit\" is not a valid name of a ClusterRole",
            ),
            (json!({"ownerRole": ".."}), "is not a valid name of a ClusterRole"),
            (json!({"ownerRole": "100%"}), "is not a valid name of a ClusterRole"),
            (json!({"names": {"allowed": ["Team-*"]}}), "names.allowed: \"Team-*\" matches no valid name"),
            (json!({"names": {"denied": ["prod", "prod.*"]}}), "names.denied: \"prod.*\" matches no valid name"),
            (json!({"names": {"denied": ["-prod"]}}), "names.denied: \"-prod\""),
        ] {
            let sentence = check_json(class.clone()).unwrap_err();
            assert!(sentence.contains(says), "{class}: {sentence}");
        }
    }
}
