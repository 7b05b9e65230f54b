//! Tests of the stages, the warnings and the formula.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    fixtures::{at, inputs, renew, s, seen, warned},
    formula::{End, LifetimeInputs},
    outlook::outlook,
    stage::{SEAL_LEAD, Stage},
};

#[test]
fn warnings_and_seal_come_in_order() {
    let mut inputs = inputs();
    for (now, stage, wake) in [(1000, Stage::Calm, 1070), (1069, Stage::Calm, 1070), (1070, Stage::Warn(s(30)), 1090)] {
        let outlook = outlook(&inputs, at(now));
        assert_eq!(
            (outlook.stage, outlook.wake, outlook.expires_at),
            (stage, Some(at(wake)), Some(at(1100))),
            "at {now}"
        );
    }
    inputs.last_warning = Some(warned(30, 1070, 1100));
    assert_eq!(outlook(&inputs, at(1080)).stage, Stage::Warned(s(30)));
    assert_eq!(outlook(&inputs, at(1090)).stage, Stage::Warn(s(10)));
    inputs.last_warning = Some(warned(10, 1091, 1100));
    let late = outlook(&inputs, at(1099));
    assert_eq!((late.stage, late.wake), (Stage::Warned(s(10)), Some(at(1100) - SEAL_LEAD)));
    let end = outlook(&inputs, at(1100));
    assert_eq!((end.stage, end.wake), (Stage::Due, None));
}

#[test]
fn one_millisecond_before_the_seal_is_not_due() {
    let inputs = LifetimeInputs { warn_before: vec![], ..inputs() };
    let seal_at = at(1100) - SEAL_LEAD;
    assert_eq!(outlook(&inputs, seal_at - TimeDelta::milliseconds(1)).stage, Stage::Calm);
    let due = outlook(&inputs, seal_at);
    assert_eq!((due.stage, due.expires_at, due.wake), (Stage::Due, Some(at(1100)), Some(at(1100))));
}

#[test]
fn an_expiry_without_a_warning_moves_by_the_notice() {
    let away = outlook(&inputs(), at(5000));
    assert_eq!((away.stage, away.expires_at), (Stage::Warn(s(10)), Some(at(5010))));
    let after_warning = LifetimeInputs { last_warning: Some(warned(10, 5000, 1100)), ..inputs() };
    assert_eq!(outlook(&after_warning, at(5009)).stage, Stage::Warned(s(10)));
    assert_eq!(outlook(&after_warning, at(5010)).stage, Stage::Due);
}

#[test]
fn a_warning_within_the_tolerance_moves_nothing() {
    let after_warning = LifetimeInputs { last_warning: Some(warned(10, 1099, 1100)), ..inputs() };
    assert_eq!(outlook(&after_warning, at(1100)).stage, Stage::Due);
    let late = LifetimeInputs { last_warning: Some(warned(10, 1101, 1100)), ..inputs() };
    assert_eq!(outlook(&late, at(1110)).expires_at, Some(at(1111)));
}

#[test]
fn a_ttl_shorter_than_every_threshold_causes_a_warning_at_creation() {
    let mut inputs = LifetimeInputs { end: End::Ttl(s(5)), ..inputs() };
    assert_eq!(outlook(&inputs, at(1000)).stage, Stage::Warn(s(10)));
    inputs.last_warning = Some(warned(10, 1001, 1005));
    let outlook = outlook(&inputs, at(1005));
    assert_eq!((outlook.stage, outlook.expires_at), (Stage::Due, Some(at(1005))));
}

#[test]
fn a_renewal_restarts_the_warnings_and_a_future_one_waits() {
    let mut after_warning = LifetimeInputs { last_warning: Some(warned(10, 1090, 1100)), ..seen(Some(1100)) };
    renew(&mut after_warning, at(1095));
    let after = outlook(&after_warning, at(1096));
    assert_eq!((after.stage, after.expires_at, after.anchor), (Stage::Calm, Some(at(1195)), at(1095)));
    let before = outlook(&LifetimeInputs { renewal_counts_at: Some(at(1050)), ..inputs() }, at(1040));
    assert_eq!((before.expires_at, before.wake), (Some(at(1100)), Some(at(1050))));
}

#[test]
fn max_ttl_and_max_lifetime_limit_every_end() {
    let capped = LifetimeInputs { max_lifetime: Some(s(50)), ..inputs() };
    assert_eq!(outlook(&capped, at(1000)).expires_at, Some(at(1050)));
    assert_eq!(outlook(&LifetimeInputs { end: End::Never, ..capped.clone() }, at(1000)).expires_at, Some(at(1050)));
    assert_eq!(outlook(&LifetimeInputs { anchor: at(1040), ..capped }, at(1040)).expires_at, Some(at(1050)));
    let at_end = LifetimeInputs { end: End::At(at(9000)), max_ttl: Some(s(60)), ..inputs() };
    assert_eq!(outlook(&at_end, at(1000)).expires_at, Some(at(1060)));
}

#[test]
fn a_spec_that_was_not_validated_holds_the_seal_back_until_its_own_end() {
    let accepted = LifetimeInputs { last_warning: Some(warned(10, 1090, 1100)), ..inputs() };
    let held = |wake: Option<i64>| Some((Stage::Warned(s(10)), Some(at(1100)), wake.map(at)));
    for (end, now, expected) in [
        (End::Ttl(s(101)), at(1100), held(Some(1101))),
        (End::Ttl(s(101)), at(1101), None),
        (End::Ttl(s(100)), at(1100) - SEAL_LEAD, None),
        (End::Ttl(s(99)), at(1100), None),
        (End::Never, at(9000), held(None)),
        (End::Never, at(1099), None),
    ] {
        let unvalidated = LifetimeInputs { end, ..accepted.clone() };
        let seen = outlook(&accepted, now).held(&unvalidated, now);
        assert_eq!(seen.map(|seen| (seen.stage, seen.expires_at, seen.wake)), expected, "{end:?} at {now}");
    }
}

#[test]
fn never_and_protected_have_no_end() {
    for inputs in [LifetimeInputs { end: End::Never, ..inputs() }, LifetimeInputs { protected: true, ..inputs() }] {
        let outlook = outlook(&inputs, at(900_000));
        assert_eq!((outlook.stage, outlook.expires_at, outlook.wake), (Stage::Calm, None, None));
    }
}

#[test]
fn an_end_beyond_the_year_9999_is_still_a_date() {
    let far = LifetimeInputs { end: End::At(DateTime::<Utc>::MAX_UTC), ..inputs() };
    assert_eq!(outlook(&far, at(1000)).expires_at.map(crate::api::time::rfc3339), Some("9999-12-31T23:59:59Z".into()));
}
