//! One sweep, for a CronJob or by hand. It lists, decides with the controller's own functions, and carries out.
//!
//! It works beside a running controller: every write names what it was decided on, so that of two one does it.

pub mod annotated;
pub mod output;
pub mod plan;

use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Resource, api::ListParams, core::DeserializeGuard};
use serde::de::DeserializeOwned;

use self::{
    output::{Outcome, Row, Sweep},
    plan::{Item, Planned},
};
use crate::{
    api::{DeveloperSpace, SpaceClass},
    cli::GcArgs,
    clock::Clock,
    controller::{
        context::{Context, Places},
        error::{Class, Error},
        events::recorder,
        expire, report,
        watch::Nudges,
    },
};

/// How many items are carried out side by side.
const SIDE_BY_SIDE: u16 = 16;
/// Objects a page.
const PAGE: u32 = 500;

/// Lists, decides and, unless it is a dry run or too much, carries out.
pub async fn sweep(client: Client, clock: Arc<dyn Clock>, args: &GcArgs) -> Result<Sweep, Error> {
    let (ctx, writing) = context(client, clock, args);
    let (swept, ()) = tokio::join!(sweep_with(ctx, args), writing);
    swept
}

/// What is told is written when this has let go of `ctx`.
async fn sweep_with(ctx: Context, args: &GcArgs) -> Result<Sweep, Error> {
    let (spaces, namespaces) = look_around(&ctx).await?;
    let plain = if args.include_annotated { namespaces.as_slice() } else { &[] };
    let planned = plan::plan(&ctx, &spaces, plain, &args.compat);
    let limit = args.max_deletions.of(planned.whole());
    let refused = planned.deletions() > limit;
    let Planned { items, unreadable, live, left: _ } = planned;
    let rows = if args.dry_run || refused {
        items.iter().map(|item| Row::of(item, if refused { Outcome::Refused } else { Outcome::WouldDo })).collect()
    } else {
        stream::iter(&items).map(|item| carry_out(&ctx, item)).buffered(SIDE_BY_SIDE.into()).collect::<Vec<_>>().await
    };
    let rows = rows.into_iter().chain(unreadable).collect();
    Ok(Sweep { dry_run: args.dry_run, live, limit, refused, rows })
}

fn context(client: Client, clock: Arc<dyn Clock>, args: &GcArgs) -> (Context, impl Future<Output = ()> + Send + use<>) {
    let common = &args.common;
    let places = Places::new(SIDE_BY_SIDE);
    let (recorder, writing) = recorder(client.clone(), places.clone(), &common.identity);
    let ctx = Context {
        recorder,
        client,
        clock,
        store: Arc::default(),
        admissions: Arc::default(),
        protected: crate::api::names::ProtectedNamespaces::new(&common.operator_namespace, &common.protected_namespaces),
        metrics: Arc::default(),
        watchdog: Arc::default(),
        memory: Arc::default(),
        places,
        nudges: Nudges::new().0,
    };
    (ctx, writing)
}

/// Fills the store and returns the spaces that can be read, and the namespaces.
async fn look_around(ctx: &Context) -> Result<(Vec<DeveloperSpace>, Vec<Namespace>), Error> {
    for DeserializeGuard(class) in list::<DeserializeGuard<SpaceClass>>(Api::all(ctx.client.clone()), "SpaceClasses").await? {
        match class {
            Ok(class) => ctx.store.put_class(class),
            Err(broken) => tracing::warn!(class = broken.metadata.name, error = broken.error, "a stored SpaceClass cannot be read"),
        }
    }
    // Spaces before namespaces: a namespace made in between is seen, and one that vanished in between is gone anyway.
    let spaces = list::<DeserializeGuard<DeveloperSpace>>(Api::all(ctx.client.clone()), "DeveloperSpaces").await?;
    let namespaces: Vec<Namespace> = list(Api::all(ctx.client.clone()), "namespaces").await?;
    for namespace in &namespaces {
        ctx.store.put_namespace(namespace);
    }
    let readable = spaces.into_iter().filter_map(|DeserializeGuard(space)| {
        space
            .inspect_err(|broken| {
                tracing::warn!(
                    space = broken.metadata.name,
                    error = broken.error,
                    "a stored DeveloperSpace cannot be read and is left alone"
                );
            })
            .ok()
    });
    Ok((readable.collect(), namespaces))
}

async fn list<K: Resource + Clone + DeserializeOwned + std::fmt::Debug>(api: Api<K>, what: &str) -> Result<Vec<K>, Error> {
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(Error::api(format!("list {what}")))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// The space in the generation that the controller saw last: a warning does not say that a change since was carried out.
fn as_observed(space: &DeveloperSpace) -> DeveloperSpace {
    let mut space = space.clone();
    space.metadata.generation = space.status.as_ref().and_then(|status| status.observed_generation).or(space.metadata.generation);
    space
}

async fn carry_out(ctx: &Context, item: &Item) -> Row {
    let result = match item {
        Item::Warn { space, observed } => {
            let ready = space.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let said = report::Report::new(plan::verdict_as_it_stands(ready), observed.known_namespace(space));
            report::report(ctx, &as_observed(space), observed, said).await.map(|_| ())
        }
        Item::Space { space, observed, step } => expire::carry_out(ctx, space, observed, step).await.map(|_| ()),
        Item::Annotated(found) => annotated::delete(ctx, found).await,
    };
    let outcome = match result {
        Ok(()) => Outcome::Done,
        // The object moved since it was listed: renewed, or done by the controller.
        Err(error) if error.class() == Class::Conflict => Outcome::Skipped,
        Err(error) => Outcome::Failed(error.sentence()),
    };
    Row::of(item, outcome)
}
