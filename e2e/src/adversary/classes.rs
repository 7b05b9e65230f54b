//! Owns the two classes of a sequence and the rules of each, which are computed independently of the operator's code.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::names::{Class, Names, Space};

/// The class as the administrator creates it.
pub(super) fn manifest(names: &Names, class: Class) -> Value {
    let is_large = class == Class::Large;
    let spec = json!({
        "ownerRole": "edit",
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"pods": "10", "count/configmaps": "20"}, "max": {"pods": "20"}},
        "limitRange": [{
            "type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "100m", "memory": "64Mi"},
            "max": {"cpu": "1", "memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "10"},
        }],
        "network": {
            "isolation": "Namespace", "enforced": is_large,
            "allowFromNamespaces": [{"matchLabels": {"kubernetes.io/metadata.name": names.space(Space::Ingress)}}],
        },
        "podSecurity": {"enforce": "baseline"},
        "lifetime": lifetime(class),
        "metadata": {"requiredContact": ["team", "email"]},
        "names": {"denied": [names.denied()]},
        "maxSpacesPerOwner": if is_large { 2 } else { 1 },
        "allowTransfer": is_large,
        "allowRetain": is_large,
    });
    let mut object = crate::fixtures::class(&names.class(class), spec);
    object["spec"]["lifetime"]["allowProtected"] = is_large.into();
    object["spec"]["lifetime"]["allowNever"] = false.into();
    object
}

/// The original lifetime of a class.
pub(super) fn lifetime(class: Class) -> Value {
    match class {
        Class::Small => {
            json!({"defaultTTL": "10m", "maxTTL": "20m", "maxLifetime": "40m", "warnBefore": ["3m", "1m"], "retainExpired": "1h"})
        }
        Class::Large => {
            json!({"defaultTTL": "15m", "maxTTL": "30m", "maxLifetime": "1h", "warnBefore": ["4m", "90s"], "retainExpired": "1h"})
        }
    }
}

/// The rules of a class.
#[allow(clippy::struct_excessive_bools, reason = "each is a consent of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// The ttl of a space that sets none.
    pub default_ttl: TimeDelta,
    /// The longest ttl.
    pub max_ttl: TimeDelta,
    /// The longest lifetime.
    pub max_lifetime: TimeDelta,
    /// The longest and the shortest warning threshold.
    pub warn: (TimeDelta, TimeDelta),
    /// `lifetime.allowNever`.
    pub never: bool,
    /// `lifetime.allowProtected`.
    pub protected: bool,
    /// `allowRetain`.
    pub retain: bool,
    /// `allowTransfer`.
    pub transfer: bool,
    /// `network.enforced`.
    pub enforced: bool,
    /// The number of spaces of each owner.
    pub limit: usize,
    /// The spec itself.
    pub spec: Value,
}

impl Rules {
    /// The rules of a spec; `None` if the spec contradicts itself, so that the class must not be accepted.
    pub(super) fn of(spec: &Value) -> Option<Self> {
        let lifetime = &spec["lifetime"];
        let time = |field: &str| seconds(lifetime[field].as_str()?);
        let is = |value: &Value| *value == true;
        let mut edges: Vec<TimeDelta> =
            lifetime["warnBefore"].as_array()?.iter().filter_map(|edge| seconds(edge.as_str()?)).collect();
        edges.sort();
        let rules = Self {
            default_ttl: time("defaultTTL")?,
            max_ttl: time("maxTTL")?,
            max_lifetime: time("maxLifetime")?,
            warn: (*edges.last()?, *edges.first()?),
            never: is(&lifetime["allowNever"]),
            protected: is(&lifetime["allowProtected"]),
            retain: is(&spec["allowRetain"]),
            transfer: is(&spec["allowTransfer"]),
            enforced: is(&spec["network"]["enforced"]),
            limit: usize::try_from(spec["maxSpacesPerOwner"].as_u64()?).ok()?,
            spec: spec.clone(),
        };
        let hard = spec["quota"]["hard"].as_object()?;
        let has_limit = spec["quota"]["max"].as_object()?.keys().all(|key| hard.contains_key(key));
        let fits =
            hard.iter().all(|(key, hard)| spec["quota"]["max"].get(key).is_none_or(|max| number(max) >= number(hard)));
        (rules.default_ttl <= rules.max_ttl && has_limit && fits).then_some(rules)
    }
}

/// A duration of the API with the units h, m and s.
pub(super) fn seconds(text: &str) -> Option<TimeDelta> {
    let (mut total, mut digits) = (0_i64, String::new());
    for letter in text.chars() {
        match letter {
            'h' | 'm' | 's' => {
                let unit = match letter {
                    'h' => 3600,
                    'm' => 60,
                    _ => 1,
                };
                total += digits.parse::<i64>().ok()? * unit;
                digits.clear();
            }
            digit => digits.push(digit),
        }
    }
    digits.is_empty().then(|| TimeDelta::seconds(total))
}

/// A count that is written as a number or a string.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(i64::MAX)
}
