//! The refusal of a spec: the space keeps its class and owner, and loses the access and the resources that it may no
//! longer have.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    context::Context,
    failure::{Failure, with_error},
    outcome::Outcome,
    owner_places::leave,
    provision::ensure_finalizer,
    report::StatusReport,
    schedule::Next,
    waiting_limit,
    withhold::withhold,
};
use crate::{
    api::DeveloperSpace,
    desired::{SpecRefusal, expiry::Step, plan::Observed, status::Readiness},
    runtime::error::Error,
};

/// A refused spec.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The refusal.
    pub refusal: SpecRefusal,
    /// Resources that only the class limits to which the space asks to be moved. They are added to the quota, which
    /// counts them first.
    pub to_count: BTreeSet<String>,
    /// The time at which the space is reconciled again without an event.
    pub recheck_at: Option<DateTime<Utc>>,
}

impl From<SpecRefusal> for Refused {
    fn from(refusal: SpecRefusal) -> Self {
        Self { refusal, to_count: BTreeSet::new(), recheck_at: None }
    }
}

/// Carries out the removals of a refused spec. Deletes a space that waits beyond the number of spaces that may wait for
/// a place.
pub async fn refuse<'a>(
    ctx: &Context,
    space: &'a DeveloperSpace,
    mut observed: Observed,
    refused: Refused,
) -> Result<Outcome<'a>, Failure> {
    let Refused { refusal, to_count, recheck_at } = refused;
    leave(space, &observed, &refusal, ctx);
    if let Some(at) = recheck_at {
        observed.wakes_by(at);
    }
    if let Some(deletion) = waiting_limit::deletion(space, &observed, ctx, &refusal) {
        if deletion <= observed.now {
            waiting_limit::delete(&ctx.io, space, &observed).await?;
            return Ok(Outcome::unreported(Cow::Borrowed(space), observed, Next::After(Step::Live)));
        }
        observed.wakes_by(deletion);
    }
    // A client that replaces the whole object drops the finalizer. Without the finalizer, a deletion would leave the
    // namespace behind.
    let held: Result<Cow<'a, DeveloperSpace>, Error> = match observed.own_namespace() {
        Some(_) => ensure_finalizer(&ctx.io, space).await.map(Cow::Owned),
        None => Ok(Cow::Borrowed(space)),
    };
    let latest: &DeveloperSpace = match &held {
        Ok(held) => held,
        Err(_) => space,
    };
    let withheld = withhold(ctx, latest, &observed, &to_count).await;
    let refusal = match &observed.standing {
        Some(standing) => standing.beside_a_transfer(&space.spec.owner, refusal),
        None => refusal,
    };
    let SpecRefusal { reason, message } = observed.with_missing_class(refusal);
    let error = held.as_ref().err().or_else(|| withheld.as_ref().err());
    let readiness = with_error(&ctx.io, latest, Readiness::new(reason, message), error);
    let report = StatusReport::new(readiness, observed.namespace_ref(space));
    let (latest, error) = match held {
        Ok(held) => (held, withheld.err()),
        Err(error) => (Cow::Borrowed(space), Some(error)),
    };
    Ok(Outcome { report: Some(report), error, ..Outcome::unreported(latest, observed, Next::After(Step::Live)) })
}
