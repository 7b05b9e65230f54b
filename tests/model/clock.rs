//! The time of the model: whole ticks, and the moment shortly before each tick, at which a space may already be sealed.

use chrono::{DateTime, TimeDelta, Utc};
use developerspace_operator::desired::lifetime::stage::SEAL_LEAD;

/// A whole tick. Stored times have whole seconds, so a time between two ticks is stored as the next tick.
pub(crate) type Tick = u8;

/// A point in time. Even values are ticks; odd values are half a [`SEAL_LEAD`] before the next tick.
pub(crate) type Moment = u8;

/// The moment of `tick`.
pub(crate) const fn moment(tick: Tick) -> Moment {
    2 * tick
}

/// The first tick at or after `moment`.
pub(crate) const fn ceil(moment: Moment) -> Tick {
    moment.div_ceil(2)
}

/// Returns true if `moment` is a tick.
pub(crate) const fn is_whole(moment: Moment) -> bool {
    moment.is_multiple_of(2)
}

/// The length of a tick, in seconds. Every length is longer than `WARNING_TOLERANCE`, `CLOCK_SKEW` and the skew of
/// creations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clock(i64);

/// One tick is `MIN_NOTICE`.
pub(crate) const MINUTES: Clock = Clock(300);

/// Two ticks are `MIN_WITHDRAWAL_NOTICE`.
pub(crate) const DAYS: Clock = Clock(302_400);

impl Clock {
    pub(crate) fn span(self, ticks: Tick) -> TimeDelta {
        TimeDelta::seconds(i64::from(ticks) * self.0)
    }

    pub(crate) fn at(self, tick: Tick) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + self.span(tick)
    }

    pub(crate) fn now(self, moment: Moment) -> DateTime<Utc> {
        let early = if is_whole(moment) { TimeDelta::zero() } else { SEAL_LEAD / 2 };
        self.at(ceil(moment)) - early
    }

    pub(crate) fn tick(self, time: DateTime<Utc>) -> Tick {
        let tick = self.nearest(time);
        assert_eq!(self.at(tick), time, "between two ticks");
        tick
    }

    /// Returns the tick nearest to the time of a condition, which is truncated to whole seconds.
    pub(crate) fn nearest(self, time: DateTime<Utc>) -> Tick {
        Tick::try_from(((time - self.at(0)).num_seconds() + self.0 / 2) / self.0).unwrap()
    }

    pub(crate) fn ticks(self, span: TimeDelta) -> Tick {
        let ticks = Tick::try_from(span.num_seconds() / self.0).unwrap();
        assert_eq!(self.span(ticks), span, "no whole ticks");
        ticks
    }
}
