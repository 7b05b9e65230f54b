//! The stage of a space in its life, and the tolerances of its boundaries.

use chrono::TimeDelta;

/// A warning written this soon after its threshold counts as given at the threshold, so that write latency moves
/// nothing.
pub const WARNING_TOLERANCE: TimeDelta = TimeDelta::seconds(10);

/// The longest time before its end at which a space may be sealed, so that its DELETE is sent at the end and not after
/// one more write.
pub const SEAL_LEAD: TimeDelta = TimeDelta::milliseconds(200);

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
