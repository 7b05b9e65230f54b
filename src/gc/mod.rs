//! One sweep, for a CronJob or by hand. It lists, decides with the controller's own functions, and carries out the
//! decisions.
//!
//! It may run concurrently with a controller: every write has the resourceVersion of its decision as a precondition, so
//! that only one of the two succeeds.

pub mod account;
pub mod annotated;
pub mod listing;
pub mod output;
pub mod plan;
pub mod settings;

use std::{io::Write, sync::Arc};

use anyhow::Context as _;
use futures::{StreamExt, stream};
use kube::Client;

use self::{
    listing::list_cluster,
    output::{Outcome, Row, Sweep},
    plan::{Item, Planned},
};
use crate::{
    api::{DeveloperSpace, protected_namespaces::ProtectedNamespaces},
    cli::GcArgs,
    clock::Clock,
    controller::{expire, io::Io, report},
    desired::deletion_limit,
    installed::{crd_is_going, lacking},
    runtime::{
        error::{Class, Error},
        events::recorder,
        worker_slots::WorkerSlots,
    },
};

/// The exit status of a usage error, as in clap.
const EXIT_USAGE: u8 = 2;
/// The number of items that are carried out concurrently.
const MAX_CONCURRENT_ITEMS: u16 = 16;

/// The output and the exit status.
pub struct SweepOutput {
    /// The text for standard output.
    pub text: String,
    /// 0 done, 1 something failed, 2 a usage error or an account without the permission, 3 refused by the deletion
    /// limit.
    pub code: u8,
}

/// Runs a sweep and returns its result. A sweep by an account that may not run it, and a sweep that would miss the
/// operator's settings, are refused with a message on standard error. A sweep while a CRD lacks fields is an error: its
/// decisions depend on fields that the API server dropped.
pub async fn run(client: Client, clock: Arc<dyn Clock>, args: &GcArgs) -> anyhow::Result<SweepOutput> {
    let protected = match account::refusal(&client, args).await {
        Some(refusal) => Err(refusal),
        None => settings::protected(&client, args).await,
    };
    match protected {
        Ok(protected) => {
            if let Some(problem) = lacking(&client).await? {
                anyhow::bail!("{problem}");
            }
            let sweep = sweep(client, clock, args, protected).await?;
            Ok(SweepOutput { text: sweep.text(args.output)?, code: sweep.exit_status() })
        }
        Err(refusal) => {
            writeln!(std::io::stderr(), "error: {refusal}").context("failed to write the error")?;
            Ok(SweepOutput { text: String::new(), code: EXIT_USAGE })
        }
    }
}

/// Lists, decides and, unless the sweep is a dry run or exceeds the deletion limit, carries out the decisions.
pub async fn sweep(
    client: Client,
    clock: Arc<dyn Clock>,
    args: &GcArgs,
    protected: ProtectedNamespaces,
) -> Result<Sweep, Error> {
    let (io, writing) = access(client, clock, args, protected);
    let (swept, ()) = tokio::join!(sweep_with(io, args), writing);
    swept
}

/// The future that writes Events ends when this function has dropped `io`.
async fn sweep_with(io: Io, args: &GcArgs) -> Result<Sweep, Error> {
    let listing = list_cluster(&io).await?;
    let planned = plan::plan(&io, listing, args);
    let limit = deletion_limit::limit(args.max_deletions, planned.living);
    let refused = planned.deletions() > limit;
    let Planned { items, remarks, living } = planned;
    let rows = if args.dry_run || refused {
        items.iter().map(|item| Row::new(item, if refused { Outcome::Refused } else { Outcome::WouldDo })).collect()
    } else {
        stream::iter(&items)
            .map(|item| carry_out(&io, item))
            .buffered(MAX_CONCURRENT_ITEMS.into())
            .collect::<Vec<_>>()
            .await
    };
    io.recorder.flush().await;
    let rows = rows.into_iter().chain(remarks.into_iter().map(Row::remark)).collect();
    Ok(Sweep { dry_run: args.dry_run, live: living, limit, refused, rows })
}

/// Returns the access to the cluster, and the future that writes Events.
fn access(
    client: Client,
    clock: Arc<dyn Clock>,
    args: &GcArgs,
    protected: ProtectedNamespaces,
) -> (Io, impl Future<Output = ()> + Send + use<>) {
    let (recorder, writing) = recorder(client.clone(), WorkerSlots::new(MAX_CONCURRENT_ITEMS), &args.common.identity);
    (Io::new(client, clock, protected, recorder), writing)
}

/// Returns the space in the generation that the controller observed last: a warning or a notice must not report that a
/// later change was carried out.
fn as_observed(space: &DeveloperSpace) -> DeveloperSpace {
    let mut space = space.clone();
    space.metadata.generation =
        space.status.as_ref().and_then(|status| status.observed_generation).or(space.metadata.generation);
    space
}

/// Returns true if the item deletes the namespace of a space while the CRD is being deleted: that namespace stays. The
/// CRD is read immediately before each deletion, because it may be deleted during a sweep.
async fn is_released(io: &Io, item: &Item) -> Result<bool, Error> {
    match item {
        Item::Space { .. } if item.deletes_namespace() => crd_is_going(&io.client).await,
        Item::Space { .. } | Item::Announce { .. } | Item::Annotated(_) => Ok(false),
    }
}

async fn carry_out(io: &Io, item: &Item) -> Row {
    match is_released(io, item).await {
        Ok(false) => {}
        Ok(true) => {
            let why =
                "the CustomResourceDefinition is being deleted, so the controller releases the namespace".to_owned();
            return Row::new(item, Outcome::LeftAlone(why));
        }
        Err(error) => return Row::new(item, Outcome::Failed(error.sentence())),
    }
    // The API server has dropped a field that the next decisions depend on.
    if let Some(problem) = io.installed.problem() {
        return Row::new(item, Outcome::Failed(problem));
    }
    let result = match item {
        Item::Announce { space, observed } => {
            let ready = space.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let report = report::StatusReport::new(plan::current_readiness(ready), observed.namespace_ref(space));
            report::report(io, &as_observed(space), observed, report).await.map(|_| true)
        }
        Item::Space { space, observed, step } => {
            expire::carry_out(io, space, observed, step).await.map(|carried| carried.by_us)
        }
        Item::Annotated(found) => annotated::delete(io, found).await.map(|()| true),
    };
    let outcome = match result {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Skipped,
        // The object changed or was deleted since it was listed: it was renewed, or the controller carried out the
        // step.
        Err(error) if matches!(error.class(), Class::Conflict | Class::Vanishing) => Outcome::Skipped,
        Err(error) => Outcome::Failed(error.sentence()),
    };
    Row::new(item, outcome)
}
