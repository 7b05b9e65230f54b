//! Inputs for tests, and the play of a life from one reconcile to the next.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    formula::{End, FormerTerms, GivenWarning, LifetimeInputs, formula},
    outlook::{Outlook, outlook},
    stage::Stage,
};
use crate::api::{Notice, time::ceil_second};

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

pub(super) fn s(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

/// Created at 1000, ttl 100, warned 30 and 10 before.
pub(super) fn inputs() -> LifetimeInputs {
    LifetimeInputs {
        created: at(1000),
        anchor: at(1000),
        is_renewed: false,
        renewal_counts_at: None,
        end: End::Ttl(s(100)),
        max_ttl: None,
        max_lifetime: None,
        protected: false,
        lacks_consent: false,
        warn_before: vec![s(10), s(30)],
        last_warning: None,
        postponed: None,
        last_notice: None,
        before: None,
    }
}

/// The same inputs of a space that was reconciled before, with an expiry at `expires_at`.
pub(super) fn seen(expires_at: Option<i64>) -> LifetimeInputs {
    LifetimeInputs {
        before: Some(FormerTerms {
            expires_at: expires_at.map(at),
            is_endless: false,
            warn_before: vec![s(10), s(30)],
            renewed: None,
        }),
        ..inputs()
    }
}

pub(super) fn warned(before: i64, given: i64, of: i64) -> GivenWarning {
    GivenWarning { at: at(given), before: s(before), expires_at: at(of) }
}

pub(super) fn notice(of: i64, from: i64, until: i64) -> Notice {
    Notice { of: at(of), from: at(from), until: at(until) }
}

/// Carries the result to the next reconcile, as the status does.
pub(super) fn carry(inputs: &mut LifetimeInputs, seen: &Outlook, now: DateTime<Utc>) {
    inputs.last_warning = match (seen.stage, seen.nominal) {
        (Stage::Warn(before), Some(expires_at)) => Some(GivenWarning { at: ceil_second(now), before, expires_at }),
        _ => inputs.last_warning.filter(|given| Some(given.expires_at) == seen.nominal),
    };
    (inputs.postponed, inputs.last_notice) = (seen.postponed, seen.last_notice);
    inputs.before = Some(FormerTerms {
        expires_at: seen.expires_at,
        is_endless: false,
        warn_before: inputs.warn_before.clone(),
        renewed: None,
    });
    inputs.is_renewed = false;
}

/// Renews the space at `now`. Class and spec are otherwise unchanged.
pub(super) fn renew(inputs: &mut LifetimeInputs, now: DateTime<Utc>) {
    (inputs.anchor, inputs.is_renewed) = (now, true);
    let renewed = formula(inputs).map(|(at, _)| at);
    inputs.before = inputs.before.take().map(|before| FormerTerms { renewed, ..before });
}

/// Evaluates `inputs` at each wake-up from `now` on, and applies `act` to it before each evaluation.
pub(super) fn play(
    inputs: &mut LifetimeInputs,
    mut now: DateTime<Utc>,
    until: DateTime<Utc>,
    act: impl Fn(&mut LifetimeInputs, DateTime<Utc>),
) -> (DateTime<Utc>, Stage) {
    loop {
        act(inputs, now);
        let seen = outlook(inputs, now);
        if seen.stage == Stage::Due || now >= until {
            return (now, seen.stage);
        }
        carry(inputs, &seen, now);
        let again = outlook(inputs, now);
        assert!(!matches!(again.stage, Stage::Warn(_)), "a warning is given once: {again:?}");
        now = again.wake.unwrap_or(until).min(now + s(6)).min(until);
    }
}
