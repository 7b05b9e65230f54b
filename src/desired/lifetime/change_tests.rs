//! Tests of the notices after changes of the class and the spec.

use super::{
    notice::LEAST_NOTICE_OF_WITHDRAWAL,
    outlook::outlook,
    stage::Stage,
    term::{Before, End, Term},
    term_fixtures::{at, carry, notice, s, seen, term, warned},
};

#[test]
fn a_change_that_brings_the_end_nearer_gives_the_notice_of_before_and_at_least_five_minutes() {
    let tightened = Term { end: End::Ttl(s(10)), ..seen(Some(1100)) };
    let changed = outlook(&tightened, at(1050));
    let put_off = notice(1010, 1050, 1350);
    assert_eq!((changed.stage, changed.expires_at, changed.postponed), (Stage::Warn(s(300)), Some(at(1350)), Some(put_off)));
    let long = Before { expires_at: Some(at(9000)), is_endless: false, warn_before: vec![s(900), s(4000)], renewed: None };
    let changed = outlook(&Term { before: Some(long), ..tightened.clone() }, at(1050));
    assert_eq!(changed.expires_at, Some(at(1950)), "the notice of the terms before");
    let unwarned = Term { warn_before: vec![], ..tightened };
    assert_eq!(outlook(&unwarned, at(1050)).expires_at, Some(at(1350)), "also where the class has no warnings any more");
}

#[test]
fn every_threshold_within_a_notice_is_warned_of() {
    let mut term = Term { end: End::Ttl(s(10)), ..seen(Some(1100)) };
    for (now, stage) in [(1050, Stage::Warn(s(300))), (1319, Stage::Warned(s(300))), (1320, Stage::Warn(s(30))), (1340, Stage::Warn(s(10)))]
    {
        let seen = outlook(&term, at(now));
        assert_eq!((seen.stage, seen.expires_at), (stage, Some(at(1350))), "at {now}");
        carry(&mut term, &seen, at(now));
    }
    assert_eq!(outlook(&term, at(1350)).stage, Stage::Due);
}

#[test]
fn a_protection_that_is_lifted_after_the_date_is_warned_of_again() {
    let mut term = Term { last_warning: Some(warned(10, 1090, 1100)), protected: true, ..seen(Some(1100)) };
    let protected = outlook(&term, at(1095));
    carry(&mut term, &protected, at(1095));
    let lifted = outlook(&Term { protected: false, ..term }, at(2000));
    assert_eq!((lifted.stage, lifted.expires_at), (Stage::Warn(s(300)), Some(at(2300))));
}

#[test]
fn a_warning_counts_only_while_its_expiry_is_unbroken() {
    let mut term = Term { last_warning: Some(warned(10, 1090, 1100)), ..seen(Some(1100)) };
    let longer = Term { end: End::Ttl(s(900)), ..term.clone() };
    carry(&mut term, &outlook(&longer, at(1095)), at(1095));
    let back = outlook(&Term { end: End::Ttl(s(100)), ..term }, at(1500));
    assert_eq!((back.stage, back.expires_at), (Stage::Warn(s(300)), Some(at(1800))));
}

#[test]
fn withdrawn_consent_gives_a_week() {
    let week = LEAST_NOTICE_OF_WITHDRAWAL.num_seconds();
    let withdrawn = Term { lacks_consent: true, max_lifetime: Some(s(500)), ..seen(None) };
    let now = 50_000;
    for end in [End::Never, End::Ttl(s(100))] {
        let mut term = Term { end, ..withdrawn.clone() };
        let first = outlook(&term, at(now));
        assert_eq!((first.stage, first.expires_at), (Stage::Warn(s(week)), Some(at(now + week))), "{end:?}");
        carry(&mut term, &first, at(now));
        let edited = outlook(&Term { end: End::Ttl(s(60)), lacks_consent: false, ..term }, at(now + 100));
        assert_eq!(edited.expires_at, Some(at(now + week)), "no change of the spec shortens it");
    }
    let new = Term { lacks_consent: true, ..term() };
    assert_eq!(outlook(&new, at(1000)).expires_at, Some(at(1100)), "what was never in force is not withdrawn");
}

#[test]
fn a_further_change_of_the_class_does_not_shorten_a_notice_that_runs() {
    let (now, week, two_days) = (50_000, LEAST_NOTICE_OF_WITHDRAWAL.num_seconds(), 172_800);
    let mut term = Term { lacks_consent: true, end: End::Ttl(s(100)), ..seen(None) };
    let withdrawn = outlook(&term, at(now));
    carry(&mut term, &withdrawn, at(now));
    for (end, expected) in [(now + two_days, now + week), (now + 2 * week, now + 2 * week)] {
        let changed = Term { end: End::Ttl(at(end) - term.anchor), ..term.clone() };
        assert_eq!(outlook(&changed, at(now + 100)).expires_at, Some(at(expected)));
    }
}
