//! The life of one space over several reconciles: each reconcile starts from the status that the previous one wrote.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    inputs::{lifetime_inputs, refusal, terms},
    outlook::{Outlook, outlook},
    rules::LifetimeRules,
    stage::Stage,
};
use crate::{
    api::{
        DeveloperSpace, DeveloperSpaceStatus, NamespaceRef, Notice, SpaceClassSpec,
        conditions::{self, Reason, types},
        duration::{format_duration, parse_duration},
        time::rfc3339,
    },
    desired::status::{InForceStatus, Note, Readiness, StatusInputs, next_status, notes},
};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-{text}Z").parse().unwrap()
}

fn class(lifetime: &Value) -> SpaceClassSpec {
    serde_json::from_value(json!({"ownerRole": "edit", "lifetime": lifetime})).unwrap()
}

/// A space that was created on 24 November at nine. Each reconcile is given its class.
struct Life {
    space: DeveloperSpace,
    notes: Vec<Note>,
}

impl Life {
    fn new(spec: &Value) -> Self {
        let metadata = json!({"name": "orchid-lab", "generation": 1, "creationTimestamp": "2026-11-24T09:00:00Z"});
        let owner = json!({"owner": {"kind": "User", "name": "ada@example.com"}});
        let space = serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": owner,
        }));
        let mut life = Self { space: space.unwrap(), notes: Vec::new() };
        life.edit(spec);
        life
    }

    /// A change of the spec by the owner.
    fn edit(&mut self, spec: &Value) {
        let mut whole = serde_json::to_value(&self.space.spec).unwrap();
        json_patch::merge(&mut whole, spec);
        self.space.spec = serde_json::from_value(whole).unwrap();
        self.space.metadata.generation = self.space.metadata.generation.map(|generation| generation + 1);
    }

    /// A reconcile under `class`, to which the space is admitted if its times are allowed there.
    fn look(&mut self, class: &SpaceClassSpec, now: &str) -> Outlook {
        let (space, rules, now) = (&self.space, LifetimeRules::from_class(class).unwrap(), at(now));
        let is_accepted = refusal(space, &rules, now).is_none();
        let outlook = outlook(&lifetime_inputs(space, Some(&rules), is_accepted, now), now);
        let finding = StatusInputs {
            space,
            in_force: InForceStatus {
                class_name: Some("greenhouse".into()),
                owner: None,
                terms: Some(terms(space, class, is_accepted)),
            },
            namespace: Some(NamespaceRef { name: "orchid-lab".into(), uid: "ns-1".into() }),
            outlook: &outlook,
            sealed: outlook.stage == Stage::Due,
            readiness: Readiness::new(Reason::Provisioned, ""),
        };
        let status = next_status(&finding, now);
        self.notes = notes(&space.status.clone().unwrap_or_default(), &status);
        self.space.status = Some(status);
        outlook
    }

    fn status(&self) -> &DeveloperSpaceStatus {
        self.space.status.as_ref().unwrap()
    }
}

/// The stage in words, and the end.
fn stage_and_end(outlook: &Outlook) -> (String, String) {
    let stage = match outlook.stage {
        Stage::Calm => "calm".to_owned(),
        Stage::Warn(before) => format!("warn {}", format_duration(before)),
        Stage::Warned(before) => format!("warned {}", format_duration(before)),
        Stage::Due => "due".to_owned(),
    };
    (stage, outlook.expires_at.map_or_else(|| "never".to_owned(), rfc3339))
}

fn is(stage: &str, end: &str) -> (String, String) {
    (stage.to_owned(), format!("2026-{end}Z"))
}

#[test]
fn a_move_to_another_class_and_back_causes_another_warning() {
    let (short, long) = (
        class(&json!({"defaultTTL": "7d", "warnBefore": ["1h"]})),
        class(&json!({"defaultTTL": "30d", "warnBefore": ["1h"]})),
    );
    let mut life = Life::new(&json!({}));
    life.look(&short, "11-24T09:00:00");
    assert_eq!(stage_and_end(&life.look(&short, "12-01T08:00:00")), is("warn 1h", "12-01T09:00:00"));
    assert_eq!(stage_and_end(&life.look(&long, "12-01T08:30:00")), is("calm", "12-24T09:00:00"));
    assert_eq!(life.status().last_warning, None, "it was of an end that is no more");
    assert_eq!(stage_and_end(&life.look(&short, "12-02T09:00:00")), is("warn 1h", "12-02T10:00:00"));
    assert_eq!(stage_and_end(&life.look(&short, "12-02T09:59:59")), is("warned 1h", "12-02T10:00:00"));
    assert_eq!(stage_and_end(&life.look(&short, "12-02T10:00:00")), is("due", "12-02T10:00:00"));
}

/// The changes by which an owner may try to prolong the life of the space.
fn attempts() -> [Value; 5] {
    [
        json!({"ttl": "30d"}),
        json!({"renewedAt": "2026-12-20T09:01:00Z"}),
        json!({"ttl": null, "expiresAt": "2027-03-01T00:00:00Z"}),
        json!({"expiresAt": "2026-12-20T11:00:00Z", "renewedAt": "2026-12-20T09:01:20Z"}),
        json!({"ttl": "1d", "expiresAt": null}),
    ]
}

#[test]
fn a_protection_that_is_removed_beyond_max_lifetime_starts_one_notice_of_the_shortest_warning() {
    let class =
        class(&json!({"defaultTTL": "7d", "maxLifetime": "10d", "allowProtected": true, "warnBefore": ["1d", "2m"]}));
    let mut life = Life::new(&json!({"protected": true}));
    assert_eq!(stage_and_end(&life.look(&class, "11-24T09:00:00")).1, "never");
    life.edit(&json!({"protected": false}));
    assert_eq!(stage_and_end(&life.look(&class, "12-20T09:00:00")), is("warn 2m", "12-20T09:02:00"));
    let notice = Notice { of: at("12-04T09:00:00"), from: at("12-20T09:00:00"), until: at("12-20T09:02:00") };
    for (second, edit) in attempts().iter().enumerate() {
        life.edit(edit);
        let seen = life.look(&class, &format!("12-20T09:01:{:02}", 10 * second));
        assert_eq!(
            (stage_and_end(&seen), seen.last_notice),
            (is("warned 2m", "12-20T09:02:00"), Some(notice)),
            "{edit}"
        );
    }
    assert_eq!(stage_and_end(&life.look(&class, "12-20T09:02:00")), is("due", "12-20T09:02:00"));
}

#[test]
fn beyond_max_lifetime_a_move_to_another_class_and_back_starts_no_second_notice() {
    let within = |max: &str| class(&json!({"defaultTTL": "7d", "maxLifetime": max, "warnBefore": ["1h"]}));
    let (one, other) = (within("10d"), within("11d"));
    let mut life = Life::new(&json!({}));
    life.look(&one, "11-24T09:00:00");
    life.edit(&json!({"renewedAt": "2026-11-30T09:00:00Z"}));
    life.look(&one, "11-30T09:00:00");
    assert_eq!(
        stage_and_end(&life.look(&one, "12-20T09:00:00")),
        is("warn 1h", "12-20T10:00:00"),
        "the operator was away"
    );
    for (class, now) in
        [(&other, "12-20T09:30:00"), (&one, "12-20T09:45:00"), (&other, "12-20T09:55:00"), (&one, "12-20T09:59:59")]
    {
        assert_eq!(stage_and_end(&life.look(class, now)), is("warned 1h", "12-20T10:00:00"), "at {now}");
    }
    assert_eq!(stage_and_end(&life.look(&one, "12-20T10:00:00")), is("due", "12-20T10:00:00"));
}

/// An administrator withdraws consent, and sets a longest life two days later.
#[test]
fn a_max_lifetime_that_is_set_later_keeps_the_week_of_a_withdrawal() {
    let protecting = json!({"defaultTTL": "7d", "allowProtected": true});
    let endless = json!({"defaultTTL": "never", "allowNever": true});
    let refusing = class(&json!({"defaultTTL": "7d", "warnBefore": ["1h"]}));
    let bounded = class(&json!({"defaultTTL": "7d", "maxLifetime": "9d", "warnBefore": ["1h"]}));
    for (spec, consenting, edit) in [
        (json!({"protected": true}), protecting, json!({"protected": false})),
        (json!({}), endless, json!({"displayName": "Orchids"})),
    ] {
        let mut life = Life::new(&spec);
        assert_eq!(stage_and_end(&life.look(&class(&consenting), "11-24T09:00:00")).1, "never", "{spec}");
        assert_eq!(stage_and_end(&life.look(&refusing, "12-07T09:00:00")), is("warn 7d", "12-14T09:00:00"), "{spec}");
        life.edit(&edit);
        for (class, now, stage) in [
            (&refusing, "12-08T09:00:00", "warned 7d"),
            (&bounded, "12-09T09:00:00", "warned 7d"),
            (&bounded, "12-09T09:00:01", "warned 7d"),
            (&bounded, "12-14T08:00:00", "warn 1h"),
            (&bounded, "12-14T08:59:59", "warned 1h"),
            (&bounded, "12-14T09:00:00", "due"),
        ] {
            assert_eq!(stage_and_end(&life.look(class, now)), is(stage, "12-14T09:00:00"), "{spec} at {now}");
        }
    }
}

#[test]
fn a_renewal_to_the_same_date_keeps_the_end_that_a_late_warning_moved() {
    let class = class(&json!({"defaultTTL": "7d", "warnBefore": ["1h"]}));
    // A GitOps sync can apply a renewal long after its time.
    for (renewed_at, now) in [("2026-12-01T08:50:00Z", "12-01T08:50:00"), ("2026-12-01T08:00:00Z", "12-01T09:10:00")] {
        let mut life = Life::new(&json!({"expiresAt": "2026-12-01T09:00:00Z"}));
        assert_eq!(stage_and_end(&life.look(&class, "11-24T09:00:00")), is("calm", "12-01T09:00:00"));
        assert_eq!(
            stage_and_end(&life.look(&class, "12-01T08:20:00")),
            is("warn 1h", "12-01T09:20:00"),
            "20 minutes late"
        );
        life.edit(&json!({"renewedAt": renewed_at}));
        for now in [now, "12-01T09:19:59"] {
            assert_eq!(
                stage_and_end(&life.look(&class, now)),
                is("warned 1h", "12-01T09:20:00"),
                "renewed at {renewed_at}, at {now}"
            );
        }
        assert_eq!(
            stage_and_end(&life.look(&class, "12-01T09:20:00")),
            is("due", "12-01T09:20:00"),
            "renewed at {renewed_at}"
        );
    }
}

/// An administrator sets a longest life and shorter warnings, while an end that a late warning moved is announced.
#[test]
fn an_end_that_max_lifetime_shortens_causes_a_warning_at_once() {
    let usual = class(&json!({"defaultTTL": "7d", "warnBefore": ["2d", "12h", "1h"]}));
    let bounded = class(&json!({"defaultTTL": "7d", "maxLifetime": "169h", "warnBefore": ["5m"]}));
    let mut life = Life::new(&json!({}));
    assert_eq!(stage_and_end(&life.look(&usual, "11-24T09:00:00")), is("calm", "12-01T09:00:00"));
    assert_eq!(stage_and_end(&life.look(&usual, "12-01T12:00:00")), is("warn 1h", "12-01T13:00:00"));
    assert_eq!(stage_and_end(&life.look(&bounded, "12-01T12:10:00")), is("warn 5m", "12-01T12:15:00"));
    assert_eq!(stage_and_end(&life.look(&bounded, "12-01T12:14:59")), is("warned 5m", "12-01T12:15:00"));
    assert_eq!(stage_and_end(&life.look(&bounded, "12-01T12:15:00")), is("due", "12-01T12:15:00"));
}

/// The ttl is shorter than every warning, and the operator was away when the last warning of a withdrawn consent was
/// due.
#[test]
fn a_renewal_of_a_short_ttl_keeps_the_end_that_a_late_warning_moved() {
    let protecting = class(&json!({"allowProtected": true, "warnBefore": ["2d", "12h", "1h"]}));
    let refusing = class(&json!({"warnBefore": ["2d", "12h", "1h"]}));
    let mut life = Life::new(&json!({"ttl": "30m", "protected": true}));
    assert_eq!(stage_and_end(&life.look(&protecting, "11-24T09:00:00")).1, "never");
    assert_eq!(stage_and_end(&life.look(&refusing, "12-02T09:00:00")).1, "2026-12-09T09:00:00Z");
    assert_eq!(stage_and_end(&life.look(&refusing, "12-09T09:30:00")), is("warn 1h", "12-09T10:30:00"));
    life.edit(&json!({"renewedAt": "2026-12-09T09:40:00Z"}));
    assert_eq!(stage_and_end(&life.look(&refusing, "12-09T09:40:00")).1, "2026-12-09T10:30:00Z");
}

/// The owner corrects the spec and renews in one edit, while the week of a withdrawn consent runs beyond the longest
/// life.
#[test]
fn a_correction_with_a_renewal_keeps_the_week_of_a_withdrawal() {
    let endless = class(&json!({"defaultTTL": "never", "allowNever": true, "warnBefore": ["1h"]}));
    let bounded = class(&json!({"defaultTTL": "30d", "maxTTL": "30d", "maxLifetime": "9d", "warnBefore": ["1h"]}));
    let mut life = Life::new(&json!({"ttl": "never"}));
    assert_eq!(stage_and_end(&life.look(&endless, "11-24T09:00:00")).1, "never");
    assert_eq!(stage_and_end(&life.look(&bounded, "11-30T09:00:00")).1, "2026-12-07T09:00:00Z");
    life.edit(&json!({"ttl": "1d", "renewedAt": "2026-12-01T09:00:00Z"}));
    for now in ["12-01T09:00:00", "12-01T09:00:01"] {
        assert_eq!(stage_and_end(&life.look(&bounded, now)).1, "2026-12-07T09:00:00Z", "at {now}");
    }
}

/// The end by the formula is later than the week of a withdrawn consent, until a further change of the class.
#[test]
fn a_withdrawal_that_postpones_nothing_still_gives_a_week() {
    let protecting = class(&json!({"defaultTTL": "7d", "maxTTL": "30d", "allowProtected": true, "warnBefore": ["1h"]}));
    let refusing = class(&json!({"defaultTTL": "7d", "maxTTL": "30d", "warnBefore": ["1h"]}));
    let shorter = class(&json!({"defaultTTL": "6d", "maxTTL": "6d", "warnBefore": ["1h"]}));
    let bounded = class(&json!({"defaultTTL": "7d", "maxTTL": "30d", "maxLifetime": "10d", "warnBefore": ["1h"]}));
    for (edit, end) in [
        (json!({}), "2026-12-24T09:00:00Z"),
        (json!({"displayName": "Orchids"}), "2026-12-24T09:00:00Z"),
        (json!({"renewedAt": "2026-12-05T10:05:00Z"}), "2027-01-04T10:05:00Z"),
    ] {
        for further in [&shorter, &bounded] {
            let mut life = Life::new(&json!({"protected": true, "ttl": "30d"}));
            assert_eq!(stage_and_end(&life.look(&protecting, "11-24T09:00:00")).1, "never");
            assert_eq!(stage_and_end(&life.look(&refusing, "12-05T10:00:00")), is("calm", "12-24T09:00:00"));
            life.edit(&edit);
            assert_eq!(stage_and_end(&life.look(&refusing, "12-05T10:05:00")).1, end, "{edit}");
            for (now, stage) in [
                ("12-05T10:10:00", "warn 6d23h50m"),
                ("12-05T10:10:01", "warned 6d23h50m"),
                ("12-12T08:59:59", "warned 6d23h50m"),
                ("12-12T09:00:00", "warn 1h"),
                ("12-12T09:59:59", "warned 1h"),
                ("12-12T10:00:00", "due"),
            ] {
                assert_eq!(stage_and_end(&life.look(further, now)), is(stage, "12-12T10:00:00"), "{edit} at {now}");
            }
        }
    }
}

/// An administrator corrects a longest life that was set after the withdrawal, and shortens the ttl.
#[test]
fn a_correction_of_max_lifetime_keeps_the_week_of_a_withdrawal() {
    let with = |max_ttl: &str, max_lifetime: &str| {
        class(&json!({"maxTTL": max_ttl, "maxLifetime": max_lifetime, "warnBefore": ["1h"]}))
    };
    let protecting = class(&json!({"maxTTL": "30d", "allowProtected": true, "warnBefore": ["1h"]}));
    let mut life = Life::new(&json!({"protected": true, "ttl": "30d"}));
    life.look(&protecting, "11-24T09:00:00");
    for (class, now, end) in [
        (with("30d", "100d"), "12-05T10:00:00", "12-24T09:00:00"),
        (with("30d", "10d"), "12-05T10:05:00", "12-12T10:00:00"),
        (with("30d", "100d"), "12-05T10:10:00", "12-24T09:00:00"),
        (with("6d", "100d"), "12-05T10:15:00", "12-12T10:00:00"),
    ] {
        assert_eq!(stage_and_end(&life.look(&class, now)).1, format!("2026-{end}Z"), "at {now}");
    }
}

/// The class has no warnings, so the only warning is the notice itself.
#[test]
fn a_week_that_postpones_an_end_later_is_announced_then() {
    let protecting = class(&json!({"maxTTL": "30d", "allowProtected": true}));
    let mut life = Life::new(&json!({"protected": true, "ttl": "30d"}));
    life.look(&protecting, "11-24T09:00:00");
    for (max_ttl, now, stage, end) in [
        ("30d", "12-05T10:00:00", "calm", "12-24T09:00:00"),
        ("6d", "12-11T10:00:00", "warn 1d", "12-12T10:00:00"),
        ("6d", "12-12T09:59:59", "warned 1d", "12-12T10:00:00"),
        ("6d", "12-12T10:00:00", "due", "12-12T10:00:00"),
    ] {
        assert_eq!(stage_and_end(&life.look(&class(&json!({"maxTTL": max_ttl})), now)), is(stage, end), "at {now}");
    }
}

/// Without terms, as after an upgrade, the renewal gives the first end of the space.
#[test]
fn a_renewal_without_terms_does_not_hide_a_withdrawal_of_consent() {
    let bounded = class(&json!({"defaultTTL": "7d", "maxLifetime": "10d", "warnBefore": ["1h"]}));
    for renewed_at in [Value::Null, json!("2026-12-24T09:59:30Z")] {
        let mut life = Life::new(&json!({"protected": true, "renewedAt": renewed_at}));
        life.space.status = Some(DeveloperSpaceStatus {
            namespace: Some(NamespaceRef { name: "orchid-lab".into(), uid: "ns-1".into() }),
            ..DeveloperSpaceStatus::default()
        });
        for now in ["12-24T10:00:00", "12-24T10:00:01"] {
            let (_, end) = stage_and_end(&life.look(&bounded, now));
            assert_eq!(end, "2026-12-31T10:00:00Z", "renewed at {renewed_at}, at {now}");
        }
    }
}

#[test]
fn moves_between_two_classes_start_one_notice_of_the_longer_warning() {
    let with = |warning: &str| class(&json!({"defaultTTL": "7d", "warnBefore": [warning]}));
    let (brief, long) = (with("5m"), with("1h"));
    let mut life = Life::new(&json!({}));
    life.look(&brief, "11-24T09:00:00");
    assert_eq!(stage_and_end(&life.look(&brief, "12-01T08:55:00")), is("warn 5m", "12-01T09:00:00"));
    for (class, now) in [
        (&long, "12-01T08:56:00"),
        (&brief, "12-01T08:57:00"),
        (&long, "12-01T08:58:00"),
        (&brief, "12-01T09:50:00"),
        (&long, "12-01T09:51:00"),
        (&brief, "12-01T09:52:00"),
        (&long, "12-01T09:54:59"),
    ] {
        assert_eq!(stage_and_end(&life.look(class, now)), is("warned 5m", "12-01T09:55:00"), "at {now}");
    }
    assert_eq!(stage_and_end(&life.look(&brief, "12-01T09:55:00")), is("due", "12-01T09:55:00"));
}

#[test]
fn an_end_in_the_past_starts_a_notice_of_five_minutes_if_the_class_has_no_warnings() {
    let class = class(&json!({"defaultTTL": "7d"}));
    let mut life = Life::new(&json!({}));
    life.look(&class, "11-24T09:00:00");
    life.edit(&json!({"expiresAt": "2026-11-25T09:00:00Z"}));
    assert_eq!(stage_and_end(&life.look(&class, "11-27T09:00:00")), is("warn 5m", "11-27T09:05:00"));
    assert_eq!(stage_and_end(&life.look(&class, "11-27T09:04:59")), is("warned 5m", "11-27T09:05:00"));
    assert_eq!(stage_and_end(&life.look(&class, "11-27T09:05:00")), is("due", "11-27T09:05:00"));
}

#[test]
fn a_renewal_in_the_future_does_not_replace_the_last_one() {
    let class = class(&json!({"defaultTTL": "7d"}));
    let mut life = Life::new(&json!({}));
    life.look(&class, "11-24T09:00:00");
    life.edit(&json!({"renewedAt": "2026-11-29T09:00:00Z"}));
    assert_eq!(stage_and_end(&life.look(&class, "11-29T09:00:00")), is("calm", "12-06T09:00:00"));
    for (renewed_at, now) in [
        (json!("2026-11-30T09:01:01Z"), "11-30T09:00:00"),
        (json!("2099-11-30T09:00:00Z"), "11-30T10:00:00"),
        (Value::Null, "11-30T11:00:00"),
        (json!("2026-11-28T09:00:00Z"), "11-30T12:00:00"),
    ] {
        life.edit(&json!({"renewedAt": renewed_at}));
        let seen = stage_and_end(&life.look(&class, now));
        let (last, renewals) = (life.status().last_renewed_at, life.status().renewals);
        assert_eq!(
            (seen, last, renewals),
            (is("calm", "12-06T09:00:00"), Some(at("11-29T09:00:00")), Some(1)),
            "{renewed_at}"
        );
    }
}

/// A renewal is advised only if it moves the end.
#[test]
fn a_warning_contains_the_field_that_sets_the_end_and_the_remedy() {
    let until = |end: &str| json!({"ttl": null, "expiresAt": format!("2026-{end}Z")});
    let longest = "lifetime.maxLifetime of the class sets this expiry, and a renewal does not extend it: create a new DeveloperSpace, or use another class";
    let renew = "to renew, set spec.renewedAt to the current time";
    for (spec, lifetime, end, remedy) in [
        (json!({}), json!({}), "12-01T09:00:00", renew),
        (
            until("11-28T09:00:00"),
            json!({}),
            "11-28T09:00:00",
            "spec.expiresAt sets this expiry: set a later time to keep the namespace",
        ),
        (until("12-28T09:00:00"), json!({"maxTTL": "8d"}), "12-02T09:00:00", renew),
        (json!({}), json!({"maxLifetime": "5d"}), "11-29T09:00:00", longest),
        (json!({}), json!({"maxLifetime": "7d"}), "12-01T09:00:00", longest),
        (until("12-28T09:00:00"), json!({"maxLifetime": "5d"}), "11-29T09:00:00", longest),
        (until("11-29T09:00:00"), json!({"maxLifetime": "5d"}), "11-29T09:00:00", longest),
        (json!({"ttl": "never"}), json!({"allowNever": true, "maxLifetime": "5d"}), "11-29T09:00:00", longest),
    ] {
        let mut whole = json!({"defaultTTL": "7d", "warnBefore": ["1h"]});
        json_patch::merge(&mut whole, &lifetime);
        let (class, mut life) = (class(&whole), Life::new(&spec));
        life.look(&class, "11-24T09:00:00");
        let an_hour_before = at(end) - parse_duration("1h").unwrap();
        life.look(&class, rfc3339(an_hour_before).trim_start_matches("2026-").trim_end_matches('Z'));
        let message =
            format!("namespace orchid-lab and everything in it is deleted at 2026-{end}Z (warned 1h before); {remedy}");
        let condition = conditions::find(&life.status().conditions, types::EXPIRING).unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.message.as_str()),
            ("True", message.as_str()),
            "{spec} in {lifetime}"
        );
        let expected = Note { warning: true, reason: "Expiring".into(), message, in_namespace: true };
        assert_eq!(life.notes, [expected], "{spec} in {lifetime}");
    }
}
