//! Checks that the dates in the tables of `docs/lifetime.md` match the decisions of the code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use chrono::{DateTime, NaiveDateTime, Utc};
use developerspace_operator::{
    api::{DeveloperSpace, SpaceClassSpec, conditions::Reason, duration::parse_duration},
    desired::{
        lifetime::{
            inputs::{lifetime_inputs, retention, rules_of, terms},
            outlook::{Outlook, outlook},
            rules::LifetimeRules,
            stage::Stage,
        },
        status::{InForceStatus, Readiness, StatusInputs, next_status},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../docs/lifetime.md");

fn at(text: &str) -> DateTime<Utc> {
    NaiveDateTime::parse_from_str(text, "%d %B %Y %H:%M").unwrap_or_else(|error| panic!("{text}: {error}")).and_utc()
}

/// The shipped class `standard`, with another lifetime.
fn class(lifetime: &Value) -> SpaceClassSpec {
    let mut class: Value = serde_saphyr::from_str(include_str!("../config/classes/standard.yaml")).unwrap();
    if lifetime.is_object() {
        json_patch::merge(&mut class["spec"]["lifetime"], lifetime);
    }
    serde_json::from_value(class["spec"].take()).unwrap()
}

fn space(spec: &Value) -> DeveloperSpace {
    let mut space = json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
        "metadata": {"name": "alice-payments", "creationTimestamp": at("24 November 2026 09:00")}, "spec": spec,
    });
    space["spec"]["owner"] = json!({"kind": "User", "name": "alice@example.com"});
    serde_json::from_value(space).unwrap()
}

fn look(space: &DeveloperSpace, rules: &LifetimeRules, is_accepted: bool, now: DateTime<Utc>) -> Outlook {
    outlook(&lifetime_inputs(space, Some(rules), is_accepted, now), now)
}

/// The space after a reconcile under `class`, which accepts its spec.
fn reconciled(space: &DeveloperSpace, class: &SpaceClassSpec, now: DateTime<Utc>) -> DeveloperSpace {
    let outlook = look(space, &LifetimeRules::from_class(class).unwrap(), true, now);
    let in_force =
        InForceStatus { class_name: Some("standard".into()), owner: None, terms: Some(terms(space, class, true)) };
    let verdict = Readiness::new(Reason::Provisioned, "");
    let finding =
        StatusInputs { space, in_force, namespace: None, outlook: &outlook, sealed: false, readiness: verdict };
    DeveloperSpace { status: Some(next_status(&finding, now)), ..space.clone() }
}

/// The cells of all tables whose heading begins with `heading`.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let tables = PAGE.split("\n\n").filter(|block| block.starts_with(heading));
    tables.flat_map(|table| table.lines().skip(2).map(cells)).collect()
}

#[test]
fn a_life_with_one_renewal() {
    let (class, rows) = (class(&Value::Null), rows("| when | event |"));
    let rules = LifetimeRules::from_class(&class).unwrap();
    let mut space = space(&json!({"ttl": "7d"}));
    let mut seen = Vec::new();
    for row in &rows[..7] {
        let now = at(row[0]);
        space.spec.renewed_at = space.spec.renewed_at.or_else(|| row[1].starts_with("renewed").then_some(now));
        let outlook = look(&space, &rules, true, now);
        seen.push((outlook.stage, outlook.expires_at));
        space = reconciled(&space, &class, now);
    }
    let warn = |text: &str| Stage::Warn(parse_duration(text).unwrap());
    let [first, second] = ["1 December 2026 09:00", "7 December 2026 10:00"].map(|end| Some(at(end)));
    let expected = [
        (Stage::Calm, first),
        (warn("2d"), first),
        (Stage::Calm, second),
        (warn("2d"), second),
        (warn("12h"), second),
        (warn("1h"), second),
        (Stage::Due, second),
    ];
    assert_eq!(seen, expected);
    assert_eq!(at(rows[7][0]), at(rows[6][0]) + retention(Some(&rules)));
}

/// The change that a row of the table describes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// The beginning of the row's text.
    row: String,
    /// The time of the last reconcile before the change.
    seen: String,
    /// The spec before the change; `then` is the spec after it, if it differs.
    spec: Value,
    then: Option<Value>,
    /// The class's lifetime before the change, as a merge patch of that of `standard`; `then_lifetime` is the one after
    /// it, if it differs.
    #[serde(default)]
    lifetime: Value,
    then_lifetime: Option<Value>,
    #[serde(default)]
    class_is_deleted: bool,
    #[serde(default)]
    spec_is_refused: bool,
}

const CHANGES: &str = r#"
- {row: "the owner sets `ttl: 3d`", seen: 24 November 2026 09:00, spec: {ttl: 7d}, then: {ttl: 3d}}
- {row: "the owner sets `ttl: 1d`", seen: 24 November 2026 09:00, spec: {ttl: 7d}, then: {ttl: 1d}}
- {row: an administrator sets `defaultTTL`, seen: 29 November 2026 09:00, spec: {ttl: 7d}, thenLifetime: {defaultTTL: 2d, maxTTL: 2d}, specIsRefused: true}
- {row: an administrator deletes, seen: 29 November 2026 09:00, spec: {ttl: 7d}, classIsDeleted: true, specIsRefused: true}
- {row: "the operator runs again, after an outage since 30 November", seen: 30 November 2026 08:00, spec: {ttl: 7d}}
- {row: "the owner sets `protected: false`", seen: 24 December 2026 08:00, spec: {ttl: 7d, protected: true}, then: {ttl: 7d},
   lifetime: {allowProtected: true}}
- {row: "an administrator sets `allowProtected: false`", seen: 24 December 2026 08:00, spec: {ttl: 7d, protected: true},
   lifetime: {allowProtected: true}, thenLifetime: {allowProtected: false}, specIsRefused: true}
- {row: renewed, seen: 1 May 2027 09:00, spec: {ttl: 30d, renewedAt: 2027-04-15T09:00:00Z}, then: {ttl: 30d, renewedAt: 2027-05-10T09:00:00Z}}
- {row: "renewed, half an hour", seen: 23 May 2027 08:00, spec: {ttl: 30d, renewedAt: 2027-05-10T09:00:00Z},
   then: {ttl: 30d, renewedAt: 2027-05-23T08:30:00Z}}
- {row: "the operator runs again, after an outage since 20 May", seen: 20 May 2027 08:00, spec: {ttl: 30d, renewedAt: 2027-05-10T09:00:00Z}}
- {row: "an administrator sets `maxLifetime: 30d`", seen: 9 January 2027 09:00, spec: {ttl: 30d, renewedAt: 2027-01-01T09:00:00Z},
   thenLifetime: {maxLifetime: 30d}}
"#;

#[test]
fn ends_after_a_change() {
    let (rows, changes) = (rows("| when | change |"), serde_saphyr::from_str::<Vec<Change>>(CHANGES).unwrap());
    assert_eq!(rows.len(), changes.len());
    for (row, change) in rows.iter().zip(changes) {
        let [when, text, formula, end] = row[..] else { panic!("{row:?}") };
        assert!(text.starts_with(&change.row), "{text}");
        let before = class(&change.lifetime);
        let present = change.then_lifetime.map_or_else(|| before.clone(), |lifetime| class(&lifetime));
        let mut after = space(change.then.as_ref().unwrap_or(&change.spec));
        after.status = reconciled(&space(&change.spec), &before, at(&change.seen)).status;
        let rules = rules_of(&after, Some(&present).filter(|_| !change.class_is_deleted)).unwrap();
        let seen = look(&after, &rules, !change.spec_is_refused, at(when));
        let of = seen.postponed.or(seen.last_notice).map_or(seen.nominal, |notice| Some(notice.of));
        assert_eq!((of, seen.expires_at), (Some(at(formula)), Some(at(end))), "{text}");
    }
}
