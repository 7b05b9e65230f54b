//! Generators of specs and classes: valid ones, and nonsensical ones.

use std::collections::BTreeMap;

use developerspace_operator::api::{DeveloperSpace, SpaceClassSpec};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

/// Roles that every class of [`class`] has.
const ROLES: [&str; 3] = ["admin", "edit", "view"];

/// A class that is accepted.
pub(crate) fn class() -> impl Strategy<Value = SpaceClassSpec> {
    let keys = select(
        &["requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods", "count/deployments.apps"][..],
    );
    let hard = btree_map(keys, 40_u32..60, 0..6);
    let selectors = vec(select(&["ingress-nginx", "monitoring"][..]), 0..2);
    let levels = option::of(select(&["privileged", "baseline", "restricted"][..]));
    let labels = btree_map(select(&["example.com/tier", "cost"][..]), "[a-z]{1,8}", 0..3);
    let network = prop_oneof![
        Just(json!({"isolation": "None"})),
        selectors.prop_map(|names| {
            let allow: Vec<_> =
                names.iter().map(|name| json!({"matchLabels": {"kubernetes.io/metadata.name": name}})).collect();
            json!({"isolation": "Namespace", "allowFromNamespaces": allow})
        }),
    ];
    (hard, network, levels, labels, select(&ROLES[..]), lifetime()).prop_map(
        |(hard, network, level, labels, owner, lifetime)| {
            let hard: Map<String, Value> =
                hard.into_iter().map(|(key, units)| (key.into(), json!(quantity(key, units)))).collect();
            let roles: Vec<_> =
                ROLES.iter().map(|name| json!({"name": name, "clusterRole": format!("space-{name}")})).collect();
            read(json!({
                "ownerRole": owner, "roles": roles, "quota": {"hard": hard}, "network": network, "lifetime": lifetime,
                "podSecurity": level.map(|level| json!({"enforce": level})),
                "metadata": {"labels": labels, "allowedKeys": ["example.com/*", "team*"]},
            }))
        },
    )
}

fn lifetime() -> impl Strategy<Value = Value> {
    let span = || (1_u32..400).prop_map(|minutes| format!("{minutes}m"));
    (option::of(span()), option::of(span()), vec(span(), 0..3), any::<bool>()).prop_map(|(max, life, warn, never)| {
        let mut lifetime = json!({"warnBefore": warn, "allowNever": never});
        for (key, value) in [("maxTTL", max), ("maxLifetime", life)] {
            if let Some(value) = value {
                lifetime[key] = json!(value);
            }
        }
        lifetime
    })
}

/// A space that every class of [`class`] accepts. It was created at second 1000.
pub(crate) fn space() -> impl Strategy<Value = DeveloperSpace> {
    let member = (select(&["User", "Group"][..]), "[a-z]{1,3}", select(&ROLES[..]))
        .prop_map(|(kind, name, role)| json!({"kind": kind, "name": name, "role": role}));
    let labels = btree_map(select(&["example.com/tier", "example.com/stage", "team-x"][..]), "[a-z]{0,8}", 0..3);
    let text = || option::of("\\PC{0,12}");
    (vec(member, 0..5), labels, text(), text(), times(), subsequence(ROLES.to_vec(), 0..2)).prop_map(
        |(members, labels, team, description, times, _)| {
            let mut spec =
                json!({"owner": {"kind": "User", "name": "alice"}, "members": members, "labels": labels, "description": description});
            spec["contact"] = json!({"team": team});
            for (key, value) in times {
                spec[key] = value;
            }
            read(json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "spec": spec,
                "metadata": {"name": "alice", "uid": "space-1", "generation": 1, "creationTimestamp": "1970-01-01T00:16:40Z"},
            }))
        },
    )
}

fn times() -> impl Strategy<Value = BTreeMap<&'static str, Value>> {
    let at = || (900_i64..40_000).prop_map(|second| json!(chrono::DateTime::from_timestamp(second, 0)));
    let end = option::of(prop_oneof![
        (1_u32..400).prop_map(|minutes| ("ttl", json!(format!("{minutes}m")))),
        Just(("ttl", json!("never"))),
        at().prop_map(|at| ("expiresAt", at)),
    ]);
    (end, option::of(at()), any::<bool>()).prop_map(|(end, renewed, protected)| {
        let renewed = renewed.map(|at| ("renewedAt", at));
        end.into_iter().chain(renewed).chain([("protected", json!(protected))]).collect()
    })
}

/// An amount in one of the notations that a user may choose.
fn quantity(key: &str, units: u32) -> String {
    match key {
        "requests.memory" | "limits.memory" if units.is_multiple_of(2) => format!("{}Mi", units * 1024),
        "requests.memory" | "limits.memory" => format!("{units}Gi"),
        "requests.cpu" | "limits.cpu" if units.is_multiple_of(3) => format!("{units}000m"),
        _ => units.to_string(),
    }
}

/// A class that can be decoded and has nonsensical values.
pub(crate) fn wild_class() -> impl Strategy<Value = SpaceClassSpec> {
    (wild_list(), wild_list(), vec(wild_item(), 0..3), vec(wild_text(), 0..4), vec(wild_text(), 0..4), wild_text()).prop_map(
        |(hard, max, items, spans, keys, text)| {
            let span = |at: usize| spans.get(at).cloned();
            let mut lifetime = json!({"warnBefore": spans, "allowNever": true});
            for (at, key) in ["defaultTTL", "maxTTL", "maxLifetime", "retainExpired"].iter().enumerate() {
                if let Some(text) = span(at) {
                    lifetime[*key] = json!(text);
                }
            }
            read(json!({
                "ownerRole": text, "roles": [{"name": "a", "clusterRole": text}], "quota": {"hard": hard, "max": max}, "limitRange": items,
                "lifetime": lifetime, "metadata": {"labels": {text.clone(): text}, "allowedKeys": keys},
            }))
        },
    )
}

/// A space that can be decoded and has nonsensical values.
pub(crate) fn wild_space() -> impl Strategy<Value = DeveloperSpace> {
    let end = prop_oneof![
        wild_text().prop_map(|text| json!({"ttl": text})),
        wild_time().prop_map(|at| json!({"expiresAt": at}))
    ];
    (wild_list(), vec(wild_item(), 0..3), end, option::of(wild_time()), wild_status(), wild_text()).prop_map(
        |(quota, items, end, renewed, status, text)| {
            let mut spec = json!({
                "owner": {"kind": "User", "name": text}, "members": [{"kind": "Group", "name": text, "role": "a"}],
                "labels": {text.clone(): text}, "annotations": {text.clone(): text}, "quota": quota, "limitRange": items,
            });
            for (key, value) in end.as_object().into_iter().flatten() {
                spec[key] = value.clone();
            }
            if let Some(renewed) = renewed {
                spec["renewedAt"] = json!(renewed);
            }
            read(json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "spec": spec, "status": status,
                "metadata": {"name": text, "uid": text, "creationTimestamp": "2026-01-01T00:00:00Z"},
            }))
        },
    )
}

fn wild_status() -> impl Strategy<Value = Value> {
    (wild_time(), wild_time(), wild_time(), wild_text(), any::<bool>(), select(&[0, i64::MAX, i64::MIN][..])).prop_map(
        |(end, renewed, given, before, sealed, count)| {
        let condition = |type_: &str, is: bool| {
            json!({"type": type_, "status": if is { "True" } else { "False" }, "reason": "X", "message": "", "lastTransitionTime": "1999-01-01T00:00:00Z"})
        };
        json!({
            "expiresAt": end, "lastRenewedAt": renewed, "lastWarning": {"at": given, "before": before, "expiresAt": end},
            "renewals": count, "namespace": {"name": before, "uid": "ns"},
            "conditions": [condition("Expired", sealed), condition("Reconciling", !sealed)],
        })
    })
}

fn wild_list() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let key = prop_oneof![
        select(&["cpu", "requests.cpu", "limits.memory", "pods", "count/pods", "hugepages-"][..])
            .prop_map(str::to_owned),
        "\\PC{0,12}",
    ];
    let value = prop_oneof![
        "[+-]?[0-9]{0,40}[.]?[0-9]{0,40}(n|u|m|k|[MGTPE]i?|e[+-]?[0-9]{1,12})?".prop_map(Value::from),
        any::<i64>().prop_map(Value::from)
    ];
    btree_map(key, value, 0..5)
}

fn wild_item() -> impl Strategy<Value = Value> {
    (select(&["Container", "Pod", "PersistentVolumeClaim"][..]), vec(wild_list(), 5)).prop_map(|(type_, lists)| {
        json!({"type": type_, "default": lists[0], "defaultRequest": lists[1], "max": lists[2], "min": lists[3], "maxLimitRequestRatio": lists[4]})
    })
}

fn wild_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "[0-9]{0,20}[wdhms]", "never|forever", "(.|\\*|/){0,12}"]
}

fn wild_time() -> impl Strategy<Value = String> {
    prop_oneof![
        select(
            &[
                "0000-01-01T00:00:00Z",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59Z",
                "9999-12-31T23:59:59.999999999Z",
                "1969-12-31T23:59:59Z"
            ][..]
        )
        .prop_map(str::to_owned),
        (1970_u32..2100, 1_u32..13, 0_u32..60)
            .prop_map(|(year, month, second)| format!("{year}-{month:02}-01T00:00:{second:02}Z")),
    ]
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}"))
}
