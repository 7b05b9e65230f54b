//! Notices that postpone an end after a change that brings it nearer.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    arithmetic::{representable, saturating_add, shortest},
    formula::LifetimeInputs,
};
use crate::api::{Notice, time::ceil_second};

/// The shortest notice after a change of the class or the spec that brings the end nearer.
pub(super) const MIN_NOTICE: TimeDelta = TimeDelta::minutes(5);

/// The shortest notice after consent to `protected` or `never` is withdrawn.
pub(super) const MIN_WITHDRAWAL_NOTICE: TimeDelta = TimeDelta::days(7);

fn longest(thresholds: &[TimeDelta]) -> TimeDelta {
    thresholds.iter().max().copied().unwrap_or_default()
}

/// The notice that is due because a change gave the space an end, or an earlier one; `None` if no change did.
pub(super) fn notice_of_change(inputs: &LifetimeInputs, end: DateTime<Utc>) -> Option<TimeDelta> {
    let before = inputs.before.as_ref()?;
    // The end that a renewal gives under the former terms is the owner's own choice. Class and consent may have changed
    // since the last reconcile.
    let in_force = if inputs.is_renewed { before.renewed } else { before.expires_at };
    let was_endless = before.expires_at.is_none() && in_force.is_none();
    if inputs.lacks_consent && (was_endless || before.is_endless && in_force.is_some_and(|at| end < at)) {
        return Some(longest(&before.warn_before).max(longest(&inputs.warn_before)).max(MIN_WITHDRAWAL_NOTICE));
    }
    let is_nearer = in_force.is_none_or(|at| end < at);
    is_nearer.then(|| shortest(&before.warn_before).max(shortest(&inputs.warn_before)).max(MIN_NOTICE))
}

/// The expiry to which a late warning moved another end than `end`, as a notice that begins at `from` and leaves time
/// for every warning.
fn moved(inputs: &LifetimeInputs, end: DateTime<Utc>, from: DateTime<Utc>) -> Option<Notice> {
    let given = inputs.last_warning.filter(|given| given.expires_at != end)?;
    let until = inputs.before.as_ref()?.expires_at.filter(|at| *at > given.expires_at)?;
    let least = shortest(&inputs.warn_before).min(end - inputs.anchor).max(TimeDelta::zero());
    (until >= saturating_add(from, least)).then_some(Notice { of: end, from, until })
}

/// The notice of the ceiling, if its end was announced. A notice that began in time announced no end of a shorter ttl.
fn announced_by_the_ceiling(inputs: &LifetimeInputs) -> Option<Notice> {
    let announced = inputs.before.as_ref()?.expires_at?;
    inputs.last_notice.filter(|notice| notice.until > notice.of && announced >= notice.until)
}

/// Returns true if the notice is as long as one of withdrawn consent. A change by an owner begins no notice of that
/// length, except in a class whose warnings are as long.
pub(super) fn is_of_withdrawal(notice: &Notice) -> bool {
    notice.until - notice.from >= MIN_WITHDRAWAL_NOTICE
}

/// The notice of withdrawn consent that is over before `end`. It postpones nothing, and is recorded because a further
/// change may bring the end nearer. The ceiling can have recorded it as well.
pub(super) fn floor(inputs: &LifetimeInputs, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<Notice> {
    let of_the_ceiling = inputs.last_notice.filter(|notice| notice.until > notice.of);
    let running = inputs.postponed.into_iter().chain(of_the_ceiling).filter(|notice| notice.until > now);
    let is_withdrawn = inputs.lacks_consent && inputs.before.as_ref().is_some_and(|before| before.is_endless);
    let begins = notice_of_change(inputs, end).filter(|_| is_withdrawn).map(|notice| {
        let from = ceil_second(now);
        Notice { of: end, from, until: representable(saturating_add(from, notice)) }
    });
    let notices = running.chain(begins).filter(|notice| is_of_withdrawal(notice) && notice.until <= end);
    notices.max_by_key(|notice| notice.until).map(|notice| Notice { of: end, ..notice })
}

/// The notice that runs because of a change: it postpones the end, or is over before it.
pub(super) fn notice_of(inputs: &LifetimeInputs, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<Notice> {
    postponed(inputs, end, now).or_else(|| floor(inputs, end, now))
}

/// The notice of an end that a change brought nearer than that notice. A running notice continues while the end stays
/// the same, and no further change of the spec or the class shortens it.
fn postponed(inputs: &LifetimeInputs, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<Notice> {
    // A renewal and a change of the class can give the end that the notice postpones.
    let continues = |running: &Notice| running.of == end && running.until > end && !inputs.is_renewed;
    if let Some(running) = inputs.postponed.filter(continues) {
        return Some(running);
    }
    let from = ceil_second(now);
    // The end is the same as before, and a late warning may have moved the expiry: `Warnings` keeps it.
    let is_same = !inputs.is_renewed && inputs.last_warning.is_some_and(|given| given.expires_at == end);
    let Some(notice) = notice_of_change(inputs, end).filter(|_| !is_same) else {
        // A renewal counts from its own time. It does not bring an end nearer that a notice or a late warning
        // announced.
        let running =
            inputs.postponed.into_iter().chain(announced_by_the_ceiling(inputs)).chain(moved(inputs, end, from));
        let announced = running.into_iter().find(|notice| end < notice.until);
        return announced.filter(|_| inputs.is_renewed).map(|notice| Notice { of: end, ..notice });
    };
    let least = representable(saturating_add(from, notice));
    let promised = inputs.postponed.into_iter().chain(inputs.last_notice).max_by_key(|running| running.until);
    // A notice that continues keeps its beginning, which shows its full length.
    let continued = promised.into_iter().chain(moved(inputs, end, from)).find(|notice| notice.until >= least);
    let notice = continued.map_or(Notice { of: end, from, until: least }, |notice| Notice { of: end, ..notice });
    (end < notice.until).then_some(notice)
}
