//! Tests of the inputs that a space and its class give, and of the refusals.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    formula::End,
    inputs::{UNKNOWN_NOTICE, lifetime_inputs, refusal, retention, rules_of, terms},
    outlook::outlook,
    rules::LifetimeRules,
    stage::Stage,
};
use crate::api::{DeveloperSpace, SpaceClassSpec, Terms, conditions::Reason, duration::Ttl};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-{text}Z").parse().unwrap()
}

/// Created on 24 November at nine.
fn space(spec: &Value, status: &Value) -> DeveloperSpace {
    let metadata = json!({"name": "alice-payments", "creationTimestamp": "2026-11-24T09:00:00Z"});
    let mut object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec, "status": status});
    object["spec"]["owner"] = json!({"kind": "User", "name": "alice@example.com"});
    serde_json::from_value(object).unwrap()
}

#[test]
fn an_end_after_the_year_9999_is_recorded_as_the_last_representable_time() {
    let spec = json!({"expiresAt": "9999-12-31T23:59:59-23:59"});
    let terms = terms(&space(&spec, &json!({})), &class(&json!({"maxTTL": "30d"})), true);
    assert_eq!(json!(terms)["expiresAt"], "9999-12-31T23:59:59Z", "the API server takes no year of five digits");
}

fn class(lifetime: &Value) -> SpaceClassSpec {
    serde_json::from_value(json!({"ownerRole": "edit", "lifetime": lifetime})).unwrap()
}

/// The expiry in force.
fn ends(space: &DeveloperSpace, class: Option<&SpaceClassSpec>, is_accepted: bool, now: &str) -> Option<DateTime<Utc>> {
    outlook(&lifetime_inputs(space, rules_of(space, class).as_ref(), is_accepted, at(now)), at(now)).expires_at
}

#[test]
fn a_space_with_a_refused_ttl_ends_at_the_maximum_and_not_before() {
    let now = at("12-04T09:00:00");
    let (week, month) = (TimeDelta::days(7), TimeDelta::days(30));
    for max_ttl in [Some(month), None] {
        let rules = LifetimeRules { default_ttl: Some(Ttl::After(week)), max_ttl, ..LifetimeRules::default() };
        for spec in [json!({"ttl": "never"}), json!({"ttl": "soon"}), json!({"expiresAt": "2026-11-24T08:59:59Z"})] {
            let space = space(&spec, &Value::Null);
            assert_eq!(
                lifetime_inputs(&space, Some(&rules), false, now).end,
                max_ttl.map_or(End::Never, End::Ttl),
                "{spec} with {max_ttl:?}"
            );
            assert_eq!(refusal(&space, &rules, now).map(|refusal| refusal.reason), Some(Reason::InvalidSpec), "{spec}");
        }
        let plain = space(&json!({}), &Value::Null);
        assert_eq!(
            lifetime_inputs(&plain, Some(&rules), true, now).end,
            End::Ttl(week),
            "a space that names none has the default"
        );
    }
}

#[test]
fn without_terms_an_expiry_that_a_late_warning_moved_is_that_of_the_warning() {
    let warned = |expires_at: &str| {
        json!({"namespace": {"name": "alice-payments", "uid": "ns-1"}, "expiresAt": expires_at,
            "lastWarning": {"at": "2026-12-01T08:20:00Z", "before": "1h", "expiresAt": "2026-12-01T09:00:00Z"}})
    };
    let end =
        |spec: &Value, status: &Value| lifetime_inputs(&space(spec, status), None, false, at("12-01T08:30:00")).end;
    let (moved, renewed) = (warned("2026-12-01T09:20:00Z"), warned("2026-12-08T08:10:00Z"));
    assert_eq!(end(&json!({}), &moved), End::At(at("12-01T09:00:00")));
    assert_eq!(end(&json!({}), &renewed), End::At(at("12-08T08:10:00")), "renewed since the warning");
    let renewal = json!({"renewedAt": "2026-11-25T09:00:00Z"});
    assert_eq!(end(&renewal, &moved), End::At(at("12-02T09:20:00")), "a renewal that counts for the first time");
    assert_eq!(ends(&space(&json!({}), &moved), None, false, "12-01T08:30:00"), Some(at("12-01T09:20:00")));
}

#[test]
fn the_anchor_never_moves_back() {
    let class = class(&json!({"defaultTTL": "7d"}));
    let status = json!({"className": "standard", "namespace": {"name": "alice-payments", "uid": "ns-1"}, "lastRenewedAt": "2026-11-29T09:00:00Z",
        "expiresAt": "2026-12-06T09:00:00Z"});
    for (renewed_at, until) in [
        (json!("2026-12-03T09:00:03Z"), "12-10T09:00:03"),
        (json!("2026-12-03T09:01:00Z"), "12-10T09:01:00"),
        (json!("2026-12-03T09:01:01Z"), "12-06T09:00:00"),
        (json!("2099-12-03T09:00:03Z"), "12-06T09:00:00"),
        (json!("2026-11-25T09:00:00Z"), "12-06T09:00:00"),
        (Value::Null, "12-06T09:00:00"),
    ] {
        let space = space(&json!({"renewedAt": renewed_at}), &status);
        assert_eq!(ends(&space, Some(&class), true, "12-03T09:00:00"), Some(at(until)), "{renewed_at}");
    }
}

#[test]
fn a_renewal_in_the_future_counts_when_its_time_has_nearly_come() {
    let space = space(&json!({"renewedAt": "2026-12-03T09:00:00Z"}), &Value::Null);
    let rules = LifetimeRules { max_ttl: Some(TimeDelta::days(30)), ..LifetimeRules::default() };
    assert_eq!(
        lifetime_inputs(&space, Some(&rules), true, at("12-01T09:00:00")).renewal_counts_at,
        Some(at("12-03T08:59:00"))
    );
    assert!(
        refusal(&space, &rules, at("12-03T08:58:59"))
            .unwrap()
            .message
            .contains("2026-12-03T09:00:00Z is in the future")
    );
    assert_eq!(refusal(&space, &rules, at("12-03T08:59:00")), None);
}

fn admitted(terms: &Value) -> Value {
    json!({"className": "standard", "owner": {"kind": "User", "name": "alice@example.com"}, "namespace": {"name": "alice-payments", "uid": "ns-1"},
        "expiresAt": "2026-12-01T09:00:00Z", "terms": terms})
}

#[test]
fn while_the_class_is_missing_the_warnings_and_limits_of_the_terms_apply() {
    let terms =
        json!({"ttl": "7d", "maxTTL": "30d", "maxLifetime": "10d", "warnBefore": ["1h"], "retainExpired": "30d"});
    let renewed = space(&json!({"renewedAt": "2026-11-30T09:00:00Z"}), &admitted(&terms));
    let rules = rules_of(&renewed, None);
    assert_eq!(ends(&renewed, None, false, "11-30T10:00:00"), Some(at("12-04T09:00:00")), "renewed, up to maxLifetime");
    assert_eq!(retention(rules.as_ref()), TimeDelta::days(30));
    let late = space(&json!({}), &admitted(&terms));
    let seen = outlook(&lifetime_inputs(&late, rules.as_ref(), false, at("12-01T12:00:00")), at("12-01T12:00:00"));
    assert_eq!((seen.stage, seen.expires_at), (Stage::Warn(TimeDelta::hours(1)), Some(at("12-01T13:00:00"))));
}

#[test]
fn while_the_class_is_missing_the_consent_of_the_terms_applies() {
    let status = |allows: bool| {
        let mut status = admitted(&json!({"ttl": "never", "maxTTL": "30d", "allowNever": allows}));
        status["expiresAt"] = Value::Null;
        status
    };
    let endless = |allows: bool| space(&json!({"ttl": "never"}), &status(allows));
    assert_eq!(ends(&endless(true), None, false, "12-24T09:00:00"), None);
    assert_eq!(
        ends(&endless(false), None, false, "12-24T09:00:00"),
        Some(at("12-31T09:00:00")),
        "consent is withdrawn: a week"
    );
}

#[test]
fn without_terms_the_expiry_in_the_status_applies_after_a_warning() {
    let mut status = admitted(&Value::Null);
    let upgraded = space(&json!({"ttl": "7d"}), &status);
    let seen = outlook(&lifetime_inputs(&upgraded, None, false, at("12-01T12:00:00")), at("12-01T12:00:00"));
    assert_eq!((seen.stage, seen.expires_at), (Stage::Warn(UNKNOWN_NOTICE), Some(at("12-01T13:00:00"))));
    status["expiresAt"] = Value::Null;
    assert_eq!(ends(&space(&json!({"protected": true}), &status), None, false, "12-01T12:00:00"), None);
}

#[test]
fn a_refused_spec_has_the_last_accepted_ttl_within_the_current_class() {
    let terms = json!({"ttl": "7d", "maxTTL": "30d"});
    let poisoned = space(&json!({"ttl": "30d"}), &admitted(&terms));
    let loose = class(&json!({"maxTTL": "30d"}));
    assert_eq!(ends(&poisoned, Some(&loose), false, "11-25T09:00:00"), Some(at("12-01T09:00:00")));
    let tight = class(&json!({"maxTTL": "2d", "maxLifetime": "90d"}));
    assert_eq!(ends(&poisoned, Some(&tight), false, "11-25T09:00:00"), Some(at("11-26T09:00:00")));
}

#[test]
fn protection_requires_the_consent_of_the_class() {
    let spec = json!({"protected": true});
    let (allowing, refusing) =
        (class(&json!({"maxTTL": "7d", "allowProtected": true})), class(&json!({"maxTTL": "7d"})));
    let new = space(&spec, &Value::Null);
    assert_eq!(ends(&new, Some(&allowing), true, "11-24T09:00:00"), None);
    assert_eq!(ends(&new, Some(&refusing), false, "11-24T09:00:00"), Some(at("12-01T09:00:00")));
    let mut status = admitted(&json!({"ttl": "7d", "maxTTL": "7d", "allowProtected": true, "protected": true}));
    status["expiresAt"] = Value::Null;
    let protected = space(&spec, &status);
    assert_eq!(ends(&protected, None, false, "12-24T09:00:00"), None, "the class is missing");
    assert_eq!(
        ends(&protected, Some(&refusing), false, "12-24T09:00:00"),
        Some(at("12-31T09:00:00")),
        "consent is withdrawn: a week"
    );
    status["terms"] = Value::Null;
    let upgraded = space(&spec, &status);
    assert_eq!(
        ends(&upgraded, Some(&refusing), false, "12-24T09:00:00"),
        Some(at("12-31T09:00:00")),
        "consent was never given: a week"
    );
}

#[test]
fn terms_contain_the_current_class_and_the_last_accepted_spec() {
    let lifetime = json!({"defaultTTL": "7d", "maxTTL": "30d", "maxLifetime": "180d", "allowNever": true, "warnBefore": ["2d", "1h"], "retainExpired": "5d"});
    let class = SpaceClassSpec { allow_retain: true, ..class(&lifetime) };
    let read = |value: Value| serde_json::from_value::<Terms>(value).unwrap();
    let of_class = json!({"maxTTL": "30d", "maxLifetime": "180d", "allowNever": true, "allowRetain": true, "warnBefore": ["2d", "1h"], "retainExpired": "5d"});
    let with = |key: &str, value: &str| {
        let mut terms = of_class.clone();
        terms[key] = value.into();
        read(terms)
    };
    let old = admitted(&json!({"ttl": "3d", "maxTTL": "4d"}));
    assert_eq!(terms(&space(&json!({}), &old), &class, true), with("ttl", "7d"));
    assert_eq!(terms(&space(&json!({"ttl": "never"}), &old), &class, true), with("ttl", "never"));
    assert_eq!(terms(&space(&json!({"ttl": "9d"}), &old), &class, false), with("ttl", "3d"));
    let until = space(&json!({"expiresAt": "2026-12-24T09:00:00Z"}), &old);
    assert_eq!(terms(&until, &class, true), with("expiresAt", "2026-12-24T09:00:00Z"));
}

#[test]
fn a_warned_expiry_of_one_class_does_not_continue_in_another_that_admits_the_space() {
    let warning = json!({"at": "2026-11-24T09:00:00Z", "before": "2d", "expiresAt": "2026-11-26T09:00:00Z"});
    let mut status = json!({"expiresAt": "2026-11-26T09:00:00Z", "lastWarning": warning});
    let small = class(&json!({"maxTTL": "4h", "maxLifetime": "8h", "warnBefore": ["1h"]}));
    let spec = json!({"ttl": "4h"});
    let refused_before = space(&spec, &status);
    assert_eq!(ends(&refused_before, Some(&small), true, "11-24T09:30:00"), Some(at("11-24T13:00:00")));
    status["namespace"] = json!({"name": "alice-payments", "uid": "ns-1"});
    let admitted_before = space(&spec, &status);
    assert_eq!(ends(&admitted_before, Some(&small), true, "11-24T09:30:00"), Some(at("11-26T09:00:00")), "an old CRD");
}

#[test]
fn a_recorded_last_notice_stays_without_terms() {
    let ceiling = "2026-12-01T09:00:00Z";
    let notice = json!({"of": ceiling, "from": "2026-12-01T08:00:00Z", "until": ceiling});
    let warning = json!({"at": "2026-12-01T08:00:00Z", "before": "1h", "expiresAt": ceiling});
    let mut status = admitted(&Value::Null);
    status["lastNotice"] = notice;
    status["lastWarning"] = warning;
    let bounded = class(&json!({"maxTTL": "30d", "maxLifetime": "7d", "warnBefore": ["1h"]}));
    let upgraded = space(&json!({"ttl": "30d", "deletionPolicy": "Retain"}), &status);
    let now = at("12-01T08:30:00");
    let seen = outlook(&lifetime_inputs(&upgraded, rules_of(&upgraded, Some(&bounded)).as_ref(), false, now), now);
    let recorded = upgraded.status.as_ref().and_then(|status| status.last_notice);
    assert_eq!((seen.last_notice, seen.expires_at), (recorded, Some(at("12-01T09:00:00"))));
}

#[test]
fn a_last_notice_does_not_count_for_a_later_expiry_that_an_earlier_version_announced() {
    let notice = json!({"of": "2026-12-01T09:00:00Z", "from": "2026-12-01T09:00:00Z", "until": "2026-12-08T09:00:00Z"});
    let warning = json!({"at": "2026-12-14T09:00:00Z", "before": "1h", "expiresAt": "2026-12-14T10:00:00Z"});
    let mut status = admitted(&json!({"ttl": "7d", "maxTTL": "30d", "maxLifetime": "7d", "warnBefore": ["1h"]}));
    status["expiresAt"] = json!("2026-12-14T10:00:00Z");
    status["lastNotice"] = notice;
    status["lastWarning"] = warning;
    let bounded = class(&json!({"maxTTL": "30d", "maxLifetime": "7d", "warnBefore": ["1h"]}));
    let upgraded = space(&json!({"ttl": "7d"}), &status);
    let now = at("12-14T09:30:00");
    let seen = outlook(&lifetime_inputs(&upgraded, rules_of(&upgraded, Some(&bounded)).as_ref(), true, now), now);
    assert!(seen.stage != Stage::Due && seen.expires_at >= Some(at("12-14T10:00:00")), "{seen:?}");
}

#[test]
fn a_renewal_shortly_before_an_absolute_end_does_not_shorten_the_notice_of_a_late_warning() {
    let class = class(&json!({"maxTTL": "30d", "warnBefore": ["3m", "1m"]}));
    let warning = json!({"at": "2026-12-01T08:57:00Z", "before": "3m", "expiresAt": "2026-12-01T09:00:00Z"});
    let mut status =
        admitted(&json!({"expiresAt": "2026-12-01T09:00:00Z", "maxTTL": "30d", "warnBefore": ["3m", "1m"]}));
    status["lastRenewedAt"] = json!("2026-12-01T08:59:59Z");
    status["lastWarning"] = warning;
    for end in ["2026-12-01T09:00:00Z", "2026-12-01T08:59:59.500Z"] {
        let late = space(&json!({"expiresAt": end, "renewedAt": "2026-12-01T08:59:59Z"}), &status);
        assert_eq!(ends(&late, Some(&class), true, "12-01T09:02:30"), Some(at("12-01T09:03:30")), "{end}");
    }
}
