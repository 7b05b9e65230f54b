//! The inputs of the life of one space, and the formula for its end.
//!
//! Reads neither the space nor its class; [`super::inputs`] does.

use chrono::{DateTime, TimeDelta, Utc};

use super::arithmetic::{representable, saturating_add};
use crate::api::Notice;

/// The end of a space by its own spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No end.
    Never,
    /// The given time after the anchor.
    Ttl(TimeDelta),
    /// The given time.
    At(DateTime<Utc>),
}

/// A warning that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenWarning {
    /// The time.
    pub at: DateTime<Utc>,
    /// The threshold.
    pub before: TimeDelta,
    /// The expiry that it was given for, before a late warning moved it.
    pub expires_at: DateTime<Utc>,
}

/// The terms in force at the last reconcile of the space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormerTerms {
    /// The expiry in force; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// True if the space had no end of its own: only `maxLifetime` could end it.
    pub is_endless: bool,
    /// The warning thresholds.
    pub warn_before: Vec<TimeDelta>,
    /// The end that the spec gives under the former terms, counted from the current anchor; `None` is never.
    pub renewed: Option<DateTime<Utc>>,
}

/// Everything that the life of one space depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifetimeInputs {
    /// The space's creation.
    pub created: DateTime<Utc>,
    /// The start of the ttl: the latest of creation and all renewals that counted.
    pub anchor: DateTime<Utc>,
    /// True if the anchor is a renewal that counts for the first time.
    pub is_renewed: bool,
    /// The time at which a renewal that is too far ahead begins to count.
    pub renewal_counts_at: Option<DateTime<Utc>>,
    /// The end asked for.
    pub end: End,
    /// The longest time between the anchor and the end.
    pub max_ttl: Option<TimeDelta>,
    /// The longest time between creation and the end.
    pub max_lifetime: Option<TimeDelta>,
    /// True if the space never expires.
    pub protected: bool,
    /// True if the space asks for `protected` or `never`, or had `never` by default, and its class does not consent.
    pub lacks_consent: bool,
    /// The warning thresholds, in any order.
    pub warn_before: Vec<TimeDelta>,
    /// The last warning given.
    pub last_warning: Option<GivenWarning>,
    /// The notice that runs because a change brought the end nearer.
    pub postponed: Option<Notice>,
    /// The one notice that runs at `created + maxLifetime`.
    pub last_notice: Option<Notice>,
    /// The terms before; `None` for a space that was never admitted.
    pub before: Option<FormerTerms>,
}

/// The term of the formula that sets an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The ttl, or the class's `maxTTL`: a renewal moves it.
    Ttl,
    /// `spec.expiresAt`.
    ExpiresAt,
    /// The class's `maxLifetime`.
    MaxLifetime,
}

/// `created + maxLifetime`.
pub(super) fn longest_life(inputs: &LifetimeInputs) -> Option<DateTime<Utc>> {
    inputs.max_lifetime.map(|max| representable(saturating_add(inputs.created, max)))
}

/// `min(end, anchor + maxTTL, created + maxLifetime)`, and the term that sets it.
pub(super) fn formula(inputs: &LifetimeInputs) -> Option<(DateTime<Utc>, Bound)> {
    if inputs.protected {
        return None;
    }
    let most = inputs.max_ttl.map(|max| saturating_add(inputs.anchor, max));
    let own = match inputs.end {
        End::Never => None,
        End::Ttl(ttl) => Some((saturating_add(inputs.anchor, ttl), Bound::Ttl)),
        End::At(at) => Some((at, Bound::ExpiresAt)),
    };
    // maxTTL does not bound a space without an end of its own, which the class allows; maxLifetime does.
    let most = most.filter(|_| own.is_some()).map(|at| (at, Bound::Ttl));
    let ceiling = longest_life(inputs).map(|at| (at, Bound::MaxLifetime));
    let ends = own.into_iter().chain(most).chain(ceiling);
    ends.min_by_key(|(at, _)| *at).map(|(at, bound)| (representable(at), bound))
}
