//! The usage of a namespace, compared with the limits of a class to which its space asks to be admitted. A quota
//! refuses new objects and does not remove existing ones.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::{api::resource::Quantity as K8sQuantity, apis::meta::v1::ObjectMeta},
};

use super::{
    metadata::child_labels,
    quota::{self, Hard, needs_amounts},
    spec_refusal::SpecRefusal,
};
use crate::api::{DeveloperSpace, conditions::Reason, names, quantity::Quantity, text::some_of};

/// The number of resources that a sentence names.
const MAX_NAMED_RESOURCES: usize = 5;

/// The refusal to admit the space of `namespace` to a class while its quota counts more than `hard` allows there.
pub(crate) fn not_admitted(
    class_name: &str,
    namespace: &str,
    quota: &ResourceQuota,
    hard: &Hard,
) -> Option<SpecRefusal> {
    let beyond = beyond(quota, hard);
    let message = || {
        format!(
            "namespace {namespace} uses more than class {class_name} allows ({}), and the space is not admitted to it until it uses less; its current class \
             stays in force: delete what is not needed, or use another class",
            some_of(&beyond, MAX_NAMED_RESOURCES, 0)
        )
    };
    (!beyond.is_empty()).then(|| SpecRefusal::new(Reason::QuotaExceedsClass, message()))
}

/// A limit that counts a resource and refuses nothing. The API server multiplies limits by 1000 in 64 bits, so a much
/// larger one would overflow.
pub(crate) const COUNT_ONLY: &str = "1P";

/// The resources that `hard` limits and `counted`, the quota of the class in force, does not. They have to be counted
/// before the move. Amounts of CPU and memory are excluded, since a quota that counts them refuses each pod that
/// specifies none.
pub(crate) fn to_count(hard: &Hard, counted: &Hard) -> BTreeSet<String> {
    hard.keys().filter(|key| !counted.contains_key(*key) && !needs_amounts(key)).cloned().collect()
}

/// The limits of `quota`, except those that only count.
pub fn limits(quota: Option<&ResourceQuota>) -> Hard {
    let only_counts = |limit: &Quantity| limit.compare(&COUNT_ONLY.into()) == Some(Ordering::Equal);
    let hard = hard(quota).into_iter().flatten().map(|(key, limit)| (key.clone(), Quantity::from(limit)));
    hard.filter(|(_, limit)| !only_counts(limit)).collect()
}

/// Returns true if `quota` has a limit for the resource `key`.
pub fn has_limit(quota: Option<&ResourceQuota>, key: &str) -> bool {
    has(hard(quota), key)
}

fn has(list: Option<&BTreeMap<String, K8sQuantity>>, key: &str) -> bool {
    list.is_some_and(|list| list.contains_key(key))
}

fn hard(quota: Option<&ResourceQuota>) -> Option<&BTreeMap<String, K8sQuantity>> {
    quota?.spec.as_ref()?.hard.as_ref()
}

/// The quota of a space whose class in force is missing, with limits for the resources `keys` that only count; `None`
/// if the `existing` quota has them already, or if its spec was too large to be read. The limits of the `existing`
/// quota stay, and it is wanted without labels, so that its labels stay too.
pub fn counting(
    space: &DeveloperSpace,
    class_name: &str,
    existing: Option<&ResourceQuota>,
    keys: &BTreeSet<String>,
) -> Option<ResourceQuota> {
    if existing.is_some_and(|quota| quota.spec.is_none()) {
        return None;
    }
    let missing = keys.iter().filter(|key| !has_limit(existing, key)).cloned();
    let missing: Hard = missing.map(|key| (key, Quantity::from(COUNT_ONLY))).collect();
    if existing.is_none() || missing.is_empty() {
        return quota::build(&missing, &child_labels(space, class_name));
    }
    let mut all = hard(existing).cloned().unwrap_or_default();
    all.extend(missing.iter().map(|(key, limit)| (key.clone(), K8sQuantity::from(limit))));
    Some(ResourceQuota {
        metadata: ObjectMeta { name: Some(names::CHILD.to_owned()), ..ObjectMeta::default() },
        spec: Some(ResourceQuotaSpec { hard: Some(all), ..ResourceQuotaSpec::default() }),
        status: None,
    })
}

/// The resources that have to be counted and that the status of the quota does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    /// Resources that `status.hard` lacks: kube-controller-manager has not observed their limits.
    pub unseen: Vec<String>,
    /// Resources that only `status.hard` has. kube-controller-manager writes it together with `status.used`, so it does
    /// not know such a resource, or failed to count it and retries, see `CalculateUsage` in
    /// `k8s.io/apiserver/pkg/quota/v1`.
    pub unknown: Vec<String>,
}

/// Returns the resources among `keys` that `quota` has not counted.
pub fn uncounted(quota: Option<&ResourceQuota>, keys: &BTreeSet<String>) -> Uncounted {
    let status = quota.and_then(|quota| quota.status.as_ref());
    let (hard, used) = (status.and_then(|status| status.hard.as_ref()), status.and_then(|status| status.used.as_ref()));
    let missing = keys.iter().filter(|key| !has(used, key)).cloned();
    let (unknown, unseen) = missing.partition(|key| has(hard, key));
    Uncounted { unseen, unknown }
}

/// The refusal to admit the space of `namespace` to a class while its quota has not counted the resources `missing`
/// yet.
pub(crate) fn not_counted(class_name: &str, namespace: &str, missing: &[String]) -> Option<SpecRefusal> {
    let message = || {
        format!(
            "class {class_name} limits resources that the quota of namespace {namespace} has not counted yet ({}), and the space is admitted to it when \
             they are counted; its current class stays in force until then",
            some_of(missing, MAX_NAMED_RESOURCES, 0)
        )
    };
    (!missing.is_empty()).then(|| SpecRefusal::new(Reason::Provisioning, message()))
}

/// The resources whose usage is above `hard`. kube-apiserver adds the usage of each object that it admits to the status
/// of the quota.
fn beyond(quota: &ResourceQuota, hard: &Hard) -> Vec<String> {
    let used = quota.status.as_ref().and_then(|status| status.used.as_ref());
    let exceeds = |(key, used): (&String, &K8sQuantity)| {
        let limit = hard.get(key)?;
        let is_above = Quantity::from(used).compare(limit).is_some_and(Ordering::is_gt);
        is_above.then(|| format!("{key} {} of {}", used.0, limit.0))
    };
    used.into_iter().flatten().filter_map(exceeds).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(used: &serde_json::Value) -> Option<String> {
        let quota = serde_json::from_value(json!({"status": {"used": used}})).unwrap();
        let hard = [("pods", "10"), ("requests.memory", "1Gi")]
            .map(|(key, limit)| (key.to_owned(), Quantity::from(limit)))
            .into();
        not_admitted("small", "orchid-lab", &quota, &hard)
            .map(|SpecRefusal { reason, message }| format!("{}: {message}", reason.as_str()))
    }

    #[test]
    fn resources_that_the_other_class_limits_are_counted_first() {
        let hard =
            |keys: &[&str]| -> Hard { keys.iter().map(|key| ((*key).to_owned(), Quantity::from("3"))).collect() };
        let keys =
            to_count(&hard(&["pods", "services.loadbalancers", "limits.memory", "requests.storage"]), &hard(&["pods"]));
        assert_eq!(
            keys.iter().collect::<Vec<_>>(),
            ["requests.storage", "services.loadbalancers"],
            "a pod need not name them"
        );
        let message = |names: &str| {
            let message = format!(
                "class small limits resources that the quota of namespace orchid-lab has not counted yet ({names}), and the space is admitted to it when \
                 they are counted; its current class stays in force until then"
            );
            Some(SpecRefusal::new(Reason::Provisioning, message))
        };
        assert_eq!(
            not_counted("small", "orchid-lab", &["services.loadbalancers".to_owned()]),
            message("services.loadbalancers")
        );
        assert_eq!(not_counted("small", "orchid-lab", &[]), None);
    }

    #[test]
    fn a_resource_is_unknown_if_its_limit_was_observed_and_its_usage_was_not() {
        let keys: BTreeSet<String> =
            ["count/deployment.apps", "requests.storage", "services.loadbalancers"].map(str::to_owned).into();
        let status = |status: &serde_json::Value| {
            let quota = serde_json::from_value(json!({"status": status})).unwrap();
            let Uncounted { unseen, unknown } = uncounted(Some(&quota), &keys);
            [unseen.join(" "), unknown.join(" ")]
        };
        let hard = json!({"pods": "20", "count/deployment.apps": "1P", "requests.storage": "1P", "services.loadbalancers": "1P"});
        let all = "count/deployment.apps requests.storage services.loadbalancers";
        for (given, unseen, unknown) in [
            (
                json!({"hard": {"pods": "20"}, "used": {"requests.storage": "0"}}),
                "count/deployment.apps services.loadbalancers",
                "",
            ),
            (
                json!({"hard": hard, "used": {"requests.storage": "0", "services.loadbalancers": "1"}}),
                "",
                "count/deployment.apps",
            ),
            (json!({"hard": hard}), "", all),
            (json!({}), all, ""),
        ] {
            assert_eq!(status(&given), [unseen, unknown], "{given}");
        }
        assert_eq!(uncounted(None, &keys).unseen.len(), 3);
    }

    #[test]
    fn a_quota_without_a_class_in_force_keeps_its_limits_and_counts_more() {
        let space = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
            "spec": {"owner": {"kind": "User", "name": "ada@example.com"}},
        });
        let space: DeveloperSpace = serde_json::from_value(space).unwrap();
        // A client may have written 1P in another form.
        let (metadata, hard) = (
            json!({"name": "developerspace", "labels": {"floor": "ground"}}),
            json!({"pods": "20", "services": "1000T"}),
        );
        let live: ResourceQuota =
            serde_json::from_value(json!({"metadata": metadata, "spec": {"hard": hard}})).unwrap();
        assert_eq!((limits(Some(&live)), limits(None)), (Hard::from([("pods".to_owned(), "20".into())]), Hard::new()));
        let counting = |existing: Option<&ResourceQuota>, keys: &[&str]| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            counting(&space, "greenhouse", existing, &keys).map(|quota| json!([quota.metadata, quota.spec]))
        };
        let hard = json!({"pods": "20", "services": "1000T", "configmaps": "1P"});
        assert_eq!(
            counting(Some(&live), &["pods", "services", "configmaps"]),
            Some(json!([{"name": "developerspace"}, {"hard": hard}]))
        );
        assert_eq!(counting(Some(&live), &["services"]), None);
        let unread = ResourceQuota { spec: None, ..live.clone() };
        assert_eq!(counting(Some(&unread), &["configmaps"]), None, "its limits would be lost");
        let labels = json!({
            "app.kubernetes.io/managed-by": "developerspace-operator",
            "developerspace.dev/class": "greenhouse",
            "developerspace.dev/space": "orchid-lab",
        });
        let made = json!([{"name": "developerspace", "labels": labels}, {"hard": {"configmaps": "1P"}}]);
        assert_eq!((counting(None, &["configmaps"]), counting(None, &[])), (Some(made), None));
    }

    #[test]
    fn a_space_that_uses_more_than_the_other_class_allows_is_not_admitted_to_it() {
        assert_eq!(refusal(&json!({"pods": "10", "requests.memory": "1024Mi", "services": "70"})), None);
        assert_eq!(refusal(&json!({})), None);
        let expected = "QuotaExceedsClass: namespace orchid-lab uses more than class small allows (pods 11 of 10, requests.memory 1025Mi of 1Gi), and the \
                        space is not admitted to it until it uses less; its current class stays in force: delete what is not needed, or use another class";
        assert_eq!(refusal(&json!({"pods": "11", "requests.memory": "1025Mi"})).as_deref(), Some(expected));
    }
}
