//! Notices that postpone an end: after a change that brings it nearer, and the one that runs at `created + maxLifetime`.

use chrono::{DateTime, TimeDelta, Utc};

use super::lifetime::{Bound, Postponed, SEAL_LEAD, Term, WARNING_TOLERANCE, representable, saturating_add, shortest};
use crate::api::time::ceil_second;

/// The shortest notice after a change of the class or the spec that brings the end nearer.
pub const LEAST_NOTICE: TimeDelta = TimeDelta::minutes(5);

/// The shortest notice after consent to `protected` or `never` is withdrawn.
pub const LEAST_NOTICE_OF_WITHDRAWAL: TimeDelta = TimeDelta::days(7);

fn longest(thresholds: &[TimeDelta]) -> TimeDelta {
    thresholds.iter().max().copied().unwrap_or_default()
}

/// The notice that is due because a change gave the space an end, or an earlier one; `None` if no change did.
fn notice_of_change(term: &Term, end: DateTime<Utc>) -> Option<TimeDelta> {
    let before = term.before.as_ref().filter(|_| !term.is_renewed)?;
    // The end is the same as before, and a late warning moved the expiry.
    if term.last_warning.is_some_and(|given| given.expires_at == end) {
        return None;
    }
    if term.lacks_consent && before.expires_at.is_none() {
        return Some(longest(&before.warn_before).max(longest(&term.warn_before)).max(LEAST_NOTICE_OF_WITHDRAWAL));
    }
    let is_nearer = before.expires_at.is_none_or(|at| end < at);
    is_nearer.then(|| shortest(&before.warn_before).max(shortest(&term.warn_before)).max(LEAST_NOTICE))
}

/// The notice of an end that a change brought nearer than that notice. A running notice continues while the end stays the same, and no further
/// change of the spec shortens it.
pub(super) fn postponed(term: &Term, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<Postponed> {
    if let Some(running) = term.postponed.filter(|running| running.of == end) {
        return Some(running);
    }
    let notice = notice_of_change(term, end)?;
    let from = ceil_second(now);
    let least = representable(saturating_add(from, notice));
    let promised = term.postponed.into_iter().chain(term.last_notice).map(|running| running.until).max().unwrap_or(least);
    (end < least).then(|| Postponed { of: end, from, until: least.max(promised) })
}

/// `created + maxLifetime`, beyond which one notice runs.
pub(super) struct Ceiling {
    /// The beginning of the notice by the formula.
    pub(super) begins: DateTime<Utc>,
    /// The latest end of the space.
    pub(super) end: DateTime<Utc>,
    /// The notice, once it runs.
    pub(super) notice: Option<Postponed>,
    /// True if the status contains that notice.
    is_recorded: bool,
}

impl Ceiling {
    pub(super) fn of(term: &Term, now: DateTime<Utc>) -> Option<Self> {
        let max = term.max_lifetime?;
        let ceiling = representable(saturating_add(term.created, max));
        let usual = shortest(&term.warn_before).min(max);
        let withdrawn = term.lacks_consent && term.before.as_ref().is_some_and(|before| before.expires_at.is_none());
        let length = match notice_of_change(term, ceiling) {
            Some(notice) if withdrawn || usual.is_zero() => notice,
            Some(_) => shortest(&term.warn_before),
            None => usual,
        };
        let begins = ceiling - usual;
        let recorded = term.last_notice.filter(|notice| now >= begins || notice.until > ceiling);
        if let Some(notice) = recorded {
            return Some(Self { begins, end: notice.until.max(ceiling), notice: Some(notice), is_recorded: true });
        }
        // A class without warnings has no notice, unless a change brought the end here.
        if length.is_zero() || now < ceiling - length {
            return Some(Self { begins, end: ceiling, notice: None, is_recorded: false });
        }
        let from = ceil_second(now);
        let is_late = from - (ceiling - length) > WARNING_TOLERANCE;
        let until = if is_late { representable(saturating_add(from, length)) } else { ceiling };
        let notice = Postponed { of: ceiling, from, until };
        Some(Self { begins, end: until, notice: Some(notice), is_recorded: false })
    }

    /// The end that warnings are given for. A notice that began late sets the end.
    pub(super) fn cap(&self, nominal: DateTime<Utc>, bound: Bound) -> DateTime<Utc> {
        if bound == Bound::MaxLifetime { self.end } else { nominal.min(self.end) }
    }

    pub(super) fn has_stood(&self, now: DateTime<Utc>) -> bool {
        self.is_recorded && now >= self.end - SEAL_LEAD
    }
}
