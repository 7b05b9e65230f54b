//! `renew`: the time of spaces counts from now again.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    args::{DryRun, WriteArgs},
    cluster::Cluster,
    human, output,
    progress::Progress,
    spaces, wait,
};
use crate::api::{DeveloperSpace, time::rfc3339};

/// Arguments of `renew`.
#[derive(Clone, Debug, Args)]
pub struct RenewArgs {
    /// The spaces
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    /// Also another time to live: 30m, 7d, 1d12h, never
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,

    /// How it is done.
    #[command(flatten)]
    pub write: WriteArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &RenewArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let mut renewed = Vec::new();
    let mut failed = Ok(());
    for name in &args.names {
        match renew(cluster, name, args, &mut progress).await {
            Ok(space) => renewed.push(space),
            // The others are renewed all the same; the last failure is the command's.
            Err(error) => {
                if let Err(earlier) = std::mem::replace(&mut failed, Err(error)) {
                    progress.say(&format!("error: {earlier:#}"));
                }
            }
        }
    }
    let table = || renewed.iter().map(|space| line(cluster, space, args.write.dry_run.dry_run)).collect::<Vec<_>>().join("\n");
    match renewed.as_slice() {
        [only] if args.names.len() == 1 => output::object(&args.write.output.output, only, table)?,
        all => output::objects(&args.write.output.output, all, table)?,
    }
    failed
}

async fn renew(cluster: &Cluster, name: &str, args: &RenewArgs, progress: &mut Progress) -> anyhow::Result<DeveloperSpace> {
    // Also to hear the server's time, by which the operator judges.
    let mut space = spaces::get(cluster, name).await?;
    anyhow::ensure!(
        args.ttl.is_some() || space.spec.expires_at.is_none(),
        "DeveloperSpace {name} ends at a date of its own (spec.expiresAt), which no renewal moves: give it a time to live with --ttl"
    );
    let mut spec = Map::new();
    spec.insert("renewedAt".to_owned(), rfc3339(cluster.now()).into());
    if let Some(ttl) = &args.ttl {
        spec.insert("ttl".to_owned(), ttl.as_str().into());
        spec.insert("expiresAt".to_owned(), Value::Null);
    }
    let dry_run = args.write.dry_run.dry_run;
    if dry_run == DryRun::Client {
        space.spec.renewed_at = Some(cluster.now());
        return Ok(space);
    }
    let space = spaces::patch(cluster, name, &json!({"spec": spec}), dry_run).await?;
    if let Some(patience) = args.write.patience() {
        return wait::until_ready(cluster, name, patience, progress).await;
    }
    Ok(space)
}

fn line(cluster: &Cluster, space: &DeveloperSpace, dry_run: DryRun) -> String {
    let ends = space.status.as_ref().and_then(|status| status.expires_at);
    let told = match ends {
        Some(at) if spaces::is_observed(space) => format!("expires {} ({})", human::from_now(cluster.now(), at), rfc3339(at)),
        None if spaces::is_observed(space) => "never expires".to_owned(),
        _ => "the operator has not said yet when it expires".to_owned(),
    };
    format!("{} renewed{}: {told}", output::name_of(space), spaces::dry_run_note(dry_run))
}
