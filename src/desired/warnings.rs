//! The warnings of one expiry: their times, the last one that was given, and the move of the expiry by a late one.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    lifetime::{Given, Postponed, Stage, Term, WARNING_TOLERANCE, representable, saturating_add},
    notice::Ceiling,
};
use crate::api::time::ceil_second;

/// A threshold and the moment at which its warning is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    before: TimeDelta,
    pub(super) at: DateTime<Utc>,
}

/// The warnings of one expiry.
#[derive(Clone, Debug)]
pub(super) struct Warnings {
    /// The thresholds in the order of time; never empty.
    pub(super) edges: Vec<Edge>,
    /// The last threshold.
    last: Edge,
    /// The shortest time between the last warning and the expiry.
    length: TimeDelta,
    /// The last warning given for this expiry.
    given: Option<Given>,
}

impl Warnings {
    pub(super) fn of(
        term: &Term,
        nominal: DateTime<Utc>,
        (postponed, ceiling): (Option<&Postponed>, Option<&Ceiling>),
        now: DateTime<Utc>,
    ) -> Option<Self> {
        // An absolute end before the renewal leaves no time after the anchor, so it counts from creation.
        let anchor = if term.anchor < nominal { term.anchor.min(now) } else { term.created };
        let mut notices = postponed.into_iter().chain(ceiling.and_then(|ceiling| ceiling.notice.as_ref()));
        let running = notices.find(|running| running.until == nominal && running.until != running.of);
        let from = running.map_or(anchor, |running| running.from);
        let first = running.map(|running| Edge { before: running.until - running.from, at: running.from });
        let shortest = match term.warn_before.iter().min() {
            Some(shortest) => *shortest,
            None => first?.before,
        };
        let length = shortest.min(nominal - from).max(TimeDelta::zero());
        let last = Edge { before: shortest, at: nominal - length };
        let mut edges: Vec<Edge> = term
            .warn_before
            .iter()
            .filter_map(|before| Some(Edge { before: *before, at: nominal.checked_sub_signed(*before)? }))
            .filter(|edge| edge.at >= from && edge.before > shortest)
            .chain(first.filter(|first| first.before > shortest))
            .collect();
        edges.push(last);
        edges.sort_by_key(|edge| (edge.at, std::cmp::Reverse(edge.before)));
        let given = term.last_warning.filter(|given| given.expires_at == nominal);
        Some(Self { edges, last, length, given })
    }

    fn last_is_given(&self) -> Option<&Given> {
        self.given.as_ref().filter(|given| given.before <= self.last.before)
    }

    pub(super) fn move_expiry(&self, nominal: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let given_at = self.last_is_given().map_or_else(|| ceil_second(now).max(self.last.at), |given| given.at);
        if given_at - self.last.at <= WARNING_TOLERANCE { nominal } else { representable(saturating_add(given_at, self.length)) }
    }

    pub(super) fn stage(&self, seal_at: DateTime<Utc>, now: DateTime<Utc>) -> Stage {
        let Some(current) = self.edges.iter().rev().find(|edge| edge.at <= now) else {
            return Stage::Calm;
        };
        if self.last_is_given().is_some() && now >= seal_at {
            return Stage::Due;
        }
        match &self.given {
            Some(given) if given.before <= current.before => Stage::Warned(current.before),
            _ => Stage::Warn(current.before),
        }
    }
}
