//! `delete`: deletes spaces with everything in them.

use clap::Args;
use kube::api::{DeleteParams, Preconditions};

use super::{
    api_error::ApiContext,
    args::{DryRun, DryRunArgs, WaitArgs},
    cluster::Cluster,
    failures::Failures,
    output,
    progress::Progress,
    requests, wait,
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
    let mut progress = Progress::new(&cluster.flags);
    let mut failures = Failures::default();
    let mut deleted = Vec::new();
    for name in &args.names {
        let result = delete(cluster, name, args).await;
        deleted.extend(failures.record(result, &progress).flatten());
    }
    if args.wait.wait && args.dry_run.dry_run == DryRun::None {
        for space in deleted {
            // The wait for the other spaces continues.
            let result = wait::until_gone(cluster, &space, args.wait.timeout.0, &mut progress).await;
            failures.record(result, &progress);
        }
    }
    failures.into_result()
}

/// Deletes one space. Returns the space as it was before the deletion, if it existed.
async fn delete(cluster: &Cluster, name: &str, args: &DeleteArgs) -> anyhow::Result<Option<DeveloperSpace>> {
    let found = if args.ignore_not_found {
        requests::find_space(cluster, name).await?
    } else {
        Some(requests::get_space(cluster, name).await?)
    };
    let Some(space) = found else { return Ok(None) };
    let DryRunArgs { dry_run } = args.dry_run;
    if dry_run != DryRun::Client {
        let params = DeleteParams {
            dry_run: dry_run == DryRun::Server,
            // Delete only the object that was read, not a later one with the same name.
            preconditions: Some(Preconditions { uid: space.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match requests::space_api(cluster).delete(name, &params).await {
            Err(error) if args.ignore_not_found && requests::is_not_found(&error, name) => return Ok(None),
            deleted => {
                deleted.context_api(|| format!("delete DeveloperSpace {name}"))?;
            }
        }
    }
    output::print(&format!("{} deleted{}", output::qualified_name(&space), dry_run.note()))?;
    Ok(Some(space))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use serde_json::{Value, json};

    use super::*;
    use crate::{api::duration::Period, plugin::cluster::fake_cluster};

    fn args(names: &[&str], ignore_not_found: bool) -> DeleteArgs {
        DeleteArgs {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            ignore_not_found,
            dry_run: DryRunArgs { dry_run: DryRun::None },
            wait: WaitArgs { wait: true, timeout: Period(Duration::from_secs(30)) },
        }
    }

    fn a_space(name: &str) -> Value {
        json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": name, "uid": format!("uid-of-{name}")},
            "spec": {"owner": {"kind": "User", "name": "nadia@example.com"}},
        })
    }

    fn spaces_list(items: &[Value]) -> Value {
        json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpaceList", "metadata": {"resourceVersion": "7"}, "items": items,
        })
    }

    fn refused(code: u16, name: &str) -> (u16, Value) {
        let reason = if code == 404 { "NotFound" } else { "Forbidden" };
        (
            code,
            json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no", "details": {"name": name}}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_does_not_end_the_wait_for_the_other_spaces() {
        let waits = Arc::new(Mutex::new(Vec::new()));
        let record = waits.clone();
        let cluster = fake_cluster(move |request| {
            let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
            match path.rsplit('/').next().unwrap_or_default() {
                "reed-bed" => refused(403, "reed-bed"),
                // The namespace of moss-lab stays, and that of fern-lab does not.
                "developerspaces" if query.contains("watch=") => (500, Value::Null),
                "developerspaces" => {
                    record.lock().unwrap().push(query.to_owned());
                    let stays = query.contains("moss-lab").then(|| a_space("moss-lab"));
                    (200, spaces_list(stays.as_slice()))
                }
                name => (200, a_space(name)),
            }
        });
        let error = run(&cluster, &args(&["reed-bed", "moss-lab", "fern-lab"], false)).await.unwrap_err().to_string();
        assert!(error.starts_with("DeveloperSpace moss-lab still exists after 30s"), "{error}");
        let waits = waits.lock().unwrap();
        assert!(waits.iter().any(|query| query.contains("fern-lab")), "{waits:?}");
    }

    #[tokio::test]
    async fn a_space_that_another_client_deletes_meanwhile_is_not_found() {
        let cluster = fake_cluster(|request| match request.method().as_str() {
            "DELETE" => refused(404, "fern-lab"),
            _ => (200, a_space("fern-lab")),
        });
        assert!(run(&cluster, &args(&["fern-lab"], true)).await.is_ok());
        let error = run(&cluster, &args(&["fern-lab"], false)).await.unwrap_err().to_string();
        assert_eq!(error, "failed to delete DeveloperSpace fern-lab: no");
    }
}
