//! Notices that postpone an end after a change that brings it nearer.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    arithmetic::{representable, saturating_add, shortest},
    term::{Postponed, Term},
};
use crate::api::time::ceil_second;

/// The shortest notice after a change of the class or the spec that brings the end nearer.
pub(super) const LEAST_NOTICE: TimeDelta = TimeDelta::minutes(5);

/// The shortest notice after consent to `protected` or `never` is withdrawn.
pub(super) const LEAST_NOTICE_OF_WITHDRAWAL: TimeDelta = TimeDelta::days(7);

fn longest(thresholds: &[TimeDelta]) -> TimeDelta {
    thresholds.iter().max().copied().unwrap_or_default()
}

/// The notice that is due because a change gave the space an end, or an earlier one; `None` if no change did.
pub(super) fn notice_of_change(term: &Term, end: DateTime<Utc>) -> Option<TimeDelta> {
    let before = term.before.as_ref()?;
    // The end that a renewal gives under the former terms is the owner's own choice. Class and consent may have changed since the last reconcile.
    let in_force = if term.is_renewed { before.renewed } else { before.expires_at };
    let was_endless = before.expires_at.is_none() && in_force.is_none();
    if term.lacks_consent && (was_endless || before.is_endless && in_force.is_some_and(|at| end < at)) {
        return Some(longest(&before.warn_before).max(longest(&term.warn_before)).max(LEAST_NOTICE_OF_WITHDRAWAL));
    }
    let is_nearer = in_force.is_none_or(|at| end < at);
    is_nearer.then(|| shortest(&before.warn_before).max(shortest(&term.warn_before)).max(LEAST_NOTICE))
}

/// The expiry to which a late warning moved another end than `end`, as a notice that begins at `from` and leaves time for every warning.
fn moved(term: &Term, end: DateTime<Utc>, from: DateTime<Utc>) -> Option<Postponed> {
    let given = term.last_warning.filter(|given| given.expires_at != end)?;
    let until = term.before.as_ref()?.expires_at.filter(|at| *at > given.expires_at)?;
    let least = shortest(&term.warn_before).min(end - term.anchor).max(TimeDelta::zero());
    (until >= saturating_add(from, least)).then_some(Postponed { of: end, from, until })
}

/// The notice of the ceiling, if its end was announced. A notice that began in time announced no end of a shorter ttl.
fn announced_by_the_ceiling(term: &Term) -> Option<Postponed> {
    let announced = term.before.as_ref()?.expires_at?;
    term.last_notice.filter(|notice| notice.until > notice.of && announced >= notice.until)
}

/// The notice of an end that a change brought nearer than that notice. A running notice continues while the end stays the same, and no further
/// change of the spec or the class shortens it.
pub(super) fn postponed(term: &Term, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<Postponed> {
    // A renewal and a change of the class can give the end that the notice postpones.
    if let Some(running) = term.postponed.filter(|running| running.of == end && !term.is_renewed) {
        return Some(running);
    }
    let from = ceil_second(now);
    // The end is the same as before, and a late warning may have moved the expiry: `Warnings` keeps it.
    let is_same = !term.is_renewed && term.last_warning.is_some_and(|given| given.expires_at == end);
    let Some(notice) = notice_of_change(term, end).filter(|_| !is_same) else {
        // A renewal counts from its own time. It does not bring an end nearer that a notice or a late warning announced.
        let running = term.postponed.into_iter().chain(announced_by_the_ceiling(term)).chain(moved(term, end, from));
        let announced = running.into_iter().find(|notice| end < notice.until);
        return announced.filter(|_| term.is_renewed).map(|notice| Postponed { of: end, ..notice });
    };
    let least = representable(saturating_add(from, notice));
    let promised = term.postponed.into_iter().chain(term.last_notice).max_by_key(|running| running.until);
    // A notice that continues keeps its beginning, which shows its full length.
    let continued = promised.into_iter().chain(moved(term, end, from)).find(|notice| notice.until >= least);
    let notice = continued.map_or(Postponed { of: end, from, until: least }, |notice| Postponed { of: end, ..notice });
    (end < notice.until).then_some(notice)
}
