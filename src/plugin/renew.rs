//! `renew`: restarts the time to live of spaces.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    args::{DryRun, WriteArgs},
    cluster::Cluster,
    expiry_setting,
    failures::Failures,
    output,
    progress::Progress,
    requests, spaces, wait,
};
use crate::api::{DeveloperSpace, time::rfc3339};

/// Arguments of `renew`.
#[derive(Clone, Debug, Args)]
pub struct RenewArgs {
    /// The spaces
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    /// Also set a new ttl: 30m, 7d, 1d12h, never
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,

    /// The dry run, the wait and the output format.
    #[command(flatten)]
    pub write: WriteArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &RenewArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new(&cluster.flags);
    let mut failures = Failures::default();
    let mut renewed = Vec::new();
    for name in &args.names {
        let result = renew(cluster, name, args, &mut progress).await;
        renewed.extend(failures.record(result, &progress));
    }
    let table = || cluster.flags.add_to(&renewed.iter().map(|one| one.line.as_str()).collect::<Vec<_>>().join("\n"));
    let spaces: Vec<DeveloperSpace> = renewed.iter().map(|one| one.space.clone()).collect();
    match spaces.as_slice() {
        [only] if args.names.len() == 1 => output::print_object(&args.write.output.output, only, table)?,
        all => output::print_objects(&args.write.output.output, all, table)?,
    }
    failures.into_result()
}

/// A space that was renewed, and the line that is printed about it.
struct Renewed {
    space: DeveloperSpace,
    line: String,
}

async fn renew(cluster: &Cluster, name: &str, args: &RenewArgs, progress: &mut Progress) -> anyhow::Result<Renewed> {
    // The response also contains the time of the API server, by which the operator computes the end.
    let mut space = requests::get_space(cluster, name).await?;
    let before = spaces::expires_at(&space);
    if let Some(why) = expiry_setting::renewal_refusal(&space).filter(|_| args.ttl.is_none()) {
        let ends = before.map(rfc3339).unwrap_or_default();
        anyhow::bail!("DeveloperSpace {name} expires at {ends}, and {why}");
    }
    let renewed = cluster.now();
    let mut spec = Map::new();
    spec.insert("renewedAt".to_owned(), rfc3339(renewed).into());
    if let Some(ttl) = &args.ttl {
        spec.insert("ttl".to_owned(), ttl.as_str().into());
        spec.insert("expiresAt".to_owned(), Value::Null);
    }
    let dry_run = args.write.dry_run.dry_run;
    if dry_run == DryRun::Client {
        space.spec.renewed_at = Some(renewed);
    } else {
        space = requests::patch_space(
            cluster,
            name,
            &json!({"metadata": {"uid": space.metadata.uid}, "spec": spec}),
            dry_run,
        )
        .await?;
    }
    if let Some(timeout) = args.write.wait_timeout() {
        // A renewal takes effect even if the spec is refused for another reason.
        space = wait::until_observed(cluster, name, timeout, progress).await?;
    }
    let line = if dry_run == DryRun::None && spaces::is_observed(&space) {
        let class = match spaces::class_name(&space) {
            Some(class) => requests::find_class(cluster, class).await.unwrap_or_default(),
            None => None,
        };
        expiry_setting::renewal_result(before, &space, class.as_ref(), renewed, cluster.now())
    } else {
        format!("renewed{}: the operator has not reported the new expiry yet", dry_run.note())
    };
    let line = format!("{} {line}", output::qualified_name(&space));
    Ok(Renewed { space, line })
}
