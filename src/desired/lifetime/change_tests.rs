//! Tests of the notices after changes of the class and the spec.

use chrono::TimeDelta;

use super::{
    fixtures::{at, carry, inputs, notice, s, seen, warned},
    formula::{End, FormerTerms, LifetimeInputs},
    notice::MIN_WITHDRAWAL_NOTICE,
    outlook::outlook,
    stage::Stage,
};

#[test]
fn an_earlier_end_starts_the_longer_notice_of_both_terms_and_at_least_five_minutes() {
    let tightened = LifetimeInputs { end: End::Ttl(s(10)), ..seen(Some(1100)) };
    let changed = outlook(&tightened, at(1050));
    let put_off = notice(1010, 1050, 1350);
    assert_eq!(
        (changed.stage, changed.expires_at, changed.postponed),
        (Stage::Warn(s(300)), Some(at(1350)), Some(put_off))
    );
    let long = FormerTerms {
        expires_at: Some(at(9000)),
        is_endless: false,
        warn_before: vec![s(900), s(4000)],
        renewed: None,
    };
    let changed = outlook(&LifetimeInputs { before: Some(long), ..tightened.clone() }, at(1050));
    assert_eq!(changed.expires_at, Some(at(1950)), "the notice of the terms before");
    let unwarned = LifetimeInputs { warn_before: vec![], ..tightened };
    assert_eq!(
        outlook(&unwarned, at(1050)).expires_at,
        Some(at(1350)),
        "also where the class has no warnings any more"
    );
}

/// A notice begins at a whole second.
#[test]
fn a_notice_begins_together_with_its_warning_at_any_time() {
    let shortened = LifetimeInputs { end: End::Ttl(s(10)), ..seen(Some(1100)) };
    let overdue = LifetimeInputs { max_lifetime: Some(s(40)), ..seen(Some(1040)) };
    let now = at(5000) + TimeDelta::milliseconds(400);
    for (mut inputs, length, notices) in [
        (shortened, 300, (Some(notice(1010, 5001, 5301)), None)),
        (overdue, 10, (None, Some(notice(1040, 5001, 5011)))),
    ] {
        let first = outlook(&inputs, now);
        assert_eq!((first.stage, first.postponed, first.last_notice), (Stage::Warn(s(length)), notices.0, notices.1));
        carry(&mut inputs, &first, now);
        for later in [0, 300, 700] {
            let next = outlook(&inputs, now + TimeDelta::milliseconds(later));
            assert_eq!((next.stage, next.expires_at), (Stage::Warned(s(length)), Some(at(5001 + length))));
        }
    }
}

#[test]
fn every_threshold_within_a_notice_causes_a_warning() {
    let mut inputs = LifetimeInputs { end: End::Ttl(s(10)), ..seen(Some(1100)) };
    for (now, stage) in [
        (1050, Stage::Warn(s(300))),
        (1319, Stage::Warned(s(300))),
        (1320, Stage::Warn(s(30))),
        (1340, Stage::Warn(s(10))),
    ] {
        let seen = outlook(&inputs, at(now));
        assert_eq!((seen.stage, seen.expires_at), (stage, Some(at(1350))), "at {now}");
        carry(&mut inputs, &seen, at(now));
    }
    assert_eq!(outlook(&inputs, at(1350)).stage, Stage::Due);
}

#[test]
fn a_protection_that_is_removed_after_the_expiry_causes_another_warning() {
    let mut inputs = LifetimeInputs { last_warning: Some(warned(10, 1090, 1100)), protected: true, ..seen(Some(1100)) };
    let protected = outlook(&inputs, at(1095));
    carry(&mut inputs, &protected, at(1095));
    let lifted = outlook(&LifetimeInputs { protected: false, ..inputs }, at(2000));
    assert_eq!((lifted.stage, lifted.expires_at), (Stage::Warn(s(300)), Some(at(2300))));
}

#[test]
fn a_warning_counts_only_while_its_expiry_stays_the_same() {
    let mut inputs = LifetimeInputs { last_warning: Some(warned(10, 1090, 1100)), ..seen(Some(1100)) };
    let longer = LifetimeInputs { end: End::Ttl(s(900)), ..inputs.clone() };
    carry(&mut inputs, &outlook(&longer, at(1095)), at(1095));
    let back = outlook(&LifetimeInputs { end: End::Ttl(s(100)), ..inputs }, at(1500));
    assert_eq!((back.stage, back.expires_at), (Stage::Warn(s(300)), Some(at(1800))));
}

#[test]
fn withdrawn_consent_starts_a_notice_of_a_week() {
    let week = MIN_WITHDRAWAL_NOTICE.num_seconds();
    let withdrawn = LifetimeInputs { lacks_consent: true, max_lifetime: Some(s(500)), ..seen(None) };
    let now = 50_000;
    for end in [End::Never, End::Ttl(s(100))] {
        let mut inputs = LifetimeInputs { end, ..withdrawn.clone() };
        let first = outlook(&inputs, at(now));
        assert_eq!((first.stage, first.expires_at), (Stage::Warn(s(week)), Some(at(now + week))), "{end:?}");
        carry(&mut inputs, &first, at(now));
        let edited = outlook(&LifetimeInputs { end: End::Ttl(s(60)), lacks_consent: false, ..inputs }, at(now + 100));
        assert_eq!(edited.expires_at, Some(at(now + week)), "no change of the spec shortens it");
    }
    let new = LifetimeInputs { lacks_consent: true, ..inputs() };
    assert_eq!(outlook(&new, at(1000)).expires_at, Some(at(1100)), "what was never in force is not withdrawn");
}

#[test]
fn a_further_change_of_the_class_does_not_shorten_a_notice_that_runs() {
    let (now, week, two_days) = (50_000, MIN_WITHDRAWAL_NOTICE.num_seconds(), 172_800);
    let mut inputs = LifetimeInputs { lacks_consent: true, end: End::Ttl(s(100)), ..seen(None) };
    let withdrawn = outlook(&inputs, at(now));
    carry(&mut inputs, &withdrawn, at(now));
    for (end, expected) in [(now + two_days, now + week), (now + 2 * week, now + 2 * week)] {
        let changed = LifetimeInputs { end: End::Ttl(at(end) - inputs.anchor), ..inputs.clone() };
        assert_eq!(outlook(&changed, at(now + 100)).expires_at, Some(at(expected)));
    }
}
