//! One sweep, for a CronJob or by hand. It lists, decides with the controller's own functions, and carries out the decisions.
//!
//! It may run concurrently with a controller: every write has the resourceVersion of its decision as a precondition, so that only one of the two
//! succeeds.

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
    listing::look_around,
    output::{Outcome, Row, Sweep},
    plan::{Item, Planned},
};
use crate::{
    api::{DeveloperSpace, protected_namespaces::ProtectedNamespaces},
    cli::GcArgs,
    clock::Clock,
    controller::{
        context::{Context, WorkerSlots},
        expire,
        finalize::crd_is_going,
        report,
    },
    desired::deletion_limit,
    installed::lacking,
    runtime::{
        error::{Class, Error},
        events::recorder,
    },
};

/// The exit status of a usage error, as in clap.
const USAGE: u8 = 2;
/// The number of items that are carried out concurrently.
const SIDE_BY_SIDE: u16 = 16;

/// The output and the exit status.
pub struct Answer {
    /// The text for standard output.
    pub text: String,
    /// 0 done, 1 something failed, 2 a usage error or an account without the permission, 3 refused by the deletion limit.
    pub code: u8,
}

/// Runs a sweep and returns its result. A sweep by an account that may not run it, and a sweep that would miss the operator's settings, are refused
/// with a message on standard error. A sweep while a CRD lacks fields is an error: its decisions depend on fields that the API server dropped.
pub async fn run(client: Client, clock: Arc<dyn Clock>, args: &GcArgs) -> anyhow::Result<Answer> {
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
            Ok(Answer { text: sweep.text(args.output)?, code: sweep.exit_status() })
        }
        Err(refusal) => {
            writeln!(std::io::stderr(), "error: {refusal}").context("failed to write the error")?;
            Ok(Answer { text: String::new(), code: USAGE })
        }
    }
}

/// Lists, decides and, unless the sweep is a dry run or exceeds the deletion limit, carries out the decisions.
pub async fn sweep(client: Client, clock: Arc<dyn Clock>, args: &GcArgs, protected: ProtectedNamespaces) -> Result<Sweep, Error> {
    let (ctx, writing) = context(client, clock, args, protected);
    let (swept, ()) = tokio::join!(sweep_with(ctx, args), writing);
    swept
}

/// The future that writes Events ends when this function has dropped `ctx`.
async fn sweep_with(ctx: Context, args: &GcArgs) -> Result<Sweep, Error> {
    let listing = look_around(&ctx).await?;
    let planned = plan::plan(&ctx, listing, args);
    let limit = deletion_limit::limit(args.max_deletions, planned.living);
    let refused = planned.deletions() > limit;
    let Planned { items, notes, living } = planned;
    let rows = if args.dry_run || refused {
        items.iter().map(|item| Row::of(item, if refused { Outcome::Refused } else { Outcome::WouldDo })).collect()
    } else {
        stream::iter(&items).map(|item| carry_out(&ctx, item)).buffered(SIDE_BY_SIDE.into()).collect::<Vec<_>>().await
    };
    ctx.recorder.flush().await;
    let rows = rows.into_iter().chain(notes).collect();
    Ok(Sweep { dry_run: args.dry_run, live: living, limit, refused, rows })
}

fn context(
    client: Client,
    clock: Arc<dyn Clock>,
    args: &GcArgs,
    protected: ProtectedNamespaces,
) -> (Context, impl Future<Output = ()> + Send + use<>) {
    let places = WorkerSlots::new(SIDE_BY_SIDE);
    let (recorder, writing) = recorder(client.clone(), places.clone(), &args.common.identity);
    (Context::new(client, clock, protected, recorder, places), writing)
}

/// Returns the space in the generation that the controller observed last: a warning must not report that a later change was carried out.
fn as_observed(space: &DeveloperSpace) -> DeveloperSpace {
    let mut space = space.clone();
    space.metadata.generation = space.status.as_ref().and_then(|status| status.observed_generation).or(space.metadata.generation);
    space
}

/// Returns true if the item deletes the namespace of a space while the CRD is being deleted: that namespace stays. The CRD is read immediately before
/// each deletion, because it may be deleted during a sweep.
async fn is_released(ctx: &Context, item: &Item) -> Result<bool, Error> {
    match item {
        Item::Space { .. } if item.deletes_namespace() => crd_is_going(ctx).await,
        Item::Space { .. } | Item::Warn { .. } | Item::Annotated(_) => Ok(false),
    }
}

async fn carry_out(ctx: &Context, item: &Item) -> Row {
    match is_released(ctx, item).await {
        Ok(false) => {}
        Ok(true) => {
            let why = "the CustomResourceDefinition is being deleted, so the controller releases the namespace".to_owned();
            return Row::of(item, Outcome::LeftAlone(why));
        }
        Err(error) => return Row::of(item, Outcome::Failed(error.sentence())),
    }
    let result = match item {
        Item::Warn { space, observed } => {
            let ready = space.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let said = report::Report::new(plan::verdict_as_it_stands(ready), observed.known_namespace(space));
            report::report(ctx, &as_observed(space), observed, said).await.map(|_| true)
        }
        Item::Space { space, observed, step } => expire::carry_out(ctx, space, observed, step).await.map(|carried| carried.by_us),
        Item::Annotated(found) => annotated::delete(ctx, found).await.map(|()| true),
    };
    let outcome = match result {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Skipped,
        // The object changed or was deleted since it was listed: it was renewed, or the controller carried out the step.
        Err(error) if matches!(error.class(), Class::Conflict | Class::Vanishing) => Outcome::Skipped,
        Err(error) => Outcome::Failed(error.sentence()),
    };
    Row::of(item, outcome)
}
