//! `list`: prints spaces as a table.

mod args;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use anyhow::anyhow;
use futures::{StreamExt as _, future::try_join_all};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::{
    ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Event, watcher},
    },
};

pub(crate) use self::args::ListArgs;
use self::table::Columns;
use super::{
    cluster::Cluster,
    output,
    progress::print_stderr,
    quotas::{self, Quotas},
    requests, visible_spaces, wait,
};
use crate::api::{DeveloperSpace, without_managed_fields::WithoutManagedFields};

pub(crate) async fn run(cluster: &Cluster, args: &ListArgs) -> anyhow::Result<()> {
    let me = if args.mine { Some(cluster.whoami().await?) } else { None };
    let mut found = read(cluster, args).await?;
    found.retain(|space| args.selects(space, me.as_ref(), cluster.now()));
    args.sort_by.sort(&mut found);
    let format = &args.output.output;
    let quotas = quotas_of(cluster, args, &found).await?;
    let mut columns = Columns::new(format.is_wide(), !args.no_headers, &cluster.flags);
    let table = || columns.lines(&found, &quotas, cluster.now());
    match found.as_slice() {
        [] if format.is_table() => print_stderr("No spaces found."),
        // As in kubectl, a single name returns the object and not a list.
        [only] if args.names.len() == 1 => output::print_object(format, only, table)?,
        all => output::print_objects(format, all, table)?,
    }
    if args.watch { follow(cluster, args, me.as_ref(), &found, &mut columns).await } else { Ok(()) }
}

/// Reads the spaces. Named spaces are read individually, since a caller who may get a space is not necessarily allowed
/// to list spaces.
async fn read(cluster: &Cluster, args: &ListArgs) -> anyhow::Result<Vec<DeveloperSpace>> {
    if args.names.is_empty() {
        return Ok(visible_spaces::list(cluster, args.selector.as_deref()).await?.spaces);
    }
    let names: BTreeSet<&String> = args.names.iter().collect();
    try_join_all(names.into_iter().map(|name| requests::get_space(cluster, name))).await
}

async fn quotas_of(cluster: &Cluster, args: &ListArgs, found: &[DeveloperSpace]) -> anyhow::Result<Quotas> {
    if !args.output.output.is_table() {
        return Ok(Quotas::new());
    }
    quotas::fetch(cluster, &found.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>()).await
}

/// Prints a line for each change until the command is interrupted.
async fn follow(
    cluster: &Cluster,
    args: &ListArgs,
    me: Option<&UserInfo>,
    shown: &[DeveloperSpace],
    columns: &mut Columns,
) -> anyhow::Result<()> {
    let mut versions: BTreeMap<String, Option<String>> =
        shown.iter().map(|space| (space.name_any(), space.resource_version())).collect();
    let mut config = wait::watch_config();
    config.label_selector.clone_from(&args.selector);
    if let [only] = args.names.as_slice() {
        config = config.fields(&format!("metadata.name={only}"));
    }
    let mut events = pin!(watcher(requests::space_api(cluster), config).default_backoff());
    while let Some(event) = events.next().await {
        let space = match event {
            Ok(Event::InitApply(WithoutManagedFields(space)) | Event::Apply(WithoutManagedFields(space))) => space,
            Ok(Event::Delete(space)) => {
                versions.remove(&space.name_any());
                continue;
            }
            Ok(Event::Init | Event::InitDone) => continue,
            Err(error) => match wait::final_error(&error) {
                Some(why) => return Err(anyhow!("failed to watch DeveloperSpaces: {why}")),
                None => continue,
            },
        };
        let known = versions.insert(space.name_any(), space.resource_version()) == Some(space.resource_version());
        if known || !args.selects(&space, me, cluster.now()) {
            continue;
        }
        let changed = [space];
        let quotas = quotas_of(cluster, args, &changed).await?;
        output::print_object(&args.output.output, &changed[0], || columns.lines(&changed, &quotas, cluster.now()))?;
    }
    Ok(())
}
