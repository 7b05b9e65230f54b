//! The life of one space in time: its end, the warning that is due, and the time of the next reconcile.
//!
//! `expiresAt = min(end, anchor + maxTTL, created + maxLifetime)`. No space is deleted unwarned: an end that a change
//! brings nearer than the notice is postponed, and a late warning moves the expiry. Beyond `created + maxLifetime` one
//! notice runs, once.
//!
//! Owns the arithmetic only; [`super::inputs`] reads the times that a space and its class ask for.

use chrono::{DateTime, Utc};

use super::{
    ceiling::Ceiling,
    formula::{Bound, LifetimeInputs, formula, longest_life},
    notice::{floor, notice_of},
    stage::{SEAL_LEAD, Stage},
    warnings::Warnings,
};
use crate::api::Notice;

/// The result of [`outlook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The start of the ttl.
    pub anchor: DateTime<Utc>,
    /// The expiry that warnings are given of: by the formula, or postponed; `None` is never.
    pub nominal: Option<DateTime<Utc>>,
    /// The expiry in force: the nominal one, moved if the last warning was late.
    pub expires_at: Option<DateTime<Utc>>,
    /// The term that sets the expiry in force. From `created + maxLifetime` on, it is `maxLifetime`: no renewal extends
    /// such an end.
    pub bound: Option<Bound>,
    /// The stage of the space.
    pub stage: Stage,
    /// The notice that runs because a change brought the end nearer, or withdrew consent.
    pub postponed: Option<Notice>,
    /// The one notice that runs at `created + maxLifetime`.
    pub last_notice: Option<Notice>,
    /// The next time at which the result changes although neither the space nor its class does.
    pub wake: Option<DateTime<Utc>>,
}

impl Outlook {
    /// The outlook of a space that is due, and that the current spec of its class, with the inputs `unvalidated`, ends
    /// later: that spec was not validated yet, and holds the seal back until its own end. `None` if the space is not
    /// due, or if that end is no later. Only the ends are compared, because the warnings follow the spec that was
    /// accepted last.
    pub fn held(&self, unvalidated: &LifetimeInputs, now: DateTime<Utc>) -> Option<Self> {
        let end = formula(unvalidated).map(|(at, _)| at);
        let is_later = end.is_none_or(|end| end > self.expires_at.map_or(now, |due| due.max(now)));
        if self.stage != Stage::Due || !is_later {
            return None;
        }
        let given = unvalidated.last_warning.filter(|given| Some(given.expires_at) == self.nominal);
        let stage = given.map_or(Stage::Calm, |given| Stage::Warned(given.before));
        Some(Self { stage, wake: self.wake.into_iter().chain(end).min(), ..*self })
    }
}

/// Evaluates `inputs` at `now`. The resulting ends are whole seconds, rounded up, so that none is early.
pub fn outlook(inputs: &LifetimeInputs, now: DateTime<Utc>) -> Outlook {
    let LifetimeInputs { anchor, renewal_counts_at, .. } = *inputs;
    let Some((formula, bound)) = formula(inputs) else {
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
    let ceiling = Ceiling::new(inputs, now);
    // Beyond maxLifetime the ceiling's own notice runs.
    let postponed =
        if bound == Bound::MaxLifetime { floor(inputs, formula, now) } else { notice_of(inputs, formula, now) };
    let nominal = postponed.map_or(formula, |postponed| postponed.until.max(formula));
    let nominal = ceiling.as_ref().map_or(nominal, |ceiling| ceiling.cap(nominal, bound));
    let notice = Warnings::new(inputs, nominal, (postponed.as_ref(), ceiling.as_ref()), now);
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
    let wake =
        edges.chain([seal_at, expires_at]).chain(notice_begins).chain(renewal_counts_at).filter(|at| *at > now).min();
    let last_notice = ceiling.and_then(|ceiling| ceiling.notice);
    // Another term can give the same end, and a notice or a late warning can move an earlier end there.
    let bound = if longest_life(inputs).is_some_and(|last| expires_at >= last) { Bound::MaxLifetime } else { bound };
    Outlook {
        anchor,
        nominal: Some(nominal),
        expires_at: Some(expires_at),
        bound: Some(bound),
        stage,
        postponed,
        last_notice,
        wake,
    }
}
