//! Tests of the notices of a space under its class, each from one status.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    inputs::{lifetime_inputs, rules_of},
    outlook::{Outlook, outlook},
    stage::Stage,
};
use crate::api::{DeveloperSpace, Notice, SpaceClassSpec};

/// The outlook in December for a space that was created on 24 November at nine, under the terms of a class with
/// `lifetime`.
fn look(spec: &Value, status: &Value, lifetime: &Value, now: &str) -> Outlook {
    let mut status = status.clone();
    status["namespace"] = json!({"name": "orchid-lab", "uid": "ns-1"});
    let metadata = json!({"name": "orchid-lab", "creationTimestamp": "2026-11-24T09:00:00Z"});
    let mut object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec, "status": status});
    object["spec"]["owner"] = json!({"kind": "Group", "name": "botany"});
    let space: DeveloperSpace = serde_json::from_value(object).unwrap();
    let class: SpaceClassSpec = serde_json::from_value(json!({"ownerRole": "edit", "lifetime": lifetime})).unwrap();
    let is_accepted = space.spec.protected == class.lifetime.as_ref().is_some_and(|lifetime| lifetime.allow_protected);
    let now = format!("2026-12-{now}Z").parse().unwrap();
    outlook(&lifetime_inputs(&space, rules_of(&space, Some(&class)).as_ref(), is_accepted, now), now)
}

fn end(outlook: &Outlook) -> String {
    outlook.expires_at.map(crate::api::time::rfc3339).unwrap_or_default()
}

#[test]
fn a_renewal_does_not_shorten_a_notice() {
    let terms = json!({"ttl": "7d", "maxTTL": "2d", "protected": true});
    let promised =
        json!({"of": "2026-12-01T12:00:00Z", "from": "2026-12-01T12:00:00Z", "until": "2026-12-08T12:00:00Z"});
    let warning = json!({"at": "2026-12-01T12:00:00Z", "before": "7d", "expiresAt": "2026-12-08T12:00:00Z"});
    let mut status =
        json!({"terms": terms, "expiresAt": "2026-12-08T12:00:00Z", "postponed": promised, "lastWarning": warning});
    let spec = json!({"protected": true, "renewedAt": "2026-12-02T10:00:00Z"});
    let renewed = look(&spec, &status, &json!({"maxTTL": "2d"}), "02T10:00:00");
    assert_eq!(end(&renewed), "2026-12-08T12:00:00Z");
    status["postponed"] =
        json!({"of": "2026-12-04T10:00:00Z", "from": "2026-12-01T12:00:00Z", "until": "2026-12-08T12:00:00Z"});
    status["lastRenewedAt"] = json!("2026-12-02T10:00:00Z");
    assert_eq!(
        end(&look(&spec, &status, &json!({"maxTTL": "2d"}), "02T10:00:01")),
        "2026-12-08T12:00:00Z",
        "nor does the next look"
    );
    let late = json!({"protected": true, "renewedAt": "2026-12-07T10:00:00Z"});
    let beyond = look(&late, &status, &json!({"maxTTL": "2d"}), "07T10:00:00");
    assert_eq!(end(&beyond), "2026-12-09T10:00:00Z", "a later end is its own");
    assert_eq!(json!(beyond.postponed)["until"], "2026-12-08T12:00:00Z", "a further change may bring it nearer");
}

#[test]
fn a_renewal_does_not_hide_a_change_of_the_class_before_the_same_reconcile() {
    let spec = json!({"renewedAt": "2026-12-02T10:00:00Z"});
    let warning = json!({"at": "2026-12-01T08:00:00Z", "before": "1h", "expiresAt": "2026-12-04T10:00:00Z"});
    for last_warning in [Value::Null, warning] {
        let terms = json!({"ttl": "9d", "maxTTL": "9d"});
        let status = json!({"terms": terms, "expiresAt": "2026-12-03T09:00:00Z", "lastWarning": last_warning});
        let tightened = json!({"defaultTTL": "2d", "maxTTL": "2d"});
        assert_eq!(end(&look(&spec, &status, &tightened, "05T10:00:00")), "2026-12-05T10:05:00Z", "{status}");
        let as_before = json!({"defaultTTL": "9d", "maxTTL": "9d"});
        assert_eq!(end(&look(&spec, &status, &as_before, "05T10:00:00")), "2026-12-11T10:00:00Z", "{status}");
    }
}

#[test]
fn a_renewal_does_not_hide_a_withdrawal_of_consent_before_the_same_reconcile() {
    let terms = json!({"ttl": "7d", "maxTTL": "7d", "allowProtected": true, "protected": true});
    let spec = json!({"protected": true, "renewedAt": "2026-12-02T10:00:00Z"});
    let withdrawn = look(&spec, &json!({"terms": terms}), &json!({"maxTTL": "2d"}), "05T10:00:00");
    assert_eq!(end(&withdrawn), "2026-12-12T10:00:00Z");
}

#[test]
fn a_space_that_only_max_lifetime_ended_gets_a_week_when_consent_is_withdrawn() {
    let terms = json!({"ttl": "never", "allowNever": true, "maxLifetime": "180d"});
    let status = json!({"terms": terms, "expiresAt": "2027-05-23T09:00:00Z"});
    let withdrawn =
        look(&json!({"ttl": "never"}), &status, &json!({"maxTTL": "2d", "maxLifetime": "180d"}), "05T10:00:00");
    assert_eq!(end(&withdrawn), "2026-12-12T10:00:00Z");
}

#[test]
fn never_gets_a_week_when_max_lifetime_replaces_consent() {
    let (no_end, status) =
        (json!({"ttl": "never"}), json!({"terms": {"ttl": "never", "allowNever": true, "warnBefore": ["1h"]}}));
    let bounded = json!({"maxLifetime": "2d", "warnBefore": ["1h"]});
    assert_eq!(end(&look(&no_end, &status, &bounded, "05T10:00:00")), "2026-12-12T10:00:00Z");
}

#[test]
fn never_gets_a_week_when_max_lifetime_is_shortened_and_consent_is_withdrawn() {
    let terms = json!({"ttl": "never", "allowNever": true, "maxLifetime": "365d", "warnBefore": ["1h"]});
    let status = json!({"terms": terms, "expiresAt": "2027-11-24T09:00:00Z"});
    let bounded = json!({"maxTTL": "30d", "maxLifetime": "2d", "warnBefore": ["1h"]});
    assert_eq!(end(&look(&json!({"ttl": "never"}), &status, &bounded, "05T10:00:00")), "2026-12-12T10:00:00Z");
}

/// The notice of a week, which an administrator began on 2 December by withdrawing consent.
fn week() -> Value {
    json!({"of": "2026-12-01T09:00:00Z", "from": "2026-12-02T09:00:00Z", "until": "2026-12-09T09:00:00Z"})
}

#[test]
fn a_later_max_lifetime_does_not_shorten_the_week_of_a_withdrawal() {
    // The owner kept the protection, or removed it as the condition asks.
    for spec in [json!({"protected": true}), json!({"ttl": "7d"})] {
        for max_lifetime in ["2d", "13d"] {
            let terms =
                json!({"ttl": "7d", "maxTTL": "7d", "protected": spec["protected"] == true, "warnBefore": ["1h"]});
            let mut status = json!({"terms": terms, "expiresAt": "2026-12-09T09:00:00Z", "postponed": week()});
            let bounded = json!({"maxTTL": "7d", "maxLifetime": max_lifetime, "warnBefore": ["1h"]});
            let seen = look(&spec, &status, &bounded, "03T09:00:00");
            assert_eq!(end(&seen), "2026-12-09T09:00:00Z", "{spec} with {max_lifetime}");
            let notice = seen.last_notice.expect("the notice is recorded");
            let rfc3339 = crate::api::time::rfc3339;
            status["lastNotice"] =
                json!({"of": rfc3339(notice.of), "from": rfc3339(notice.from), "until": rfc3339(notice.until)});
            if seen.postponed.is_none() {
                status["postponed"] = Value::Null;
            }
            assert_eq!(
                end(&look(&spec, &status, &bounded, "03T09:00:01")),
                "2026-12-09T09:00:00Z",
                "the next look at {spec}"
            );
        }
    }
}

#[test]
fn a_week_continues_when_another_limit_sets_the_end() {
    let terms = json!({"ttl": "30d", "maxTTL": "30d", "protected": true, "warnBefore": ["1h"]});
    let running =
        json!({"of": "2026-12-24T09:00:00Z", "from": "2026-12-25T09:00:00Z", "until": "2027-01-01T09:00:00Z"});
    let status = json!({"terms": terms, "expiresAt": "2027-01-01T09:00:00Z", "postponed": running});
    let seen =
        look(&json!({"protected": true}), &status, &json!({"maxTTL": "14d", "warnBefore": ["1h"]}), "26T09:00:00");
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let continued =
        Notice { of: at("2026-12-08T09:00:00Z"), from: at("2026-12-25T09:00:00Z"), until: at("2027-01-01T09:00:00Z") };
    assert_eq!((end(&seen).as_str(), seen.postponed), ("2027-01-01T09:00:00Z", Some(continued)));
}

#[test]
fn a_max_lifetime_that_is_set_after_a_missed_week_causes_a_warning() {
    let terms = json!({"ttl": "7d", "maxTTL": "7d", "warnBefore": ["1h"]});
    let status = json!({"terms": terms, "expiresAt": "2026-12-09T09:00:00Z", "postponed": week()});
    for max_lifetime in ["2d", "13d"] {
        let bounded = json!({"maxTTL": "7d", "maxLifetime": max_lifetime, "warnBefore": ["1h"]});
        let seen = look(&json!({"ttl": "7d"}), &status, &bounded, "10T09:00:00");
        assert_eq!(
            (end(&seen).as_str(), seen.stage),
            ("2026-12-10T10:00:00Z", Stage::Warn(TimeDelta::hours(1))),
            "{max_lifetime}"
        );
    }
}

#[test]
fn a_notice_that_max_lifetime_cut_ends_at_max_lifetime() {
    let terms = json!({"ttl": "7d", "maxTTL": "7d", "maxLifetime": "10d", "warnBefore": ["1h"]});
    let status = json!({"terms": terms, "expiresAt": "2026-12-04T09:00:00Z", "postponed": week()});
    let bounded = json!({"maxTTL": "7d", "maxLifetime": "10d", "warnBefore": ["1h"]});
    assert_eq!(end(&look(&json!({"ttl": "7d"}), &status, &bounded, "03T09:00:00")), "2026-12-04T09:00:00Z");
}

#[test]
fn a_renewal_within_a_notice_does_not_hide_a_change_of_the_class() {
    // The protection was lifted on 5 December. The renewal and the shorter ttl give the same end by the formula.
    let running =
        json!({"of": "2026-12-01T09:00:00Z", "from": "2026-12-05T09:00:00Z", "until": "2026-12-05T10:00:00Z"});
    let warning = json!({"at": "2026-12-05T09:00:00Z", "before": "1h", "expiresAt": "2026-12-05T10:00:00Z"});
    let terms = json!({"ttl": "7d", "maxTTL": "7d", "warnBefore": ["1h"]});
    let status =
        json!({"terms": terms, "expiresAt": "2026-12-05T10:00:00Z", "postponed": running, "lastWarning": warning});
    let spec = json!({"renewedAt": "2026-11-30T09:00:00Z"});
    let seen = look(&spec, &status, &json!({"defaultTTL": "1d", "maxTTL": "1d", "warnBefore": ["1h"]}), "05T10:00:00");
    assert_eq!((end(&seen).as_str(), seen.stage), ("2026-12-05T11:00:00Z", Stage::Warn(TimeDelta::hours(1))));
}

#[test]
fn other_thresholds_do_not_shorten_an_end_that_was_announced_within_a_notice() {
    let (hour, none) = (json!(["1h"]), json!([]));
    for (given_at, announced, before, after, now) in [
        // The removal of the thresholds moved the end by a week, and they are put back.
        ("09T08:00:00", "16T08:00:00", &none, hour.clone(), "10T09:00:00"),
        // The last warning was a day late.
        ("10T09:00:00", "10T10:00:00", &hour, json!(["5m"]), "10T09:10:00"),
        ("10T09:00:00", "10T10:00:00", &hour, json!([]), "10T09:10:00"),
        ("10T09:00:00", "10T10:00:00", &hour, json!(["2d", "1h"]), "10T09:10:00"),
        // The last warning was on time.
        ("09T08:00:00", "09T09:00:00", &hour, json!([]), "09T08:30:00"),
        ("09T08:00:00", "09T09:00:00", &hour, json!(["5m"]), "09T08:30:00"),
    ] {
        let at = |time: &str| json!(format!("2026-12-{time}Z"));
        let warning = json!({"at": at(given_at), "before": "1h", "expiresAt": "2026-12-09T09:00:00Z"});
        let terms = json!({"ttl": "7d", "maxTTL": "7d", "warnBefore": before});
        let status = json!({"terms": terms, "expiresAt": at(announced), "postponed": week(), "lastWarning": warning});
        let seen = look(&json!({"ttl": "7d"}), &status, &json!({"maxTTL": "7d", "warnBefore": after}), now);
        let expected = (at(announced), Stage::Warned(TimeDelta::hours(1)));
        assert_eq!((json!(end(&seen)), seen.stage), expected, "{before} became {after} at {now}");
    }
}

#[test]
fn an_old_renewal_does_not_shorten_an_end_that_a_late_warning_moved() {
    let warning = json!({"at": "2026-12-03T09:00:00Z", "before": "3d", "expiresAt": "2026-12-01T09:00:00Z"});
    let terms = json!({"ttl": "7d", "maxTTL": "7d", "warnBefore": ["1h"]});
    let status = json!({"terms": terms, "expiresAt": "2026-12-06T09:00:00Z", "lastWarning": warning});
    let unchanged = json!({"defaultTTL": "7d", "maxTTL": "7d", "warnBefore": ["1h"]});
    let renewed = look(&json!({"renewedAt": "2026-11-25T09:00:00Z"}), &status, &unchanged, "03T10:00:00");
    assert_eq!(end(&renewed), "2026-12-06T09:00:00Z");
    let now = look(&json!({"renewedAt": "2026-12-03T10:00:00Z"}), &status, &unchanged, "03T10:00:00");
    assert_eq!((end(&now).as_str(), now.postponed), ("2026-12-10T10:00:00Z", None), "a later end is its own");
}

#[test]
fn other_thresholds_do_not_shorten_an_end_that_a_late_warning_moved() {
    let (ttl, warned) = (
        json!({"ttl": "7d"}),
        |before: &str| json!({"at": "2026-12-03T09:00:00Z", "before": before, "expiresAt": "2026-12-01T09:00:00Z"}),
    );
    for (before, moved_to, after, expected) in [
        ("1h", "2026-12-03T10:00:00Z", json!([]), "2026-12-03T10:00:00Z"),
        ("1h", "2026-12-03T10:00:00Z", json!(["5m"]), "2026-12-03T10:00:00Z"),
        ("1h", "2026-12-03T10:00:00Z", json!(["1h"]), "2026-12-03T10:00:00Z"),
        ("1h", "2026-12-03T10:00:00Z", json!(["2d", "1h"]), "2026-12-03T10:00:00Z"),
        ("3d", "2026-12-06T09:00:00Z", json!(["1h"]), "2026-12-06T09:00:00Z"),
    ] {
        let status = json!({"terms": {"ttl": "7d", "warnBefore": [before]}, "expiresAt": moved_to, "lastWarning": warned(before)});
        let seen = look(&ttl, &status, &json!({"maxTTL": "7d", "warnBefore": after}), "03T09:10:00");
        assert_eq!(end(&seen), expected, "{before} became {after}");
        assert_ne!(seen.stage, Stage::Due, "{before} became {after}");
    }
}

#[test]
fn the_notice_of_a_shorter_max_lifetime_does_not_count_for_a_longer_one() {
    let terms = json!({"ttl": "30d", "maxTTL": "30d", "maxLifetime": "5d", "warnBefore": ["1h"]});
    let notice = json!({"of": "2026-11-29T09:00:00Z", "from": "2026-11-29T08:00:00Z", "until": "2026-11-29T09:00:00Z"});
    let status = json!({"terms": terms, "expiresAt": "2026-11-29T09:00:00Z", "lastNotice": notice});
    let lengthened = json!({"maxTTL": "30d", "maxLifetime": "10d", "warnBefore": ["1h"]});
    let seen = look(&json!({"ttl": "30d"}), &status, &lengthened, "05T10:00:00");
    assert_eq!(end(&seen), "2026-12-05T11:00:00Z", "the operator was away, and warns first");
}

#[test]
fn a_shorter_ttl_with_a_renewal_starts_no_notice() {
    let status = json!({"terms": {"ttl": "7d", "maxTTL": "30d"}, "expiresAt": "2026-12-08T09:00:00Z"});
    let spec = json!({"ttl": "1m", "renewedAt": "2026-12-02T10:00:00Z"});
    let renewed = look(&spec, &status, &json!({"defaultTTL": "7d", "maxTTL": "30d"}), "02T10:00:00");
    assert_eq!((end(&renewed).as_str(), renewed.postponed), ("2026-12-02T10:01:00Z", None));
}

#[test]
fn no_warning_is_given_of_a_notice_without_time() {
    // A late warning moved the expiry, and the class has no warnings any more. The owner renews in the last moment,
    // with a time of the past.
    let warning = json!({"at": "2026-12-03T09:00:00Z", "before": "3d", "expiresAt": "2026-12-01T09:00:00Z"});
    let terms = json!({"ttl": "7d", "maxTTL": "7d"});
    let mut status = json!({"terms": terms, "expiresAt": "2026-12-06T09:00:00Z", "lastWarning": warning});
    let (class, spec) = (json!({"defaultTTL": "7d", "maxTTL": "7d"}), json!({"renewedAt": "2026-11-25T09:00:00Z"}));
    for (now, stage) in [
        ("06T08:59:59", Stage::Warn(TimeDelta::seconds(1))),
        ("06T08:59:59.5", Stage::Calm),
        ("06T08:59:59.9", Stage::Due),
        ("06T09:00:00", Stage::Due),
    ] {
        let seen = look(&spec, &status, &class, now);
        assert_eq!((end(&seen).as_str(), seen.stage), ("2026-12-06T09:00:00Z", stage), "at {now}");
    }
    // An older version gave such a warning, which cannot be read back, at each reconcile.
    status["postponed"] =
        json!({"of": "2026-12-02T09:00:00Z", "from": "2026-12-06T09:00:00Z", "until": "2026-12-06T09:00:00Z"});
    status["lastWarning"] = json!({"at": "2026-12-06T09:00:00Z", "before": "0s", "expiresAt": "2026-12-06T09:00:00Z"});
    status["lastRenewedAt"] = json!("2026-11-25T09:00:00Z");
    let seen = look(&spec, &status, &class, "06T09:00:05");
    assert_eq!((end(&seen).as_str(), seen.stage), ("2026-12-06T09:00:00Z", Stage::Due));
}

#[test]
fn a_notice_does_not_count_after_an_earlier_version_has_removed_its_expiry() {
    let terms = json!({"ttl": "7d", "maxTTL": "30d", "maxLifetime": "2d", "warnBefore": ["1h"]});
    let notice = json!({"of": "2026-11-26T09:00:00Z", "from": "2026-12-01T09:00:00Z", "until": "2026-12-08T09:00:00Z"});
    let warning = json!({"at": "2026-12-08T08:00:00Z", "before": "1h", "expiresAt": "2026-12-08T09:00:00Z"});
    let status = json!({"terms": terms, "postponed": notice, "lastNotice": notice, "lastWarning": warning});
    let lifetime = json!({"maxTTL": "30d", "maxLifetime": "2d", "warnBefore": ["1h"]});
    let seen = look(&json!({"protected": true, "ttl": "7d"}), &status, &lifetime, "15T09:00:00");
    assert_eq!(
        (end(&seen).as_str(), seen.stage),
        ("2026-12-22T09:00:00Z", Stage::Warn(TimeDelta::days(7))),
        "a week, from now"
    );
    let owned = look(&json!({"ttl": "7d"}), &status, &lifetime, "15T09:00:00");
    assert_eq!((end(&owned).as_str(), owned.stage), ("2026-12-15T10:00:00Z", Stage::Warn(TimeDelta::hours(1))));
}

#[test]
fn a_warned_expiry_stays_when_an_earlier_version_of_the_crd_has_dropped_the_terms() {
    let warned = |at: &str| json!({"expiresAt": at, "lastWarning": {"at": "2026-12-02T09:00:00Z", "before": "7d", "expiresAt": "2026-12-09T09:00:00Z"}});
    for lifetime in [
        json!({"maxTTL": "2d", "warnBefore": ["1h"]}),
        json!({"maxTTL": "30d", "maxLifetime": "2d", "warnBefore": ["1h"]}),
    ] {
        let kept =
            look(&json!({"protected": true, "ttl": "2d"}), &warned("2026-12-09T09:00:00Z"), &lifetime, "03T09:00:00");
        assert_eq!(
            (end(&kept).as_str(), kept.stage),
            ("2026-12-09T09:00:00Z", Stage::Warned(TimeDelta::days(7))),
            "{lifetime}"
        );
        assert_eq!(
            kept.postponed.or(kept.last_notice).map(|notice| notice.until),
            kept.expires_at,
            "the status records it again"
        );
        let hour =
            look(&json!({"protected": true, "ttl": "2d"}), &warned("2026-12-09T09:00:00Z"), &lifetime, "09T08:00:00");
        assert_eq!(
            (end(&hour).as_str(), hour.stage),
            ("2026-12-09T09:00:00Z", Stage::Warn(TimeDelta::hours(1))),
            "{lifetime}"
        );
        let other =
            look(&json!({"ttl": "2d"}), &json!({"expiresAt": "2026-12-09T09:00:00Z"}), &lifetime, "03T09:00:00");
        assert_eq!(end(&other), "2026-12-03T10:00:00Z", "no warning was given of that expiry: {lifetime}");
    }
}
