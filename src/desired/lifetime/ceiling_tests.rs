//! Tests of the notice at `created + maxLifetime`.

use chrono::{DateTime, Utc};

use super::{
    fixtures::{at, inputs, play, renew, s, seen},
    formula::{Bound, End, FormerTerms, LifetimeInputs},
    outlook::outlook,
    stage::{SEAL_LEAD, Stage},
};

#[test]
fn no_change_of_the_ttl_takes_a_space_beyond_max_lifetime() {
    for direction in [-1, 1] {
        let mut inputs =
            LifetimeInputs { max_lifetime: Some(s(40)), warn_before: vec![s(15)], end: End::Ttl(s(30)), ..inputs() };
        let edit = |inputs: &mut LifetimeInputs, now: DateTime<Utc>| {
            inputs.end = End::Ttl(s(30 + direction * (now - at(1000)).num_seconds() / 6));
        };
        let (ended, stage) = play(&mut inputs, at(1000), at(2000), edit);
        assert_eq!(stage, Stage::Due);
        assert!(ended <= at(1040), "{direction}: {ended}");
    }
}

#[test]
fn beyond_max_lifetime_one_notice_runs_and_no_change_by_the_owner_restarts_it() {
    let mut inputs = LifetimeInputs {
        max_lifetime: Some(s(40)),
        warn_before: vec![s(15)],
        end: End::Ttl(s(500)),
        ..seen(Some(1040))
    };
    let back = at(5000);
    let edit = |inputs: &mut LifetimeInputs, now: DateTime<Utc>| {
        inputs.end = End::Ttl(s(100 + (now - back).num_seconds()));
        renew(inputs, now);
        // Another class, under which the space is past its end as well.
        inputs.max_lifetime = Some(s(40 + now.timestamp() % 2));
    };
    let (ended, stage) = play(&mut inputs, back, at(9000), edit);
    assert_eq!((stage, ended), (Stage::Due, at(5015) - SEAL_LEAD));
}

#[test]
fn without_warnings_max_lifetime_ends_without_a_notice() {
    let inputs = LifetimeInputs { max_lifetime: Some(s(40)), warn_before: vec![], ..seen(Some(1040)) };
    let late = outlook(&inputs, at(1051));
    assert_eq!((late.stage, late.expires_at, late.last_notice), (Stage::Due, Some(at(1040)), None));
}

/// A warning advises a renewal only if the expiry depends on the ttl.
#[test]
fn a_renewal_extends_an_end_only_before_max_lifetime() {
    let of = |ttl: i64, life: i64| LifetimeInputs { end: End::Ttl(s(ttl)), max_lifetime: Some(s(life)), ..inputs() };
    let shortened = LifetimeInputs { before: seen(Some(9000)).before, ..of(10, 60) };
    for (mut inputs, now, end, bound) in [
        (of(100, 101), 1090, 1100, Bound::Ttl),
        (of(100, 100), 1090, 1100, Bound::MaxLifetime),
        (LifetimeInputs { end: End::At(at(1100)), ..of(100, 100) }, 1090, 1100, Bound::MaxLifetime),
        (LifetimeInputs { max_ttl: Some(s(100)), ..of(100, 100) }, 1090, 1100, Bound::MaxLifetime),
        // The notice of a shorter ttl, and a late warning, move the end.
        (shortened, 1050, 1060, Bound::MaxLifetime),
        (of(100, 105), 1200, 1210, Bound::MaxLifetime),
    ] {
        let seen = outlook(&inputs, at(now));
        assert_eq!((seen.expires_at, seen.bound), (Some(at(end)), Some(bound)), "{inputs:?}");
        renew(&mut inputs, at(now));
        assert_eq!(
            outlook(&inputs, at(now)).expires_at == Some(at(end)),
            bound == Bound::MaxLifetime,
            "renewed: {inputs:?}"
        );
    }
}

#[test]
fn a_class_that_is_tightened_below_the_age_of_a_space_gives_one_notice() {
    let mut inputs = LifetimeInputs { max_lifetime: Some(s(40)), ..seen(Some(9000)) };
    inputs.end = End::Ttl(s(8000));
    let first = outlook(&inputs, at(5000));
    assert_eq!(
        (first.stage, first.expires_at, first.bound),
        (Stage::Warn(s(10)), Some(at(5010)), Some(Bound::MaxLifetime))
    );
    let unwarned = LifetimeInputs {
        warn_before: vec![],
        before: Some(FormerTerms { expires_at: Some(at(9000)), is_endless: false, warn_before: vec![], renewed: None }),
        ..inputs
    };
    assert_eq!(outlook(&unwarned, at(5000)).expires_at, Some(at(5300)), "without warnings too");
}
