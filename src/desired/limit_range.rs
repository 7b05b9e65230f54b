//! The `LimitRange`: completed so that a plain deployment is admitted under the quota, and checked as the API server
//! would.
//!
//! A quota on cpu or memory makes the server refuse every pod that specifies none
//! (<https://kubernetes.io/docs/concepts/policy/resource-quotas/>), so defaults are filled in where neither the class
//! nor the space sets any.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem as K8sItem, LimitRangeSpec};
use serde_json::json;

use super::{
    metadata::child_metadata,
    quota::{self, Hard},
};
use crate::api::{
    LimitRangeItem, LimitType, names,
    quantity::{Amount, Quantity},
    syntax,
};

/// Resource name to amount, as in a field of an item.
pub(super) type List = BTreeMap<String, Quantity>;

/// Defaults for a resource that the quota limits and that has no default from the class or the space: (resource,
/// request, limit).
const DEFAULT_AMOUNTS: [(&str, &str, &str); 2] = [("cpu", "100m", "500m"), ("memory", "128Mi", "512Mi")];

const HUGE_PAGES: &str = "hugepages-";

/// The `LimitRange` of a namespace; `None` without items.
pub(super) fn build(items: &[LimitRangeItem], labels: &BTreeMap<String, String>) -> Option<LimitRange> {
    (!items.is_empty()).then(|| LimitRange {
        metadata: child_metadata(names::CHILD, labels),
        spec: Some(LimitRangeSpec { limits: items.iter().map(to_k8s).collect() }),
    })
}

fn to_k8s(item: &LimitRangeItem) -> K8sItem {
    let LimitRangeItem { type_, default, default_request, max, min, max_limit_request_ratio } = item;
    let list =
        |list: &List| (!list.is_empty()).then(|| list.iter().map(|(key, value)| (key.clone(), value.into())).collect());
    K8sItem {
        type_: type_name(*type_).to_owned(),
        default: list(default),
        default_request: list(default_request),
        max: list(max),
        min: list(min),
        max_limit_request_ratio: list(max_limit_request_ratio),
    }
}

/// (content, identity) for comparison: quantities by value, empty maps as none.
pub(super) fn comparable(limits: &LimitRange) -> (serde_json::Value, serde_json::Value) {
    let items = limits.spec.iter().flat_map(|spec| &spec.limits).map(|item| {
        let K8sItem { type_, default, default_request, max, min, max_limit_request_ratio } = item;
        let lists = [default, default_request, max, min, max_limit_request_ratio].map(|list| {
            list.iter()
                .flatten()
                .map(|(key, value)| (key.clone(), Quantity::from(value).key()))
                .collect::<BTreeMap<_, _>>()
        });
        json!([type_, lists])
    });
    (items.collect(), serde_json::Value::Null)
}

/// `items` completed and checked against `hard`; the error is a sentence.
pub fn complete(items: &[LimitRangeItem], hard: &Hard) -> Result<Vec<LimitRangeItem>, String> {
    let mut types = BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !types.insert(type_name(item.type_))) {
        return Err(format!("limitRange has two items of type {}: merge them into one", type_name(twice.type_)));
    }
    let mut items = items.to_vec();
    fill_in(&mut items, hard);
    // Checked before and after the defaulting, so that a sentence names a mistake as it was written.
    items.iter().try_for_each(check)?;
    items.iter_mut().filter(|item| item.type_ == LimitType::Container).for_each(default_as_the_server_does);
    items.iter().try_for_each(check)?;
    let container = items.iter().find(|item| item.type_ == LimitType::Container);
    container.into_iter().try_for_each(|item| check_admission(item, hard))?;
    items
        .iter()
        .filter(|item| item.type_ != LimitType::PersistentVolumeClaim)
        .try_for_each(|item| check_plain_pod(item, container))?;
    Ok(items)
}

/// Gives containers a request and a limit for each of cpu and memory that the quota limits.
fn fill_in(items: &mut Vec<LimitRangeItem>, hard: &Hard) {
    let pod = items.iter().find(|item| item.type_ == LimitType::Pod);
    let (pod_max, pod_min) = pod.map(|pod| (pod.max.clone(), pod.min.clone())).unwrap_or_default();
    for (resource, request, limit) in DEFAULT_AMOUNTS {
        let wants_request = quota_of(hard, "requests", resource).is_some();
        let wants_limit = quota_of(hard, "limits", resource).is_some();
        if !wants_request && !wants_limit {
            continue;
        }
        if !items.iter().any(|item| item.type_ == LimitType::Container) {
            items.push(LimitRangeItem {
                type_: LimitType::Container,
                default: List::new(),
                default_request: List::new(),
                max: List::new(),
                min: List::new(),
                max_limit_request_ratio: List::new(),
            });
        }
        for item in items.iter_mut().filter(|item| item.type_ == LimitType::Container) {
            let limit_given = item.default.contains_key(resource) || item.max.contains_key(resource);
            let request_given = item.default_request.contains_key(resource);
            if wants_limit && !limit_given {
                let floor = [item.default_request.get(resource), item.min.get(resource)];
                let fitting = at_least(limit.into(), floor.into_iter().flatten());
                let cap = at_most(fitting, quota_of(hard, "limits", resource).into_iter().chain(pod_max.get(resource)));
                let (ratio, request) = (item.max_limit_request_ratio.get(resource), item.default_request.get(resource));
                let too_far =
                    ratio.zip(request).filter(|(ratio, request)| times(ratio, request, &cap) == Ordering::Less);
                item.default.insert(resource.into(), too_far.map_or(cap, |(_, request)| request.clone()));
            }
            if wants_request && !request_given && !limit_given {
                let ceiling = [quota_of(hard, "requests", resource), item.default.get(resource)];
                let fitting = at_least(request.into(), item.min.get(resource).into_iter().chain(pod_min.get(resource)));
                let request = at_most(fitting, ceiling.into_iter().flatten());
                let (ratio, limit) = (item.max_limit_request_ratio.get(resource), item.default.get(resource));
                let too_far = ratio.zip(limit).filter(|(ratio, limit)| times(ratio, &request, limit) == Ordering::Less);
                item.default_request.insert(resource.into(), too_far.map_or(request, |(_, limit)| limit.clone()));
            }
        }
    }
}

/// The hard limit on requests or limits of a resource; a bare `cpu` in a quota means requests.
pub(super) fn quota_of<'a>(hard: &'a Hard, what: &str, resource: &str) -> Option<&'a Quantity> {
    hard.get(&format!("{what}.{resource}")).or_else(|| hard.get(resource).filter(|_| what == "requests"))
}

fn at_most<'a>(value: Quantity, ceilings: impl Iterator<Item = &'a Quantity>) -> Quantity {
    ceilings
        .fold(value, |low, ceiling| if ceiling.compare(&low) == Some(Ordering::Less) { ceiling.clone() } else { low })
}

fn at_least<'a>(value: Quantity, floors: impl Iterator<Item = &'a Quantity>) -> Quantity {
    floors.fold(value, |high, floor| if floor.compare(&high) == Some(Ordering::Greater) { floor.clone() } else { high })
}

/// `SetDefaults_LimitRangeItem` of `k8s.io/kubernetes/pkg/apis/core/v1`, so that the stored object equals the one that
/// was sent.
fn default_as_the_server_does(item: &mut LimitRangeItem) {
    let fill = |into: &mut List, from: &List| {
        for (key, value) in from {
            into.entry(key.clone()).or_insert_with(|| value.clone());
        }
    };
    fill(&mut item.default, &item.max);
    fill(&mut item.default_request, &item.default);
    fill(&mut item.default_request, &item.min);
}

/// Validates one item as `ValidateLimitRange` of `k8s.io/kubernetes/pkg/apis/core/validation` does.
fn check(item: &LimitRangeItem) -> Result<(), String> {
    let LimitRangeItem { type_, default, default_request, max, min, max_limit_request_ratio } = item;
    let name = type_name(*type_);
    let lists = [
        ("min", min),
        ("defaultRequest", default_request),
        ("default", default),
        ("max", max),
        ("maxLimitRequestRatio", max_limit_request_ratio),
    ];
    for (field, key, value) in
        lists.iter().flat_map(|(field, list)| list.iter().map(move |(key, value)| (field, key, value)))
    {
        if !is_resource(*type_, key) {
            return Err(format!("limitRange {name} {field}: {key:?} is not a valid resource such as cpu or memory"));
        }
        if value.value().is_none_or(Amount::is_negative) {
            return Err(format!("limitRange {name} {field} {key}: {:?} is not a quantity of zero or more", value.0));
        }
        if *field == "maxLimitRequestRatio" && value.compare(&"1".into()) == Some(Ordering::Less) {
            return Err(format!("limitRange {name} {field} {key}: {} is below 1", value.0));
        }
    }
    if *type_ == LimitType::Pod && !(default.is_empty() && default_request.is_empty()) {
        return Err("limitRange Pod: default and defaultRequest are for type Container".into());
    }
    if *type_ == LimitType::PersistentVolumeClaim && !min.contains_key("storage") && !max.contains_key("storage") {
        return Err("limitRange PersistentVolumeClaim requires min or max of storage".into());
    }
    for (at, (low_field, low)) in lists[..4].iter().enumerate() {
        for (high_field, high) in &lists[at + 1..4] {
            if let Some((key, value, ceiling)) = low
                .iter()
                .filter_map(|(key, value)| Some((key, value, high.get(key)?)))
                .find(|(_, value, ceiling)| value.compare(ceiling) == Some(Ordering::Greater))
            {
                return Err(format!(
                    "limitRange {name} {key}: {low_field} {} is above {high_field} {}",
                    value.0, ceiling.0
                ));
            }
        }
    }
    for (key, ratio) in max_limit_request_ratio {
        if let (Some(low), Some(high)) = (min.get(key), max.get(key))
            && times(ratio, low, high) == Ordering::Greater
        {
            return Err(format!(
                "limitRange {name} {key}: maxLimitRequestRatio {} is above max over min, {} / {}",
                ratio.0, high.0, low.0
            ));
        }
    }
    for (key, limit) in default {
        let differs = default_request.get(key).is_some_and(|request| request.compare(limit) != Some(Ordering::Equal));
        if differs && !may_overcommit(key) {
            return Err(format!(
                "limitRange {name} {key}: default and defaultRequest must be equal, since it cannot be overcommitted"
            ));
        }
    }
    Ok(())
}

/// `validateLimitRangeResourceName` of `k8s.io/kubernetes/pkg/apis/core/validation`. For a claim, a name without a
/// domain must be a resource that Kubernetes knows. For a container or a pod, a name with a domain must be a resource
/// of kubernetes.io or an extended resource, which is still a qualified name with the prefix `requests.`.
fn is_resource(type_: LimitType, key: &str) -> bool {
    let of_claims = type_ == LimitType::PersistentVolumeClaim;
    syntax::is_qualified_key(key)
        && match key.split_once('/') {
            None if of_claims => key == "storage" || quota::is_standard(key),
            None => is_compute(key),
            Some(_) => of_claims || key.contains("kubernetes.io/") || is_extended(key),
        }
}

/// `IsExtendedResourceName` of `k8s.io/kubernetes/pkg/apis/core/helper`.
fn is_extended(key: &str) -> bool {
    !key.starts_with("requests.") && syntax::is_qualified_key(&format!("requests.{key}"))
}

/// `IsStandardContainerResourceName` of `k8s.io/kubernetes/pkg/apis/core/helper`.
fn is_compute(key: &str) -> bool {
    matches!(key, "cpu" | "memory" | "ephemeral-storage") || key.starts_with(HUGE_PAGES)
}

/// `IsOvercommitAllowed` of the same package.
fn may_overcommit(key: &str) -> bool {
    (!key.contains('/') || key.contains("kubernetes.io/")) && !key.starts_with(HUGE_PAGES)
}

/// Compares `ratio` times `small` with `large`. Equal if they cannot be compared, since the API server validates them
/// again.
fn times(ratio: &Quantity, small: &Quantity, large: &Quantity) -> Ordering {
    let values = ratio.value().zip(small.value()).zip(large.value());
    values.and_then(|((ratio, small), large)| ratio.times_compares(small, large)).unwrap_or(Ordering::Equal)
}

/// Checks that a pod of one container that specifies no resources is admitted: it has the defaults of containers and
/// nothing else.
fn check_plain_pod(item: &LimitRangeItem, container: Option<&LimitRangeItem>) -> Result<(), String> {
    let LimitRangeItem { type_, default: _, default_request: _, max, min, max_limit_request_ratio } = item;
    let name = type_name(*type_);
    let limit = |key: &String| container.and_then(|container| container.default.get(key));
    let request = |key: &String| container.and_then(|container| container.default_request.get(key));
    let refuse = |field: &str, key: &str, bound: &Quantity, needs: &str| {
        let bound = &bound.0;
        Err(format!(
            "limitRange {name} {field} {key}: {bound}, but {needs}, so a pod that sets no resources would be rejected: change one of them"
        ))
    };
    let given = |key: &String, is_limit: bool| if is_limit { limit(key) } else { request(key) };
    for (field, bounds, what, wrong) in
        [("max", max, "default", Ordering::Greater), ("min", min, "defaultRequest", Ordering::Less)]
    {
        for (key, bound) in bounds {
            match given(key, field == "max") {
                None => return refuse(field, key, bound, &format!("type Container has no {what} of it")),
                Some(given) if given.compare(bound) == Some(wrong) => {
                    return refuse(field, key, bound, &format!("the {what} for type Container is {}", given.0));
                }
                Some(_) => {}
            }
        }
    }
    for (key, ratio) in max_limit_request_ratio {
        let (Some(limit), Some(request)) = (limit(key), request(key)) else {
            return refuse(
                "maxLimitRequestRatio",
                key,
                ratio,
                "type Container lacks a default or a defaultRequest of it",
            );
        };
        if times(ratio, request, limit) == Ordering::Less {
            return refuse(
                "maxLimitRequestRatio",
                key,
                ratio,
                &format!("the default for type Container is {} over {}", limit.0, request.0),
            );
        }
    }
    Ok(())
}

/// Checks that a container that specifies no resources fits into an empty namespace.
fn check_admission(item: &LimitRangeItem, hard: &Hard) -> Result<(), String> {
    for (field, list, what) in
        [("default", &item.default, "limits"), ("defaultRequest", &item.default_request, "requests")]
    {
        for (resource, value) in list {
            if let Some(quota) =
                quota_of(hard, what, resource).filter(|quota| value.compare(quota) == Some(Ordering::Greater))
            {
                return Err(format!(
                    "limitRange Container {field} {resource}: {} is above the quota of {} for {what}.{resource}, so a pod that sets no resources would be rejected: lower the limitRange or raise the quota",
                    value.0, quota.0
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn type_name(type_: LimitType) -> &'static str {
    match type_ {
        LimitType::Container => "Container",
        LimitType::Pod => "Pod",
        LimitType::PersistentVolumeClaim => "PersistentVolumeClaim",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: serde_json::Value) -> LimitRangeItem {
        serde_json::from_value(json).unwrap()
    }

    fn hard(json: serde_json::Value) -> Hard {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_documented_example_is_not_changed() {
        let given = item(
            json!({"type": "Container", "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}),
        );
        let quota = hard(
            json!({"requests.cpu": "10", "requests.memory": "100Gi", "limits.cpu": "10", "limits.memory": "100Gi"}),
        );
        assert_eq!(complete(std::slice::from_ref(&given), &quota), Ok(vec![given]));
    }

    #[test]
    fn missing_defaults_are_filled_in_and_fit_the_quota() {
        let quota = hard(json!({"requests.cpu": "50m", "limits.memory": "256Mi"}));
        let expected = item(
            json!({"type": "Container", "default": {"memory": "256Mi"}, "defaultRequest": {"cpu": "50m", "memory": "256Mi"}}),
        );
        assert_eq!(complete(&[], &quota), Ok(vec![expected]));
        assert_eq!(complete(&[], &hard(json!({"pods": "3"}))), Ok(vec![]));
    }

    #[test]
    fn defaults_that_are_filled_in_keep_the_ratio() {
        for (ratio, given, limit, request) in [
            ("2", None, "500m", "500m"),
            ("5", None, "500m", "100m"),
            ("10", None, "500m", "100m"),
            ("4", Some("100m"), "100m", "100m"),
        ] {
            let mut container = item(json!({"type": "Container", "maxLimitRequestRatio": {"cpu": ratio}}));
            if let Some(given) = given {
                container.default_request.insert("cpu".into(), given.into());
            }
            let filled = complete(&[container], &hard(json!({"requests.cpu": "400m", "limits.cpu": "2"})));
            if request == "500m" {
                assert!(filled.unwrap_err().contains("above the quota of 400m"));
                continue;
            }
            let filled = filled.unwrap();
            assert_eq!(
                (&filled[0].default["cpu"], &filled[0].default_request["cpu"]),
                (&limit.into(), &request.into()),
                "ratio {ratio}"
            );
        }
    }

    #[test]
    fn defaults_that_are_filled_in_fit_into_a_pod() {
        let pod = item(json!({"type": "Pod", "max": {"cpu": "250m"}, "min": {"memory": "1Gi"}}));
        let filled = complete(&[pod], &hard(json!({"limits.cpu": "4", "requests.memory": "4Gi"}))).unwrap();
        let container = &filled[1];
        assert_eq!((&container.default["cpu"], &container.default_request["memory"]), (&"250m".into(), &"1Gi".into()));
    }

    #[test]
    fn the_api_server_adds_no_further_defaults() {
        let given = item(json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "64Mi"}}));
        let expected = item(
            json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "64Mi"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "64Mi"}}),
        );
        assert_eq!(complete(&[given], &Hard::new()), Ok(vec![expected]));
    }

    #[test]
    fn resource_names_that_the_api_server_accepts_are_accepted() {
        for items in [
            json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi", "requests.storage": "1Gi", "pods": "1", "example.com/foo": "1"}}]),
            json!([{"type": "Container", "max": {"example.com/gpu": "1", "hugepages-2Mi": "2Mi", "node.kubernetes.io/x": "1"}}]),
        ] {
            let items: Vec<LimitRangeItem> = serde_json::from_value(items).unwrap();
            assert!(complete(&items, &Hard::new()).is_ok(), "{items:?}");
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one table")]
    fn contradictions_are_refused_with_a_message() {
        for (items, quota, says) in [
            (
                json!([{"type": "Container", "default": {"cpu": "4"}, "max": {"cpu": "2"}}]),
                json!({}),
                "default 4 is above max 2",
            ),
            (
                json!([{"type": "Container", "min": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}]),
                json!({}),
                "min 2 is above defaultRequest 1",
            ),
            (
                json!([{"type": "Container", "default": {"memory": "2Gi"}}]),
                json!({"limits.memory": "1Gi"}),
                "a pod that sets no resources would be rejected",
            ),
            (json!([{"type": "Pod", "default": {"cpu": "1"}}]), json!({}), "are for type Container"),
            (json!([{"type": "Pod"}, {"type": "Pod"}]), json!({}), "two items of type Pod"),
            (
                json!([{"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}]),
                json!({}),
                "requires min or max of storage",
            ),
            (json!([{"type": "Pod", "maxLimitRequestRatio": {"cpu": "0.5"}}]), json!({}), "below 1"),
            (json!([{"type": "Container", "max": {"pods": "3"}}]), json!({}), "not a valid resource"),
            (
                json!([{"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}]),
                json!({}),
                "above max over min",
            ),
            (
                json!([{"type": "Container", "default": {"example.com/gpu": "2"}, "defaultRequest": {"example.com/gpu": "1"}}]),
                json!({}),
                "must be equal",
            ),
            (
                json!([{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "2"}}]),
                json!({}),
                "500m over 100m",
            ),
            (
                json!([{"type": "Pod", "max": {"cpu": "100m"}}, {"type": "Container", "default": {"cpu": "500m"}}]),
                json!({}),
                "the default for type Container is 500m",
            ),
            (
                json!([{"type": "Pod", "min": {"memory": "1Gi"}}, {"type": "Container", "defaultRequest": {"memory": "128Mi"}}]),
                json!({}),
                "the defaultRequest for type Container is 128Mi",
            ),
            (json!([{"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}}]), json!({}), "lacks a default"),
            (
                json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi", "foo": "1"}}]),
                json!({}),
                "\"foo\" is not a valid",
            ),
            (
                json!([{"type": "Container", "default": {"requests.example.com/gpu": "1"}}]),
                json!({}),
                "is not a valid resource",
            ),
            // The key is escaped, although the value is not valid either.
            (
                json!([{"type": "Container", "max": {"cpu\u{1b}[2J": "-1"}}]),
                json!({}),
                r#"max: "cpu\u{1b}[2J" is not a valid resource"#,
            ),
            (
                json!([{"type": "Pod", "max": {(format!("{}/gpu", "a".repeat(63) + &".b".repeat(94))): "1"}}]),
                json!({}),
                "is not a valid",
            ),
        ] {
            let items: Vec<LimitRangeItem> = serde_json::from_value(items).unwrap();
            let error = complete(&items, &hard(quota)).unwrap_err();
            assert!(error.contains(says), "{error:?} does not contain {says:?}");
        }
    }
}
