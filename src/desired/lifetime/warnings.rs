//! The warnings of one expiry: their times, the last one that was given, and the move of the expiry by a late one.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    arithmetic::{representable, saturating_add},
    ceiling::Ceiling,
    formula::{End, GivenWarning, LifetimeInputs},
    stage::{Stage, WARNING_TOLERANCE},
};
use crate::api::{Notice, time::ceil_second};

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
    given: Option<GivenWarning>,
    /// The expiry, or the later one to which a late warning moved it at an earlier reconcile.
    end: DateTime<Utc>,
    /// The time up to which thresholds have passed.
    reached: DateTime<Utc>,
}

/// The last warning in a class without thresholds: the one that was given last, or the first one of a notice.
fn last_without_thresholds(given: Option<GivenWarning>, first: Option<Edge>) -> Option<Edge> {
    let given = given.filter(|given| first.is_none_or(|first| given.before < first.before));
    given.map(|given| Edge { before: given.before, at: given.at }).or(first)
}

impl Warnings {
    pub(super) fn new(
        inputs: &LifetimeInputs,
        nominal: DateTime<Utc>,
        (postponed, ceiling): (Option<&Notice>, Option<&Ceiling>),
        now: DateTime<Utc>,
    ) -> Option<Self> {
        // A renewal does not move an absolute end, so the time before that end counts from creation.
        let sets_nominal = matches!(inputs.end, End::At(at) if representable(at) == nominal);
        let is_absolute = sets_nominal || inputs.anchor >= nominal;
        let anchor = if is_absolute { inputs.created } else { inputs.anchor.min(now) };
        let mut notices = postponed.into_iter().chain(ceiling.and_then(|ceiling| ceiling.notice.as_ref()));
        // A notice that began at its end has no time for a warning, whose threshold would be no duration: `0s` cannot
        // be read back.
        let running = notices
            .find(|running| running.until == nominal && running.until != running.of && running.until > running.from);
        let from = running.map_or(anchor, |running| running.from);
        let given = inputs.last_warning.filter(|given| given.expires_at == nominal);
        // A notice that postponed nothing when it began was not announced then.
        let announced_from = running.map(|running| {
            let is_announced = given.is_some() || running.until <= ceil_second(now);
            if is_announced { running.from } else { running.from.max(ceil_second(now)) }
        });
        let first = running.zip(announced_from).map(|(running, at)| Edge { before: running.until - at, at });
        // A notice begins at a whole second, and its warning is given with it: the next sweep of `gc` may come only
        // after its end.
        let reached = announced_from.filter(|at| *at == ceil_second(now)).unwrap_or(now);
        // An expiry that a late warning moved was announced. Neither other warnings nor a renewal bring it nearer.
        let announced = inputs.before.as_ref().and_then(|before| before.expires_at).filter(|_| given.is_some());
        let end = announced.map_or(nominal, |announced| announced.max(nominal));
        let end = ceiling.map_or(end, |ceiling| end.min(ceiling.end));
        let length = |before: TimeDelta| before.min(nominal - from).max(TimeDelta::zero());
        let last = match inputs.warn_before.iter().min() {
            Some(shortest) => Edge { before: *shortest, at: end - length(*shortest) },
            None => last_without_thresholds(given, first)?,
        };
        let mut edges: Vec<Edge> = inputs
            .warn_before
            .iter()
            .filter_map(|before| Some(Edge { before: *before, at: end.checked_sub_signed(*before)? }))
            .filter(|edge| edge.at >= from && edge.before > last.before)
            .chain(first.filter(|first| first.before > last.before))
            .collect();
        edges.push(last);
        edges.sort_by_key(|edge| (edge.at, std::cmp::Reverse(edge.before)));
        Some(Self { edges, last, length: length(last.before), given, end, reached })
    }

    fn last_is_given(&self) -> Option<&GivenWarning> {
        self.given.as_ref().filter(|given| given.before <= self.last.before)
    }

    pub(super) fn move_expiry(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let given_at = self.last_is_given().map_or_else(|| ceil_second(now).max(self.last.at), |given| given.at);
        let is_late = given_at - self.last.at > WARNING_TOLERANCE;
        if is_late { representable(saturating_add(given_at, self.length)).max(self.end) } else { self.end }
    }

    pub(super) fn stage(&self, seal_at: DateTime<Utc>, now: DateTime<Utc>) -> Stage {
        let Some(current) = self.edges.iter().rev().find(|edge| edge.at <= self.reached) else {
            // The warning after which the expiry moved stays in force until the next one.
            let moved = self.given.filter(|given| given.expires_at < self.end);
            return moved.map_or(Stage::Calm, |given| Stage::Warned(given.before));
        };
        if self.last_is_given().is_some() && now >= seal_at {
            return Stage::Due;
        }
        match &self.given {
            Some(given) if given.before <= current.before => Stage::Warned(given.before),
            _ => Stage::Warn(current.before),
        }
    }
}
