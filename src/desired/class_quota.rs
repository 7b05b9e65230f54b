//! Validation of a class's quota: limits that the API server accepts, ceilings that bind, requests that can be used
//! under the limits, and room for the operator's own objects.

use std::cmp::Ordering;

use super::{
    limit_range,
    quota::{self, Hard, OwnObjects, unusable},
    spec_refusal::SpecRefusal,
};
use crate::api::{ClassQuota, Isolation, SpaceClassSpec, conditions::Reason};

/// Validates the quota. The error is a sentence for the administrator that begins with the field.
pub(crate) fn check(class: &SpaceClassSpec) -> Result<(), String> {
    let Some(ClassQuota { hard, max }) = &class.quota else { return Ok(()) };
    for (field, map) in [("hard", hard), ("max", max)] {
        for (key, value) in map {
            quota::check(key, value).map_err(|sentence| format!("quota.{field} {sentence}"))?;
        }
    }
    check_ceilings(hard, max)?;
    check_usable(hard, max)?;
    own_objects(class, hard).lacking(hard).map_or(Ok(()), |sentence| Err(format!("quota.hard {sentence}")))
}

fn own_objects(class: &SpaceClassSpec, hard: &Hard) -> OwnObjects {
    OwnObjects {
        bindings: 1 + class.roles.len(),
        policies: usize::from(class.network.isolation == Isolation::Namespace),
        limits: usize::from(limit_range::complete(&class.limit_range, hard).is_ok_and(|items| !items.is_empty())),
    }
}

/// Replaces each override of a space that leaves no room for the operator's own objects by the class's value, and
/// returns an objection. Without that room the operator could not maintain isolation and access.
pub(crate) fn leave_room(class: &SpaceClassSpec, overrides: &Hard, mut hard: Hard) -> (Hard, Option<SpecRefusal>) {
    let counted = |key: &String| OwnObjects::KEYS.contains(&key.as_str()) && overrides.contains_key(key);
    if !hard.keys().any(counted) {
        return (hard, None);
    }
    let Some(sentence) = own_objects(class, &hard).lacking(&hard) else { return (hard, None) };
    let of_class = class.quota.as_ref().map(|quota| &quota.hard);
    for (key, value) in hard.iter_mut().filter(|(key, _)| counted(key)) {
        if let Some(limit) = of_class.and_then(|limits| limits.get(key)) {
            value.clone_from(limit);
        }
    }
    (hard, Some(SpecRefusal::new(Reason::InvalidSpec, format!("spec.quota {sentence}"))))
}

fn check_ceilings(hard: &Hard, max: &Hard) -> Result<(), String> {
    let unbound: Vec<&str> = max.keys().filter(|key| !hard.contains_key(*key)).map(String::as_str).collect();
    if !unbound.is_empty() {
        let keys = unbound.join(", ");
        return Err(format!(
            "quota.max {keys}: a maximum without a value in quota.hard does not limit a space that requests nothing: add {keys} to quota.hard, or remove it from quota.max"
        ));
    }
    for (key, max) in max {
        if let Some(hard) = hard.get(key).filter(|hard| hard.compare(max).is_none_or(Ordering::is_gt)) {
            return Err(format!(
                "quota.max {key}: {} is below {} in quota.hard: raise quota.max or lower quota.hard",
                max.0, hard.0
            ));
        }
    }
    Ok(())
}

/// A container's request is at most its limit, so requests above the limits can never be used
/// (<https://github.com/kubernetes/kubernetes/issues/130743>).
fn check_usable(hard: &Hard, max: &Hard) -> Result<(), String> {
    let ceiling: Hard = hard.iter().map(|(key, value)| (key.clone(), max.get(key).unwrap_or(value).clone())).collect();
    for (field, limits) in [("quota.hard", hard), ("quota.max", &ceiling)] {
        if let Some(pair) = unusable(limits).first() {
            return Err(format!(
                "{field} {}: {} cannot be used under {} {}: set {} in {field} to {} or more, or lower {}",
                pair.request, pair.requested.0, pair.limit, pair.limited.0, pair.limit, pair.requested.0, pair.request
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check_json(class: &Value) -> Result<(), String> {
        check(&serde_json::from_value(class.clone()).unwrap())
    }

    #[test]
    fn overrides_that_leave_no_room_for_the_operators_objects_are_refused() {
        let hard = json!({"pods": 9, "count/networkpolicies.networking.k8s.io": 5, "resourcequotas": 3});
        let class: SpaceClassSpec = serde_json::from_value(json!({"quota": {"hard": hard}})).unwrap();
        let limits = |value: &Value| serde_json::from_value::<Hard>(value.clone()).unwrap();
        let with_overrides = |overrides: Value| {
            let (cut, _) = quota::cut(class.quota.as_ref(), &limits(&overrides));
            let (left, refusal) = leave_room(&class, &limits(&overrides), cut);
            (left, refusal.map(|refusal| refusal.message))
        };
        for key in ["count/networkpolicies.networking.k8s.io", "resourcequotas"] {
            let (left, message) = with_overrides(json!({"pods": 1, (key): 0}));
            assert!(
                message.is_some_and(|message| message.starts_with(&format!("spec.quota {key}: 0 leaves no room"))),
                "{key}"
            );
            let mut expected = hard.clone();
            expected["pods"] = 1.into();
            assert_eq!(left, limits(&expected), "{key}");
        }
        assert_eq!(with_overrides(json!({"count/networkpolicies.networking.k8s.io": 1})).1, None);
        assert_eq!(with_overrides(json!({"pods": 0})).1, None);
    }

    #[test]
    fn a_class_with_an_unusable_quota_is_refused() {
        let roles = json!([{"name": "grower", "clusterRole": "edit"}, {"name": "helper", "clusterRole": "view"}]);
        for (class, says) in [
            (json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 3}}}), None),
            (
                json!({"quota": {"hard": {"requests.cpu": 4, "limits.cpu": "4000m"}, "max": {"requests.cpu": 8, "limits.cpu": 8}}}),
                None,
            ),
            (json!({"quota": {"hard": {"requests.cpu": 4}, "max": {"requests.cpu": 8}}}), None),
            (json!({"quota": {"hard": {"cores": 3}}}), Some("quota.hard cores: not a resource")),
            (
                json!({"quota": {"hard": {"pods": 3}, "max": {"pods": 2}}}),
                Some("quota.max pods: 2 is below 3 in quota.hard"),
            ),
            (
                json!({"quota": {"hard": {"pods": 3}, "max": {"services.loadbalancers": 2, "requests.nvidia.com/gpu": 1}}}),
                Some(
                    "quota.max requests.nvidia.com/gpu, services.loadbalancers: a maximum without a value in quota.hard does not limit a space",
                ),
            ),
            (
                json!({"quota": {"hard": {"requests.cpu": 10, "limits.cpu": 8}}}),
                Some(
                    "quota.hard requests.cpu: 10 cannot be used under limits.cpu 8: set limits.cpu in quota.hard to 10 or more, or lower requests.cpu",
                ),
            ),
            (
                json!({"quota": {"hard": {"memory": "1Gi", "limits.memory": "2Gi"}, "max": {"memory": "4Gi"}}}),
                Some(
                    "quota.max memory: 4Gi cannot be used under limits.memory 2Gi: set limits.memory in quota.max to 4Gi or more",
                ),
            ),
            (
                json!({"roles": roles, "quota": {"hard": {"count/rolebindings.rbac.authorization.k8s.io": 2}}}),
                Some(
                    "quota.hard count/rolebindings.rbac.authorization.k8s.io: 2 leaves no room for the 3 RoleBindings that the operator creates: set 3 or more",
                ),
            ),
            (json!({"roles": roles, "quota": {"hard": {"count/rolebindings.rbac.authorization.k8s.io": 3}}}), None),
            (
                json!({"quota": {"hard": {"count/networkpolicies.networking.k8s.io": 0}}}),
                Some("quota.hard count/networkpolicies.networking.k8s.io: 0 leaves no room for the 1 NetworkPolicy"),
            ),
            (
                json!({"network": {"isolation": "None"}, "quota": {"hard": {"count/networkpolicies.networking.k8s.io": 0}}}),
                None,
            ),
            (json!({"quota": {"hard": {"resourcequotas": 0}}}), Some("quota.hard resourcequotas: 0 leaves no room")),
            (
                json!({"quota": {"hard": {"count/limitranges": 0, "limits.cpu": 1}}}),
                Some("quota.hard count/limitranges: 0 leaves no room"),
            ),
        ] {
            match says {
                None => assert_eq!(check_json(&class), Ok(()), "{class}"),
                Some(says) => {
                    let sentence = check_json(&class).unwrap_err();
                    assert!(sentence.starts_with(says), "{class}: {sentence}");
                }
            }
        }
    }
}
