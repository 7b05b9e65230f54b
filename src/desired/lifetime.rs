//! What time it is in a space's life: when it ends, which warning is due, when to look again.
//!
//! `expiresAt = min(anchor + ttl, created + maxLifetime)`, anchor = the later of creation and renewal. No space is collected
//! unwarned: its last warning must have stood for the notice, and a late warning moves the expiry.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::time::ceil_second;

/// A warning written this soon after its edge counts as given at the edge, so that write latency moves nothing.
pub const WARNING_TOLERANCE: TimeDelta = TimeDelta::seconds(10);

/// When a space ends by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not by itself.
    Never,
    /// So long after the anchor.
    Ttl(TimeDelta),
    /// At that time.
    At(DateTime<Utc>),
}

/// A warning that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When.
    pub at: DateTime<Utc>,
    /// For which edge.
    pub before: TimeDelta,
    /// Of which expiry, before it was moved.
    pub expires_at: DateTime<Utc>,
}

/// Everything that the life of one space depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The space's creation.
    pub created: DateTime<Utc>,
    /// The renewal asked for; one in the future does not count yet.
    pub renewed_at: Option<DateTime<Utc>>,
    /// The end asked for.
    pub end: End,
    /// The most that may lie between the anchor and the end.
    pub max_ttl: Option<TimeDelta>,
    /// The most that may lie between creation and the end.
    pub max_lifetime: Option<TimeDelta>,
    /// Never expires.
    pub protected: bool,
    /// The edges, in any order.
    pub warn_before: Vec<TimeDelta>,
    /// The last warning given.
    pub last_warning: Option<Given>,
}

/// Where a space stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No edge has passed.
    Calm,
    /// This edge has passed and its warning must be given now.
    Warn(TimeDelta),
    /// The warning of this edge stands.
    Warned(TimeDelta),
    /// The time is up.
    Due,
}

/// The answer of [`outlook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// From when the ttl counts.
    pub anchor: DateTime<Utc>,
    /// The expiry by the formula; `None` is never.
    pub nominal: Option<DateTime<Utc>>,
    /// The expiry in force: the nominal one, moved if the last warning was late.
    pub expires_at: Option<DateTime<Utc>>,
    /// Where the space stands.
    pub stage: Stage,
    /// When something changes by time alone.
    pub wake: Option<DateTime<Utc>>,
}

/// Judges `term` at `now`. Times come out in whole seconds, rounded up: never early.
pub fn outlook(term: &Term, now: DateTime<Utc>) -> Outlook {
    let renewed = term.renewed_at.filter(|at| *at <= now);
    let future_renewal = term.renewed_at.filter(|at| *at > now);
    let anchor = renewed.map_or(term.created, |at| at.max(term.created));
    let Some(nominal) = nominal(term, anchor) else {
        return Outlook { anchor, nominal: None, expires_at: None, stage: Stage::Calm, wake: future_renewal };
    };
    let notice = Notice::of(term, anchor, nominal);
    let expires_at = notice.as_ref().map_or(nominal, |notice| notice.move_expiry(nominal, now));
    let stage = match &notice {
        None if now >= nominal => Stage::Due,
        None => Stage::Calm,
        Some(notice) => notice.stage(expires_at, now),
    };
    let edges = notice.iter().flat_map(|notice| notice.edges.iter().map(|edge| edge.at));
    let wake = edges.chain([expires_at]).chain(future_renewal).filter(|at| *at > now).min();
    Outlook { anchor, nominal: Some(nominal), expires_at: Some(expires_at), stage, wake }
}

fn nominal(term: &Term, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if term.protected {
        return None;
    }
    let own = match term.end {
        End::Never => None,
        End::Ttl(ttl) => Some(saturating_add(anchor, term.max_ttl.map_or(ttl, |max| max.min(ttl)))),
        End::At(at) => Some(term.max_ttl.map_or(at, |max| at.min(saturating_add(anchor, max)))),
    };
    let ceiling = term.max_lifetime.map(|max| saturating_add(term.created, max));
    own.into_iter().chain(ceiling).min().map(representable)
}

/// An edge and the moment at which its warning is due.
#[derive(Clone, Copy, Debug)]
struct Edge {
    before: TimeDelta,
    at: DateTime<Utc>,
}

/// How people are told of one expiry.
#[derive(Clone, Debug)]
struct Notice {
    /// In the order of time; never empty.
    edges: Vec<Edge>,
    /// The edge after which nothing more is said.
    last: Edge,
    /// How long the last warning must have stood.
    length: TimeDelta,
    /// The last warning given of this very expiry.
    given: Option<Given>,
}

impl Notice {
    fn of(term: &Term, anchor: DateTime<Utc>, nominal: DateTime<Utc>) -> Option<Self> {
        let shortest = term.warn_before.iter().min().copied()?;
        // An absolute end before the renewal leaves no time after the anchor: count from creation then.
        let from = if anchor < nominal { anchor } else { term.created };
        let length = shortest.min(nominal - from).max(TimeDelta::zero());
        let last = Edge { before: shortest, at: nominal - length };
        let mut edges: Vec<Edge> = term
            .warn_before
            .iter()
            .filter_map(|before| Some(Edge { before: *before, at: nominal.checked_sub_signed(*before)? }))
            .filter(|edge| edge.at >= from && edge.before > shortest)
            .collect();
        edges.push(last);
        edges.sort_by_key(|edge| edge.at);
        let given = term.last_warning.filter(|given| given.expires_at == nominal);
        Some(Self { edges, last, length, given })
    }

    fn last_is_given(&self) -> Option<&Given> {
        self.given.as_ref().filter(|given| given.before <= self.last.before)
    }

    fn move_expiry(&self, nominal: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let given_at = self.last_is_given().map_or_else(|| ceil_second(now).max(self.last.at), |given| given.at);
        if given_at - self.last.at <= WARNING_TOLERANCE { nominal } else { representable(saturating_add(given_at, self.length)) }
    }

    fn stage(&self, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Stage {
        let Some(current) = self.edges.iter().rev().find(|edge| edge.at <= now) else {
            return Stage::Calm;
        };
        if self.last_is_given().is_some() && now >= expires_at {
            return Stage::Due;
        }
        match &self.given {
            Some(given) if given.before <= current.before => Stage::Warned(current.before),
            _ => Stage::Warn(current.before),
        }
    }
}

fn saturating_add(time: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Whole seconds, and no year that RFC 3339 cannot write.
fn representable(time: DateTime<Utc>) -> DateTime<Utc> {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    let last = DateTime::from_timestamp(LAST_SECOND_OF_9999, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    ceil_second(time.min(last)).min(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            renewed_at: None,
            end: End::Ttl(s(100)),
            max_ttl: None,
            max_lifetime: None,
            protected: false,
            warn_before: vec![s(10), s(30)],
            last_warning: None,
        }
    }

    fn warned(before: i64, given: i64, of: i64) -> Given {
        Given { at: at(given), before: s(before), expires_at: at(of) }
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
        assert_eq!(outlook(&term, at(1099)).stage, Stage::Warned(s(10)));
        let end = outlook(&term, at(1100));
        assert_eq!((end.stage, end.wake), (Stage::Due, None));
    }

    #[test]
    fn one_millisecond_before_is_not_due() {
        let term = Term { warn_before: vec![], ..term() };
        assert_eq!(outlook(&term, at(1100) - TimeDelta::milliseconds(1)).stage, Stage::Calm);
        assert_eq!(outlook(&term, at(1100)).stage, Stage::Due);
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
        let told = Term { last_warning: Some(warned(10, 1090, 1100)), renewed_at: Some(at(1095)), ..term() };
        let after = outlook(&told, at(1096));
        assert_eq!((after.stage, after.expires_at, after.anchor), (Stage::Calm, Some(at(1195)), at(1095)));
        let before = outlook(&Term { renewed_at: Some(at(1050)), ..term() }, at(1040));
        assert_eq!((before.expires_at, before.wake), (Some(at(1100)), Some(at(1050))));
    }

    #[test]
    fn ceilings_cap_every_end() {
        let capped = Term { max_lifetime: Some(s(50)), ..term() };
        assert_eq!(outlook(&capped, at(1000)).expires_at, Some(at(1050)));
        assert_eq!(outlook(&Term { end: End::Never, ..capped.clone() }, at(1000)).expires_at, Some(at(1050)));
        assert_eq!(outlook(&Term { renewed_at: Some(at(1040)), ..capped }, at(1040)).expires_at, Some(at(1050)));
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
            ttl in 1..500_i64, renewed in proptest::option::of(900..2000_i64), max_ttl in proptest::option::of(1..500_i64),
            max_life in proptest::option::of(1..900_i64), warn in proptest::collection::vec(1..300_i64, 0..4),
        ) -> Term {
            Term {
                end: End::Ttl(s(ttl)), renewed_at: renewed.map(at), max_ttl: max_ttl.map(s), max_lifetime: max_life.map(s),
                warn_before: warn.into_iter().map(s).collect(), ..term()
            }
        }
    }

    proptest! {
        /// Play a life through with an operator that looks at the given moments, writing each warning when told to.
        #[test]
        fn never_due_early_nor_unwarned(term in any_term(), mut looks in proptest::collection::vec(1000..4000_i64, 1..40)) {
            let mut term = term;
            looks.sort_unstable();
            for now in looks.into_iter().map(at) {
                let seen = outlook(&term, now);
                match seen.stage {
                    Stage::Due => {
                        let nominal = seen.nominal.unwrap();
                        prop_assert!(now >= nominal);
                        if let Some(shortest) = term.warn_before.iter().min() {
                            let given = term.last_warning.expect("warned before it is due");
                            let notice = (*shortest).min(nominal - seen.anchor);
                            prop_assert!(now - given.at + WARNING_TOLERANCE >= notice);
                        }
                        break;
                    }
                    Stage::Warn(before) => term.last_warning = Some(Given { at: now, before, expires_at: seen.nominal.unwrap() }),
                    Stage::Calm | Stage::Warned(_) => {}
                }
                if let Some(wake) = seen.wake { prop_assert!(wake > now); }
            }
        }

        /// Looking often enough, every space with an end is due in the end.
        #[test]
        fn every_end_comes(term in any_term()) {
            let mut term = term;
            let mut now = at(1000);
            for _ in 0..64 {
                let seen = outlook(&term, now);
                match seen.stage {
                    Stage::Due => return Ok(()),
                    Stage::Warn(before) => term.last_warning = Some(Given { at: now, before, expires_at: seen.nominal.unwrap() }),
                    Stage::Calm | Stage::Warned(_) => now = seen.wake.expect("something is still to come"),
                }
            }
            prop_assert!(false, "not due after 64 looks: {:?}", outlook(&term, now));
        }
    }
}
