//! The outcome of the actions of a reconcile: its report, and the time of the next reconcile.

use std::borrow::Cow;

use kube::ResourceExt;

use super::{
    context::Context,
    failure::Failure,
    owner_places::release_previous_place,
    report::{StatusReport, report},
    schedule::Next,
};
use crate::{
    api::DeveloperSpace,
    desired::plan::Observed,
    runtime::error::{Class, Error},
};

/// The outcome of the actions of a reconcile.
pub struct Outcome<'a> {
    /// The space after the actions, on whose version the report is based.
    pub space: Cow<'a, DeveloperSpace>,
    /// The state that the report and the time of the next reconcile are based on.
    pub observed: Observed,
    /// The report, if there is one to write.
    pub report: Option<StatusReport>,
    /// An error of the actions that does not prevent the report, and that its message contains if it lasts.
    pub error: Option<Error>,
    /// The class that the space was admitted to.
    pub admitted: Option<String>,
    /// The time of the next reconcile.
    pub next: Next,
}

impl<'a> Outcome<'a> {
    /// Returns an outcome without a report.
    pub(crate) fn unreported(space: Cow<'a, DeveloperSpace>, observed: Observed, next: Next) -> Self {
        Self { space, observed, report: None, error: None, admitted: None, next }
    }

    /// Writes the report, and then releases the place that the space had before it was admitted to another class or for
    /// another owner. A space whose deletion is complete needs no report.
    pub async fn report(&mut self, ctx: &Context) -> Result<(), Failure> {
        if let Some(content) = self.report.take() {
            let admitted = self.admitted.take();
            let is_admitted = admitted.is_some();
            match report(&ctx.io, &self.space, &self.observed, content).await {
                Ok(_) => {}
                // Other clients removed the last finalizers in the meantime: the deletion is complete.
                Err(error) if error.class() == Class::Vanishing && self.space.metadata.deletion_timestamp.is_some() => {
                    ctx.io.attempts.record_deletion(&self.space.name_any(), self.space.uid().unwrap_or_default());
                    return Ok(());
                }
                Err(error) => return Err(Failure { admitted, ..error.into() }),
            }
            if is_admitted {
                release_previous_place(&self.space, ctx);
            }
        }
        Failure::after_report(self.error.take())
    }
}
