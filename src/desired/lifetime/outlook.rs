//! The life of one space in time: its end, the warning that is due, and the time of the next reconcile.
//!
//! `expiresAt = min(end, anchor + maxTTL, created + maxLifetime)`. No space is deleted unwarned: an end that a change brings nearer than the
//! notice is postponed, and a late warning moves the expiry. Beyond `created + maxLifetime` one notice runs, once.
//!
//! Owns the arithmetic only; [`super::inputs`] reads the times that a space and its class ask for.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    notice::{Ceiling, postponed},
    warnings::Warnings,
};
use crate::api::time::ceil_second;

/// A warning written this soon after its threshold counts as given at the threshold, so that write latency moves nothing.
pub const WARNING_TOLERANCE: TimeDelta = TimeDelta::seconds(10);

/// The longest time before its end at which a space may be sealed, so that its DELETE is sent at the end and not after one more write.
pub const SEAL_LEAD: TimeDelta = TimeDelta::milliseconds(200);

/// The end of a space by its own spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No end.
    Never,
    /// The given time after the anchor.
    Ttl(TimeDelta),
    /// The given time.
    At(DateTime<Utc>),
}

/// A warning that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The time.
    pub at: DateTime<Utc>,
    /// The threshold.
    pub before: TimeDelta,
    /// The expiry that it was given for, before a late warning moved it.
    pub expires_at: DateTime<Utc>,
}

/// An end that is postponed so that a warning can precede it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponed {
    /// The end by the formula.
    pub of: DateTime<Utc>,
    /// The beginning of the notice.
    pub from: DateTime<Utc>,
    /// The end of the notice.
    pub until: DateTime<Utc>,
}

/// The terms in force at the last reconcile of the space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The expiry in force; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// True if the space had no end of its own: only `maxLifetime` could end it.
    pub is_endless: bool,
    /// The warning thresholds.
    pub warn_before: Vec<TimeDelta>,
    /// The end that the spec gives under the former terms, counted from the current anchor; `None` is never.
    pub renewed: Option<DateTime<Utc>>,
}

/// Everything that the life of one space depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The space's creation.
    pub created: DateTime<Utc>,
    /// The start of the ttl: the latest of creation and all renewals that counted.
    pub anchor: DateTime<Utc>,
    /// True if the anchor is a renewal that counts for the first time.
    pub is_renewed: bool,
    /// The time at which a renewal that is too far ahead begins to count.
    pub renewal_counts_at: Option<DateTime<Utc>>,
    /// The end asked for.
    pub end: End,
    /// The longest time between the anchor and the end.
    pub max_ttl: Option<TimeDelta>,
    /// The longest time between creation and the end.
    pub max_lifetime: Option<TimeDelta>,
    /// True if the space never expires.
    pub protected: bool,
    /// True if the space asks for `protected` or `never`, or had `never` by default, and its class does not consent.
    pub lacks_consent: bool,
    /// The warning thresholds, in any order.
    pub warn_before: Vec<TimeDelta>,
    /// The last warning given.
    pub last_warning: Option<Given>,
    /// The notice that runs because a change brought the end nearer.
    pub postponed: Option<Postponed>,
    /// The one notice that runs at `created + maxLifetime`.
    pub last_notice: Option<Postponed>,
    /// The terms before; `None` for a space that was never admitted.
    pub before: Option<Before>,
}

/// The stage of a space in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No warning threshold has passed.
    Calm,
    /// This threshold has passed and its warning must be given now.
    Warn(TimeDelta),
    /// The warning of this threshold was given.
    Warned(TimeDelta),
    /// The end is reached, or is at most [`SEAL_LEAD`] away.
    Due,
}

/// The term of the formula that sets the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The ttl, or the class's `maxTTL`: a renewal moves it.
    Ttl,
    /// `spec.expiresAt`.
    ExpiresAt,
    /// The class's `maxLifetime`.
    MaxLifetime,
}

/// The result of [`outlook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The start of the ttl.
    pub anchor: DateTime<Utc>,
    /// The expiry that warnings are given of: by the formula, or postponed; `None` is never.
    pub nominal: Option<DateTime<Utc>>,
    /// The expiry in force: the nominal one, moved if the last warning was late.
    pub expires_at: Option<DateTime<Utc>>,
    /// The term of the formula that sets the end.
    pub bound: Option<Bound>,
    /// The stage of the space.
    pub stage: Stage,
    /// The notice that runs because a change brought the end nearer.
    pub postponed: Option<Postponed>,
    /// The one notice that runs at `created + maxLifetime`.
    pub last_notice: Option<Postponed>,
    /// The next time at which the result changes although neither the space nor its class does.
    pub wake: Option<DateTime<Utc>>,
}

/// Evaluates `term` at `now`. The resulting ends are whole seconds, rounded up, so that none is early.
pub fn outlook(term: &Term, now: DateTime<Utc>) -> Outlook {
    let Term { anchor, renewal_counts_at, .. } = *term;
    let Some((formula, bound)) = formula(term) else {
        return Outlook {
            anchor,
            nominal: None,
            expires_at: None,
            bound: None,
            stage: Stage::Calm,
            postponed: None,
            last_notice: None,
            wake: renewal_counts_at.filter(|at| *at > now),
        };
    };
    let ceiling = Ceiling::of(term, now);
    // Beyond maxLifetime the ceiling's own notice runs.
    let postponed = (bound != Bound::MaxLifetime).then(|| postponed(term, formula, now)).flatten();
    let nominal = postponed.map_or(formula, |postponed| postponed.until.max(formula));
    let nominal = ceiling.as_ref().map_or(nominal, |ceiling| ceiling.cap(nominal, bound));
    let notice = Warnings::of(term, nominal, (postponed.as_ref(), ceiling.as_ref()), now);
    let moved = notice.as_ref().map_or(nominal, |notice| notice.move_expiry(now));
    let expires_at = ceiling.as_ref().map_or(moved, |ceiling| moved.min(ceiling.end));
    let seal_at = expires_at - SEAL_LEAD;
    let stage = match &notice {
        _ if ceiling.as_ref().is_some_and(|ceiling| ceiling.has_stood(now)) => Stage::Due,
        None if now >= seal_at => Stage::Due,
        None => Stage::Calm,
        Some(notice) => notice.stage(seal_at, now),
    };
    let edges = notice.iter().flat_map(|notice| notice.edges.iter().map(|edge| edge.at));
    let notice_begins = ceiling.as_ref().map(|ceiling| ceiling.begins);
    let wake = edges.chain([seal_at, expires_at]).chain(notice_begins).chain(renewal_counts_at).filter(|at| *at > now).min();
    let last_notice = ceiling.and_then(|ceiling| ceiling.notice);
    Outlook { anchor, nominal: Some(nominal), expires_at: Some(expires_at), bound: Some(bound), stage, postponed, last_notice, wake }
}

/// `min(end, anchor + maxTTL, created + maxLifetime)`, and the term that sets it.
pub(super) fn formula(term: &Term) -> Option<(DateTime<Utc>, Bound)> {
    if term.protected {
        return None;
    }
    let most = term.max_ttl.map(|max| saturating_add(term.anchor, max));
    let own = match term.end {
        End::Never => None,
        End::Ttl(ttl) => Some((saturating_add(term.anchor, ttl), Bound::Ttl)),
        End::At(at) => Some((at, Bound::ExpiresAt)),
    };
    // maxTTL does not bound a space without an end of its own, which the class allows; maxLifetime does.
    let most = most.filter(|_| own.is_some()).map(|at| (at, Bound::Ttl));
    let ceiling = term.max_lifetime.map(|max| (saturating_add(term.created, max), Bound::MaxLifetime));
    let ends = own.into_iter().chain(most).chain(ceiling);
    ends.min_by_key(|(at, _)| *at).map(|(at, bound)| (representable(at), bound))
}

pub(super) fn shortest(thresholds: &[TimeDelta]) -> TimeDelta {
    thresholds.iter().min().copied().unwrap_or_default()
}

pub(super) fn saturating_add(time: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Rounds up to whole seconds, at most to the end of the year 9999, the last that RFC 3339 can express.
pub(super) fn representable(time: DateTime<Utc>) -> DateTime<Utc> {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    let last = DateTime::from_timestamp(LAST_SECOND_OF_9999, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    ceil_second(time.min(last)).min(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::desired::lifetime::notice::{LEAST_NOTICE, LEAST_NOTICE_OF_WITHDRAWAL};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn s(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    /// Created at 1000, ttl 100, warned 30 and 10 before.
    fn term() -> Term {
        Term {
            created: at(1000),
            anchor: at(1000),
            is_renewed: false,
            renewal_counts_at: None,
            end: End::Ttl(s(100)),
            max_ttl: None,
            max_lifetime: None,
            protected: false,
            lacks_consent: false,
            warn_before: vec![s(10), s(30)],
            last_warning: None,
            postponed: None,
            last_notice: None,
            before: None,
        }
    }

    /// The same term of a space that was reconciled before, with an expiry at `expires_at`.
    fn seen(expires_at: Option<i64>) -> Term {
        Term {
            before: Some(Before { expires_at: expires_at.map(at), is_endless: false, warn_before: vec![s(10), s(30)], renewed: None }),
            ..term()
        }
    }

    fn warned(before: i64, given: i64, of: i64) -> Given {
        Given { at: at(given), before: s(before), expires_at: at(of) }
    }

    fn notice(of: i64, from: i64, until: i64) -> Postponed {
        Postponed { of: at(of), from: at(from), until: at(until) }
    }

    /// Carries the result to the next reconcile, as the status does.
    fn carry(term: &mut Term, seen: &Outlook, now: DateTime<Utc>) {
        term.last_warning = match (seen.stage, seen.nominal) {
            (Stage::Warn(before), Some(expires_at)) => Some(Given { at: ceil_second(now), before, expires_at }),
            _ => term.last_warning.filter(|given| Some(given.expires_at) == seen.nominal),
        };
        (term.postponed, term.last_notice) = (seen.postponed, seen.last_notice);
        term.before = Some(Before { expires_at: seen.expires_at, is_endless: false, warn_before: term.warn_before.clone(), renewed: None });
        term.is_renewed = false;
    }

    /// Renews the space at `now`. Class and spec are otherwise unchanged.
    fn renew(term: &mut Term, now: DateTime<Utc>) {
        (term.anchor, term.is_renewed) = (now, true);
        let renewed = formula(term).map(|(at, _)| at);
        term.before = term.before.take().map(|before| Before { renewed, ..before });
    }

    /// Evaluates `term` at each wake-up from `now` on, and applies `act` to it before each evaluation.
    fn play(
        term: &mut Term,
        mut now: DateTime<Utc>,
        until: DateTime<Utc>,
        act: impl Fn(&mut Term, DateTime<Utc>),
    ) -> (DateTime<Utc>, Stage) {
        loop {
            act(term, now);
            let seen = outlook(term, now);
            if seen.stage == Stage::Due || now >= until {
                return (now, seen.stage);
            }
            carry(term, &seen, now);
            let again = outlook(term, now);
            assert!(!matches!(again.stage, Stage::Warn(_)), "a warning is given once: {again:?}");
            now = again.wake.unwrap_or(until).min(now + s(6)).min(until);
        }
    }

    #[test]
    fn a_life_in_order() {
        let mut term = term();
        for (now, stage, wake) in [(1000, Stage::Calm, 1070), (1069, Stage::Calm, 1070), (1070, Stage::Warn(s(30)), 1090)] {
            let outlook = outlook(&term, at(now));
            assert_eq!((outlook.stage, outlook.wake, outlook.expires_at), (stage, Some(at(wake)), Some(at(1100))), "at {now}");
        }
        term.last_warning = Some(warned(30, 1070, 1100));
        assert_eq!(outlook(&term, at(1080)).stage, Stage::Warned(s(30)));
        assert_eq!(outlook(&term, at(1090)).stage, Stage::Warn(s(10)));
        term.last_warning = Some(warned(10, 1091, 1100));
        let late = outlook(&term, at(1099));
        assert_eq!((late.stage, late.wake), (Stage::Warned(s(10)), Some(at(1100) - SEAL_LEAD)));
        let end = outlook(&term, at(1100));
        assert_eq!((end.stage, end.wake), (Stage::Due, None));
    }

    #[test]
    fn one_millisecond_before_the_seal_is_not_due() {
        let term = Term { warn_before: vec![], ..term() };
        let seal_at = at(1100) - SEAL_LEAD;
        assert_eq!(outlook(&term, seal_at - TimeDelta::milliseconds(1)).stage, Stage::Calm);
        let due = outlook(&term, seal_at);
        assert_eq!((due.stage, due.expires_at, due.wake), (Stage::Due, Some(at(1100)), Some(at(1100))));
    }

    #[test]
    fn unwarned_expiry_moves_by_the_notice() {
        let away = outlook(&term(), at(5000));
        assert_eq!((away.stage, away.expires_at), (Stage::Warn(s(10)), Some(at(5010))));
        let told = Term { last_warning: Some(warned(10, 5000, 1100)), ..term() };
        assert_eq!(outlook(&told, at(5009)).stage, Stage::Warned(s(10)));
        assert_eq!(outlook(&told, at(5010)).stage, Stage::Due);
    }

    #[test]
    fn a_warning_within_the_tolerance_moves_nothing() {
        let told = Term { last_warning: Some(warned(10, 1099, 1100)), ..term() };
        assert_eq!(outlook(&told, at(1100)).stage, Stage::Due);
        let late = Term { last_warning: Some(warned(10, 1101, 1100)), ..term() };
        assert_eq!(outlook(&late, at(1110)).expires_at, Some(at(1111)));
    }

    #[test]
    fn ttl_shorter_than_every_edge_is_warned_at_creation() {
        let mut term = Term { end: End::Ttl(s(5)), ..term() };
        assert_eq!(outlook(&term, at(1000)).stage, Stage::Warn(s(10)));
        term.last_warning = Some(warned(10, 1001, 1005));
        let outlook = outlook(&term, at(1005));
        assert_eq!((outlook.stage, outlook.expires_at), (Stage::Due, Some(at(1005))));
    }

    #[test]
    fn renewal_rearms_and_a_future_one_waits() {
        let mut told = Term { last_warning: Some(warned(10, 1090, 1100)), ..seen(Some(1100)) };
        renew(&mut told, at(1095));
        let after = outlook(&told, at(1096));
        assert_eq!((after.stage, after.expires_at, after.anchor), (Stage::Calm, Some(at(1195)), at(1095)));
        let before = outlook(&Term { renewal_counts_at: Some(at(1050)), ..term() }, at(1040));
        assert_eq!((before.expires_at, before.wake), (Some(at(1100)), Some(at(1050))));
    }

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
        for (now, stage) in
            [(1050, Stage::Warn(s(300))), (1319, Stage::Warned(s(300))), (1320, Stage::Warn(s(30))), (1340, Stage::Warn(s(10)))]
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

    #[test]
    fn no_change_of_the_ttl_takes_a_space_beyond_max_lifetime() {
        for direction in [-1, 1] {
            let mut term = Term { max_lifetime: Some(s(40)), warn_before: vec![s(15)], end: End::Ttl(s(30)), ..term() };
            let edit = |term: &mut Term, now: DateTime<Utc>| term.end = End::Ttl(s(30 + direction * (now - at(1000)).num_seconds() / 6));
            let (ended, stage) = play(&mut term, at(1000), at(2000), edit);
            assert_eq!(stage, Stage::Due);
            assert!(ended <= at(1040), "{direction}: {ended}");
        }
    }

    #[test]
    fn beyond_max_lifetime_one_notice_runs_and_nothing_of_the_owners_starts_it_again() {
        let mut term = Term { max_lifetime: Some(s(40)), warn_before: vec![s(15)], end: End::Ttl(s(500)), ..seen(Some(1040)) };
        let back = at(5000);
        let edit = |term: &mut Term, now: DateTime<Utc>| {
            term.end = End::Ttl(s(100 + (now - back).num_seconds()));
            renew(term, now);
            // Another class, under which the space is past its end as well.
            term.max_lifetime = Some(s(40 + now.timestamp() % 2));
        };
        let (ended, stage) = play(&mut term, back, at(9000), edit);
        assert_eq!((stage, ended), (Stage::Due, at(5015) - SEAL_LEAD));
    }

    #[test]
    fn without_warnings_the_longest_life_ends_without_a_notice() {
        let term = Term { max_lifetime: Some(s(40)), warn_before: vec![], ..seen(Some(1040)) };
        let late = outlook(&term, at(1051));
        assert_eq!((late.stage, late.expires_at, late.last_notice), (Stage::Due, Some(at(1040)), None));
    }

    #[test]
    fn a_class_that_is_tightened_below_the_age_of_a_space_gives_one_notice() {
        let mut term = Term { max_lifetime: Some(s(40)), ..seen(Some(9000)) };
        term.end = End::Ttl(s(8000));
        let first = outlook(&term, at(5000));
        assert_eq!((first.stage, first.expires_at, first.bound), (Stage::Warn(s(10)), Some(at(5010)), Some(Bound::MaxLifetime)));
        let unwarned = Term {
            warn_before: vec![],
            before: Some(Before { expires_at: Some(at(9000)), is_endless: false, warn_before: vec![], renewed: None }),
            ..term
        };
        assert_eq!(outlook(&unwarned, at(5000)).expires_at, Some(at(5300)), "without warnings too");
    }

    #[test]
    fn ceilings_cap_every_end() {
        let capped = Term { max_lifetime: Some(s(50)), ..term() };
        assert_eq!(outlook(&capped, at(1000)).expires_at, Some(at(1050)));
        assert_eq!(outlook(&Term { end: End::Never, ..capped.clone() }, at(1000)).expires_at, Some(at(1050)));
        assert_eq!(outlook(&Term { anchor: at(1040), ..capped }, at(1040)).expires_at, Some(at(1050)));
        let at_end = Term { end: End::At(at(9000)), max_ttl: Some(s(60)), ..term() };
        assert_eq!(outlook(&at_end, at(1000)).expires_at, Some(at(1060)));
    }

    #[test]
    fn never_and_protected_have_no_end() {
        for term in [Term { end: End::Never, ..term() }, Term { protected: true, ..term() }] {
            let outlook = outlook(&term, at(900_000));
            assert_eq!((outlook.stage, outlook.expires_at, outlook.wake), (Stage::Calm, None, None));
        }
    }

    #[test]
    fn an_absurd_end_is_still_a_date() {
        let far = Term { end: End::At(DateTime::<Utc>::MAX_UTC), ..term() };
        assert_eq!(outlook(&far, at(1000)).expires_at.map(crate::api::time::rfc3339), Some("9999-12-31T23:59:59Z".into()));
    }

    prop_compose! {
        fn any_term()(
            ttl in 1..500_i64, renewed in 0..1000_i64, max_ttl in proptest::option::of(1..500_i64),
            max_life in proptest::option::of(1..900_i64), warn in proptest::collection::vec(1..300_i64, 0..4),
        ) -> Term {
            Term {
                end: End::Ttl(s(ttl)), anchor: at(1000 + renewed), max_ttl: max_ttl.map(s), max_lifetime: max_life.map(s),
                warn_before: warn.into_iter().map(s).collect(), ..term()
            }
        }
    }

    /// One change by an owner or an administrator: (kind, seconds).
    fn change(term: &mut Term, now: DateTime<Utc>, (what, much): (u8, i64)) {
        match what {
            0 => term.end = End::Ttl(s(much)),
            1 => renew(term, now),
            2 => term.protected = !term.protected,
            3 => term.max_ttl = Some(s(much)),
            4 => term.end = End::At(at(1000 + much)),
            8 => term.warn_before.clear(),
            9 => term.warn_before = vec![s(much)],
            _ => {}
        }
    }

    /// The same term under a notice of a week that ends at `until`, if its end by the formula is before that.
    fn under_a_week(term: Term, until: i64) -> Term {
        let week = LEAST_NOTICE_OF_WITHDRAWAL.num_seconds();
        match formula(&term) {
            Some((of, _)) if of < at(until) => Term {
                postponed: Some(Postponed { of, from: at(until - week), until: at(until) }),
                last_warning: Some(warned(week, until - week, until)),
                before: Some(Before { warn_before: term.warn_before.clone(), expires_at: Some(at(until)), ..Before::default() }),
                ..term
            },
            _ => term,
        }
    }

    proptest! {
        /// Plays a life with an operator that reconciles at the given moments and writes each warning when it is due.
        #[test]
        fn never_due_early_nor_unwarned(term in any_term(), mut looks in proptest::collection::vec((1000..4000_i64, (0..8_u8, 1..600_i64)), 1..40)) {
            let mut term = term;
            looks.sort_unstable();
            let mut given: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
            for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
                change(&mut term, now, edit);
                let seen = outlook(&term, now);
                if let Some(wake) = seen.wake { prop_assert!(wake > now); }
                if seen.stage == Stage::Due {
                    let end = seen.expires_at.unwrap();
                    prop_assert!(now + SEAL_LEAD >= end);
                    if let Some(shortest) = term.warn_before.iter().min() {
                        let (since, from) = given.expect("warned before it is due");
                        // Beyond maxLifetime a notice runs that is no longer than that whole life.
                        let life = term.max_lifetime.filter(|_| term.last_notice.is_some()).unwrap_or(TimeDelta::MAX);
                        // Renewed since with less time to go, it stands for that time.
                        let least = (*shortest).min(seen.nominal.unwrap() - from.max(term.anchor)).min(life);
                        prop_assert!(now - since + WARNING_TOLERANCE + SEAL_LEAD >= least, "{} after {since}, of at least {least}", now - since);
                    }
                    break;
                }
                if let (Stage::Warn(_), Some(_)) = (seen.stage, seen.nominal) {
                    given = given.filter(|_| term.last_notice.is_some()).or_else(|| Some((now, term.anchor.min(now))));
                }
                carry(&mut term, &seen, now);
            }
        }

        /// Without a renewal, no change brings an announced end nearer than a notice, except the longest life.
        #[test]
        fn an_announced_end_comes_no_nearer_than_a_notice(
            term in any_term(), week_ends in proptest::option::of(1000..3000_i64),
            mut looks in proptest::collection::vec(
                (1000..4000_i64, (proptest::sample::select(&[0_u8, 2, 3, 4, 7, 8, 9][..]), 1..600_i64)), 1..40,
            ),
        ) {
            let mut term = match week_ends {
                Some(until) => under_a_week(term, until),
                None => term,
            };
            looks.sort_unstable();
            for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
                change(&mut term, now, edit);
                let seen = outlook(&term, now);
                if let (Some(before), Some(end)) = (&term.before, seen.expires_at) {
                    let noticed = now + shortest(&before.warn_before).max(LEAST_NOTICE);
                    let longest_life = term.max_lifetime.map(|max| term.created + max);
                    let earliest = before.expires_at.into_iter().chain(longest_life).fold(noticed, Ord::min);
                    prop_assert!(end >= earliest, "{end} is before {earliest}: {term:?}");
                }
                if seen.stage == Stage::Due { break; }
                carry(&mut term, &seen, now);
            }
        }

        /// No sequence of changes by an owner takes a space beyond one notice after `created + maxLifetime`: no ttl, no renewal and no
        /// `expiresAt`.
        #[test]
        fn the_ceiling_holds(
            term in any_term(),
            edits in proptest::collection::vec((proptest::sample::select(&[0_u8, 1, 4][..]), 1..600_i64), 1..200),
        ) {
            let life = 100;
            let mut term = Term { max_lifetime: Some(s(life)), ..term };
            let notice = shortest(&term.warn_before).min(s(life));
            for (number, edit) in edits.into_iter().enumerate() {
                let now = at(1000 + 3 * i64::try_from(number).unwrap());
                change(&mut term, now, edit);
                let seen = outlook(&term, now);
                if seen.stage == Stage::Due { break; }
                prop_assert!(now <= at(1000 + life) + notice, "alive at {now}: {seen:?}");
                carry(&mut term, &seen, now);
            }
        }

        /// With enough reconciles, every space with an end becomes due.
        #[test]
        fn every_end_comes(term in any_term()) {
            let mut term = term;
            let mut now = at(1000);
            for _ in 0..64 {
                let seen = outlook(&term, now);
                if seen.stage == Stage::Due { return Ok(()); }
                carry(&mut term, &seen, now);
                now = outlook(&term, now).wake.expect("something is still to come");
            }
            prop_assert!(false, "not due after 64 looks: {:?}", outlook(&term, now));
        }
    }
}
