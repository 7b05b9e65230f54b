//! The `ResourceQuota`, and which keys and values the API server would take in one.

use std::{cmp::Ordering, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::api::resource::Quantity as K8sQuantity,
};
use serde_json::{Value, json};

use super::{Refusal, children::child_metadata};
use crate::api::{ClassQuota, conditions::Reason, names, quantity::Quantity};

/// Resources that a quota can name without a domain, see `IsStandardQuotaResourceName` in `k8s.io/kubernetes/pkg/apis/core/helper`.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Of [`STANDARD`], those that count objects.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resource name to limit.
pub type Hard = BTreeMap<String, Quantity>;

/// The quota of a namespace with these limits; none without limits.
pub(super) fn build(hard: &Hard, labels: &BTreeMap<String, String>) -> Option<ResourceQuota> {
    (!hard.is_empty()).then(|| ResourceQuota {
        metadata: child_metadata(names::CHILD, labels),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    })
}

/// (content, identity) for comparison: quantities by value, as the server rewrites them; scopes are immutable.
pub(super) fn comparable(quota: &ResourceQuota) -> (Value, Value) {
    let Some(ResourceQuotaSpec { hard, scope_selector, scopes }) = &quota.spec else {
        return (Value::Null, Value::Null);
    };
    let hard: BTreeMap<&String, String> = hard.iter().flatten().map(|(key, value)| (key, Quantity::from(value).key())).collect();
    (json!(hard), json!([scope_selector, scopes.as_ref().filter(|scopes| !scopes.is_empty())]))
}

/// Whether admission goes by what the quota says. It compares with `status.hard`, which kube-controller-manager fills in: every key of
/// `spec.hard` has to be there, with a value that is not above it. See
/// <https://kubernetes.io/docs/concepts/policy/resource-quotas/#how-kubernetes-resourcequotas-work>.
pub(super) fn is_in_force(quota: &ResourceQuota) -> bool {
    let counted = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    let limits = quota.spec.iter().filter_map(|spec| spec.hard.as_ref()).flatten();
    limits.into_iter().all(|(key, limit)| {
        let counted = counted.and_then(|counted| counted.get(key)).map(Quantity::from);
        counted.is_some_and(|counted| counted.compare(&limit.into()).is_some_and(Ordering::is_le))
    })
}

/// `wanted` without what it would add to an existing quota: of each key the lower value, and the keys that only `wanted` has. Keys of the
/// existing quota that `wanted` does not have are not in it.
pub(super) fn lower(wanted: &ResourceQuota, existing: &ResourceQuota) -> ResourceQuota {
    let present = existing.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let mut lowered = wanted.clone();
    for (key, value) in lowered.spec.iter_mut().filter_map(|spec| spec.hard.as_mut()).flatten() {
        let is_lower = |present: &&K8sQuantity| Quantity::from(*present).compare(&(&*value).into()).is_some_and(Ordering::is_lt);
        if let Some(present) = present.and_then(|present| present.get(key)).filter(is_lower) {
            *value = present.clone();
        }
    }
    lowered
}

/// The class's limits with the space's overrides, each cut to the class's ceiling, and an objection to each that is above it.
pub fn cut(class: Option<&ClassQuota>, overrides: &Hard) -> (Hard, Vec<Refusal>) {
    let none = ClassQuota::default();
    let class = class.unwrap_or(&none);
    let (mut hard, mut refusals) = (class.hard.clone(), Vec::new());
    for (key, value) in overrides {
        let exceeds = |sentence: String| Refusal::new(Reason::QuotaExceedsClass, format!("spec.quota {key}: {sentence}"));
        let Some(ceiling) = class.max.get(key).or_else(|| class.hard.get(key)) else {
            refusals.push(exceeds("the class has no such limit: leave it out, or ask for a class that has it".into()));
            continue;
        };
        if let Err(sentence) = check(key, value) {
            refusals.push(Refusal::new(Reason::InvalidSpec, format!("spec.quota {sentence}")));
            continue;
        }
        let is_above = value.compare(ceiling).is_none_or(Ordering::is_gt);
        if is_above {
            refusals.push(exceeds(format!("{} is above the class's maximum of {}: ask for {} or less", value.0, ceiling.0, ceiling.0)));
        }
        hard.insert(key.clone(), if is_above { ceiling.clone() } else { value.clone() });
    }
    (hard, refusals)
}

/// Whether the API server takes `key: value` in a quota; the error is a sentence that begins with the key.
pub fn check(key: &str, value: &Quantity) -> Result<(), String> {
    let huge = |name: &str| name.starts_with("hugepages-");
    let known = STANDARD.contains(&key) || huge(key) || key.strip_prefix("requests.").is_some_and(huge);
    let qualified = key.contains('/') && names::is_qualified_key(key);
    if !known && !qualified {
        return Err(format!(
            "{key}: not a resource that a quota can limit; for example requests.cpu, limits.memory, pods or count/deployments.apps"
        ));
    }
    let Some(read) = value.value() else {
        return Err(format!("{key}: {:?} is not a quantity; for example 500m, 2 or 10Gi", value.0));
    };
    if read.is_negative() {
        return Err(format!("{key}: {} is negative; write zero or more", value.0));
    }
    let counts = COUNTED.contains(&key)
        || (key.contains('/') && !key.starts_with("requests.") && !key.contains("kubernetes.io/"))
        || key.starts_with("count/");
    if counts && !read.is_whole() {
        return Err(format!("{key}: {} is not a whole number, and it counts objects", value.0));
    }
    Ok(())
}

/// Checks a class's limits and ceilings.
pub fn check_class(quota: &ClassQuota) -> Result<(), String> {
    for (field, map) in [("hard", &quota.hard), ("max", &quota.max)] {
        for (key, value) in map {
            check(key, value).map_err(|sentence| format!("quota.{field} {sentence}"))?;
        }
    }
    for (key, max) in &quota.max {
        if let Some(hard) = quota.hard.get(key).filter(|hard| hard.compare(max).is_none_or(Ordering::is_gt)) {
            return Err(format!("quota.max {key}: {} is below quota.hard's {}: raise the one or lower the other", max.0, hard.0));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(pairs: &[(&str, &str)]) -> Hard {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity::from(*value))).collect()
    }

    fn class() -> ClassQuota {
        ClassQuota { hard: hard(&[("requests.cpu", "10"), ("pods", "20")]), max: hard(&[("requests.cpu", "20")]) }
    }

    #[test]
    fn overrides_are_cut_to_the_ceiling() {
        assert_eq!(
            cut(Some(&class()), &hard(&[("requests.cpu", "19500m")])),
            (hard(&[("requests.cpu", "19500m"), ("pods", "20")]), vec![])
        );
        for (key, value, reason, left) in [
            ("requests.cpu", "20001m", Reason::QuotaExceedsClass, [("requests.cpu", "20"), ("pods", "20")]),
            ("pods", "21", Reason::QuotaExceedsClass, [("requests.cpu", "10"), ("pods", "20")]),
            ("services", "1", Reason::QuotaExceedsClass, [("requests.cpu", "10"), ("pods", "20")]),
            ("pods", "1500m", Reason::InvalidSpec, [("requests.cpu", "10"), ("pods", "20")]),
        ] {
            let (quota, refusals) = cut(Some(&class()), &hard(&[(key, value)]));
            assert_eq!(quota, hard(&left), "{key}={value}");
            assert_eq!(refusals.iter().map(|refusal| refusal.reason).collect::<Vec<_>>(), [reason], "{key}={value}: {refusals:?}");
        }
        assert_eq!(cut(None, &Hard::new()), (Hard::new(), vec![]));
    }

    #[test]
    fn keys_are_judged_as_the_server_does() {
        for (key, value, ok) in [
            ("count/deployments.apps", "50", true),
            ("count/deployments.apps", "0.5", false),
            ("requests.nvidia.com/gpu", "2", true),
            ("gold.storageclass.storage.k8s.io/requests.storage", "1Gi", true),
            ("hugepages-2Mi", "4Mi", true),
            ("cores", "1", false),
            ("requests.cpu", "-1", false),
            ("requests.cpu", "one", false),
        ] {
            assert_eq!(check(key, &value.into()).is_ok(), ok, "{key}={value}");
        }
    }

    #[test]
    fn equal_values_have_equal_fingerprints() {
        let labels = BTreeMap::new();
        let quota = |pairs: &[(&str, &str)]| build(&hard(pairs), &labels).unwrap();
        assert_eq!(comparable(&quota(&[("cpu", "1000m")])), comparable(&quota(&[("cpu", "1")])));
        assert_ne!(comparable(&quota(&[("cpu", "1")])), comparable(&quota(&[("cpu", "2")])));
        assert_eq!(build(&Hard::new(), &labels), None);
    }
}
