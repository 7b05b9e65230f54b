//! `created + maxLifetime`, beyond which one notice runs.

use chrono::{DateTime, Utc};

use super::{
    arithmetic::{representable, saturating_add, shortest},
    formula::{Bound, LifetimeInputs, longest_life},
    notice::{is_of_withdrawal, notice_of_change},
    stage::{SEAL_LEAD, WARNING_TOLERANCE},
};
use crate::api::{Notice, time::ceil_second};

/// The notice of withdrawn consent that was announced to end after `ceiling`. A notice that postponed an end was
/// announced with that end, which a late warning may have moved.
fn withdrawal_beyond(inputs: &LifetimeInputs, ceiling: DateTime<Utc>) -> Option<Notice> {
    let announced = inputs.before.as_ref()?.expires_at.filter(|announced| *announced > ceiling)?;
    let running = inputs.postponed.filter(|running| is_of_withdrawal(running) && running.until <= announced)?;
    let until = if running.until > running.of { announced } else { running.until };
    (until > ceiling).then_some(Notice { of: ceiling, from: running.from, until })
}

/// `created + maxLifetime`, beyond which one notice runs.
pub(super) struct Ceiling {
    /// The beginning of the notice by the formula.
    pub(super) begins: DateTime<Utc>,
    /// The latest end of the space.
    pub(super) end: DateTime<Utc>,
    /// The notice, once it runs.
    pub(super) notice: Option<Notice>,
    /// True if the status contains that notice.
    is_recorded: bool,
}

impl Ceiling {
    pub(super) fn new(inputs: &LifetimeInputs, now: DateTime<Utc>) -> Option<Self> {
        let max = inputs.max_lifetime?;
        let ceiling = longest_life(inputs)?;
        let usual = shortest(&inputs.warn_before).min(max);
        let was_endless = inputs.before.as_ref().is_some_and(|before| before.expires_at.is_none() || before.is_endless);
        let withdrawn = inputs.lacks_consent && was_endless;
        let length = match notice_of_change(inputs, ceiling) {
            Some(notice) if withdrawn || usual.is_zero() => notice,
            Some(_) => shortest(&inputs.warn_before),
            None => usual,
        };
        let begins = ceiling - usual;
        // A notice of a shorter maxLifetime, which an administrator has raised since, did not announce this end.
        let recorded =
            inputs.last_notice.filter(|notice| (now >= begins && notice.of >= ceiling) || notice.until > ceiling);
        if let Some(notice) = recorded {
            return Some(Self { begins, end: notice.until.max(ceiling), notice: Some(notice), is_recorded: true });
        }
        // A notice of withdrawn consent continues beyond a ceiling that a further change sets, unless the notice of the
        // ceiling ends later.
        if let Some(notice) =
            withdrawal_beyond(inputs, ceiling).filter(|notice| notice.until >= saturating_add(now, length))
        {
            return Some(Self { begins, end: notice.until, notice: Some(notice), is_recorded: false });
        }
        // A class without warnings has no notice, unless a change brought the end nearer.
        if length.is_zero() || now < ceiling - length {
            return Some(Self { begins, end: ceiling, notice: None, is_recorded: false });
        }
        let from = ceil_second(now);
        let is_late = from - (ceiling - length) > WARNING_TOLERANCE;
        let until = if is_late { representable(saturating_add(from, length)) } else { ceiling };
        let notice = Notice { of: ceiling, from, until };
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
