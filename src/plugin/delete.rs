//! `delete`: deletes spaces with everything in them.

use clap::Args;
use kube::api::{DeleteParams, Preconditions};

use super::{
    args::{DryRun, DryRunArgs, WaitArgs},
    cluster::Cluster,
    output,
    progress::Progress,
    spaces,
    told::Told,
    wait,
};
use crate::api::DeveloperSpace;

/// Arguments of `delete`.
#[derive(Clone, Debug, Args)]
pub struct DeleteArgs {
    /// The spaces
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    /// Treat a space that does not exist as deleted
    #[arg(long)]
    pub ignore_not_found: bool,

    /// The dry run.
    #[command(flatten)]
    pub dry_run: DryRunArgs,

    /// The wait for the deletion.
    #[command(flatten)]
    pub wait: WaitArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &DeleteArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let mut going = Vec::new();
    let mut failed = Ok(());
    for name in &args.names {
        match delete(cluster, name, args).await {
            Ok(space) => going.extend(space),
            Err(error) => {
                if let Err(earlier) = std::mem::replace(&mut failed, Err(error)) {
                    progress.say(&format!("error: {earlier:#}"));
                }
            }
        }
    }
    if args.wait.wait && args.dry_run.dry_run == DryRun::None {
        for space in going {
            wait::until_gone(cluster, &space, args.wait.timeout.0, &mut progress).await?;
        }
    }
    failed
}

/// Deletes one space. Returns the space as it was before the deletion, if it existed.
async fn delete(cluster: &Cluster, name: &str, args: &DeleteArgs) -> anyhow::Result<Option<DeveloperSpace>> {
    let found = if args.ignore_not_found { spaces::find(cluster, name).await? } else { Some(spaces::get(cluster, name).await?) };
    let Some(space) = found else { return Ok(None) };
    let DryRunArgs { dry_run } = args.dry_run;
    if dry_run != DryRun::Client {
        let params = DeleteParams {
            dry_run: dry_run == DryRun::Server,
            // Delete only the object that was read, not a later one with the same name.
            preconditions: Some(Preconditions { uid: space.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        spaces::api(cluster).delete(name, &params).await.told(|| format!("delete DeveloperSpace {name}"))?;
    }
    output::print(&format!("{} deleted{}", output::name_of(&space), spaces::dry_run_note(dry_run)))?;
    Ok(Some(space))
}
