//! The changes that a space's own `limitRange` may make: defaults within the class's bounds, tighter bounds, and types
//! that the class does not bound. The class's `max`, `min` and `maxLimitRequestRatio` always hold.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::{
    api::core::v1::{LimitRange, LimitRangeItem as K8sItem},
    apimachinery::pkg::api::resource::Quantity as K8sQuantity,
};

use super::{
    limit_range::{List, complete, quota_of, type_name},
    quota::Hard,
    spec_refusal::SpecRefusal,
};
use crate::api::{LimitRangeItem, SpaceClassSpec, conditions::Reason, quantity::Quantity};

type K8sList = Option<BTreeMap<String, K8sQuantity>>;

/// The items of a space under `class` and the quota `hard`, and an objection to each that the class does not allow.
pub(crate) fn cut(
    class_name: &str,
    class: &SpaceClassSpec,
    asked: &[LimitRangeItem],
    hard: &Hard,
) -> (Vec<LimitRangeItem>, Vec<SpecRefusal>) {
    let invalid = |message: String| SpecRefusal::new(Reason::InvalidSpec, message);
    let mut types = BTreeSet::new();
    if let Some(twice) = asked.iter().find(|item| !types.insert(type_name(item.type_))) {
        let name = type_name(twice.type_);
        return (
            class_items(class, hard),
            vec![invalid(format!("spec.limitRange has two items of type {name}: merge them into one"))],
        );
    }
    let (items, loosened) = within(&class.limit_range, asked);
    let mut refusals: Vec<SpecRefusal> = loosened.into_iter().map(invalid).collect();
    let items = complete(&items, hard).unwrap_or_else(|problem| {
        refusals.push(invalid(if asked.is_empty() {
            format!("SpaceClass {class_name}, {problem} (or set spec.limitRange)")
        } else {
            format!("spec.{problem}")
        }));
        class_items(class, hard)
    });
    (items, refusals)
}

/// The class's items with `asked` on top, none of its bounds loosened; a sentence for each attempt.
fn within(class: &[LimitRangeItem], asked: &[LimitRangeItem]) -> (Vec<LimitRangeItem>, Vec<String>) {
    let (mut items, mut sentences) = (class.to_vec(), Vec::new());
    for item in asked {
        match items.iter_mut().find(|of_class| of_class.type_ == item.type_) {
            Some(of_class) => sentences.extend(tighten(of_class, item)),
            None => items.push(item.clone()),
        }
    }
    (items, sentences)
}

fn tighten(item: &mut LimitRangeItem, asked: &LimitRangeItem) -> Vec<String> {
    let LimitRangeItem { type_, default, default_request, max, min, max_limit_request_ratio } = asked;
    item.default.extend(default.clone());
    item.default_request.extend(default_request.clone());
    let mut sentences = Vec::new();
    let mut bound = |field: &str, bounds: &mut List, asked: &List, looser: Ordering| {
        for (key, value) in asked {
            let held = bounds.get(key).filter(|held| value.compare(held) == Some(looser));
            if let Some(held) = held {
                let (name, held) = (type_name(*type_), &held.0);
                let (word, advice) = if looser == Ordering::Greater { ("above", "less") } else { ("below", "more") };
                sentences.push(format!(
                    "spec.limitRange {name} {field} {key}: {} is {word} the class's {held}, which always applies: set {held} or {advice}, or omit it",
                    value.0
                ));
            } else {
                bounds.insert(key.clone(), value.clone());
            }
        }
    };
    bound("max", &mut item.max, max, Ordering::Greater);
    bound("min", &mut item.min, min, Ordering::Less);
    bound("maxLimitRequestRatio", &mut item.max_limit_request_ratio, max_limit_request_ratio, Ordering::Greater);
    sentences
}

/// The items of the class alone. A space's quota may be too small for the class's defaults; the bounds hold all the
/// same.
fn class_items(class: &SpaceClassSpec, hard: &Hard) -> Vec<LimitRangeItem> {
    let full = class.quota.as_ref().map(|quota| &quota.hard);
    let completed = complete(&class.limit_range, hard).ok().or_else(|| complete(&class.limit_range, full?).ok());
    completed.unwrap_or_else(|| class.limit_range.clone())
}

/// The limits of a namespace while nothing new is granted: those of `existing`, if they are at least as strict as the
/// bounds of `wanted`, have a default wherever `wanted` has one, and no default above the quota `hard`; else those of
/// `wanted`.
pub(super) fn keep_strict(wanted: &LimitRange, existing: &LimitRange, hard: &Hard) -> LimitRange {
    let mut kept = wanted.clone();
    if items(wanted).iter().all(|item| is_covered(item, items(existing)))
        && items(existing).iter().all(|item| fits(item, hard))
    {
        kept.spec.clone_from(&existing.spec);
    }
    kept
}

fn items(limits: &LimitRange) -> &[K8sItem] {
    limits.spec.as_ref().map_or(&[], |spec| &spec.limits)
}

/// Returns true if a container that specifies no resources fits into the quota.
fn fits(item: &K8sItem, hard: &Hard) -> bool {
    [(&item.default, "limits"), (&item.default_request, "requests")].into_iter().all(|(list, what)| {
        let is_above = |key: &str, value: &K8sQuantity| {
            quota_of(hard, what, key)
                .is_some_and(|quota| Quantity::from(value).compare(quota) == Some(Ordering::Greater))
        };
        list.iter().flatten().all(|(key, value)| !is_above(key, value))
    })
}

/// Returns true if the items of the same type in `existing` bound pods at least as strictly as `wanted`. A pod has to
/// satisfy all items.
fn is_covered(wanted: &K8sItem, existing: &[K8sItem]) -> bool {
    let existing: Vec<&K8sItem> = existing.iter().filter(|item| item.type_ == wanted.type_).collect();
    let is_bounded = |list: fn(&K8sItem) -> &K8sList, looser: Ordering| {
        list(wanted).iter().flatten().all(|(key, bound)| {
            let bound = Quantity::from(bound);
            let is_strict = |item: &&K8sItem| {
                let held = list(item).as_ref().and_then(|held| held.get(key));
                held.and_then(|held| Quantity::from(held).compare(&bound)).is_some_and(|order| order != looser)
            };
            existing.iter().any(is_strict)
        })
    };
    let has_defaults = |list: fn(&K8sItem) -> &K8sList| {
        list(wanted)
            .iter()
            .flatten()
            .all(|(key, _)| existing.iter().any(|item| list(item).as_ref().is_some_and(|held| held.contains_key(key))))
    };
    is_bounded(|item| &item.max, Ordering::Greater)
        && is_bounded(|item| &item.min, Ordering::Less)
        && is_bounded(|item| &item.max_limit_request_ratio, Ordering::Greater)
        && has_defaults(|item| &item.default)
        && has_defaults(|item| &item.default_request)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class() -> SpaceClassSpec {
        serde_json::from_value(json!({
            "quota": {"hard": {"requests.cpu": "4", "limits.cpu": "8"}},
            "limitRange": [
                {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}, "max": {"cpu": "2"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "4"}},
                {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
            ],
        }))
        .unwrap()
    }

    fn cut_items(asked: &Value) -> (Value, Vec<String>) {
        let (class, asked): (_, Vec<LimitRangeItem>) = (class(), serde_json::from_value(asked.clone()).unwrap());
        let (items, refusals) = cut("greenhouse", &class, &asked, &class.quota.as_ref().unwrap().hard);
        assert!(refusals.iter().all(|refusal| refusal.reason == Reason::InvalidSpec), "{refusals:?}");
        (json!(items), refusals.into_iter().map(|refusal| refusal.message).collect())
    }

    #[test]
    fn defaults_change_within_the_bounds_and_bounds_only_tighten() {
        let of_class = json!(class().limit_range);
        let claims = &of_class[1];
        let container = |patch: Value| {
            let mut item = of_class[0].clone();
            json_patch::merge(&mut item, &patch);
            json!([item, claims])
        };
        let pods = json!({"type": "Pod", "max": {"cpu": "3"}});
        for (asked, got) in [
            (json!([]), of_class.clone()),
            (json!([{"type": "Container"}]), of_class.clone()),
            (
                json!([{"type": "Container", "default": {"cpu": "800m"}}]),
                container(json!({"default": {"cpu": "800m"}})),
            ),
            (
                json!([{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "2"}}]),
                container(json!({"max": {"cpu": "1"}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "2"}})),
            ),
            (json!([pods]), json!([of_class[0], claims, pods])),
            (
                json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]),
                json!([of_class[0], {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]),
            ),
        ] {
            assert_eq!(cut_items(&asked), (got, vec![]), "{asked}");
        }
    }

    #[test]
    fn items_that_loosen_the_class_are_refused_and_the_class_applies() {
        let of_class = json!(class().limit_range);
        for (asked, says) in [
            (
                json!([{"type": "Container", "max": {"cpu": "3"}}]),
                "spec.limitRange Container max cpu: 3 is above the class's 2, which always applies: set 2 or less, or omit it",
            ),
            (
                json!([{"type": "Container", "min": {"cpu": "1m"}}]),
                "spec.limitRange Container min cpu: 1m is below the class's 50m, which always applies: set 50m or more, or omit it",
            ),
            (
                json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "5"}}]),
                "spec.limitRange Container maxLimitRequestRatio cpu: 5 is above the class's 4, which always applies: set 4 or less, or omit it",
            ),
            (
                json!([{"type": "Container", "default": {"cpu": "3"}}]),
                "spec.limitRange Container cpu: default 3 is above max 2",
            ),
            (
                json!([{"type": "PersistentVolumeClaim", "max": {"storage": "6Gi"}}]),
                "spec.limitRange PersistentVolumeClaim max storage: 6Gi is above the class's 5Gi, which always applies: set 5Gi or less, or omit it",
            ),
            (
                json!([{"type": "Pod"}, {"type": "Pod"}]),
                "spec.limitRange has two items of type Pod: merge them into one",
            ),
        ] {
            assert_eq!(cut_items(&asked), (of_class.clone(), vec![says.to_owned()]), "{asked}");
        }
    }

    #[test]
    fn defaults_in_an_item_with_a_refused_bound_are_kept() {
        let (items, refusals) =
            cut_items(&json!([{"type": "Container", "max": {"cpu": "3"}, "default": {"cpu": "900m"}}]));
        assert_eq!(
            (&items[0]["max"], &items[0]["default"], refusals.len()),
            (&json!({"cpu": "2"}), &json!({"cpu": "900m"}), 1)
        );
    }

    #[test]
    fn while_nothing_is_granted_limits_stay_as_strict_as_they_are() {
        let limits = |items: Value| -> LimitRange {
            serde_json::from_value(json!({"metadata": {"name": "developerspace"}, "spec": {"limits": items}})).unwrap()
        };
        let wanted = limits(json!([
            {"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "2"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "4"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
        ]));
        let with = |patch: Value| {
            let mut existing = json!(wanted.spec.as_ref().unwrap().limits);
            json_patch::merge(&mut existing[0], &patch);
            limits(existing)
        };
        let strict = [
            with(json!({"default": {"cpu": "200m", "memory": "1Gi"}, "max": {"cpu": "1", "memory": "2Gi"}})),
            with(json!({"min": {"cpu": "60m"}, "maxLimitRequestRatio": {"cpu": "2"}})),
            with(json!({"max": {"cpu": "2000m"}})),
        ];
        for existing in strict {
            assert_eq!(keep_strict(&wanted, &existing, &Hard::new()), existing);
        }
        let loose = [
            with(json!({"max": {"cpu": "3"}})),
            with(json!({"max": null})),
            with(json!({"min": {"cpu": "40m"}})),
            with(json!({"maxLimitRequestRatio": {"cpu": "5"}})),
            with(json!({"default": null})),
            with(json!({"type": "Pod"})),
            limits(json!([])),
        ];
        for existing in loose {
            assert_eq!(keep_strict(&wanted, &existing, &Hard::new()), wanted, "{existing:?}");
        }
        let (existing, hard) =
            (with(json!({"default": {"cpu": "2"}})), |cpu: &str| Hard::from([("limits.cpu".to_owned(), cpu.into())]));
        assert_eq!(keep_strict(&wanted, &existing, &hard("2")), existing);
        assert_eq!(keep_strict(&wanted, &existing, &hard("1")), wanted, "no pod without limits would be admitted");
    }
}
