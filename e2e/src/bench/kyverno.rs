//! Kyverno's cleanup controller, from its published module: it deletes objects that carry a label with their end.
//!
//! It has the administrator's rights and the options of its own manifests. It handles no quotas, bindings, warnings or renewals, and deletes by name.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    environment::{ADMIN, ASKING, Stage},
    expiry_method::ExpiryMethod,
};
use crate::{
    binaries,
    fixtures::{a_namespace, namespace, now},
    ports,
    process::Process,
    wait::eventually,
};

const HOME: &str = "kyverno";
const BINARY: &str = "cleanup-controller";

/// The way in which Kyverno learns of the end of a namespace.
pub const METHOD: ExpiryMethod = ExpiryMethod { object: a_namespace, patch, user: ADMIN };

fn patch(end: DateTime<Utc>) -> Value {
    json!({"metadata": {"labels": {"cleanup.kyverno.io/ttl": end.format("%Y-%m-%dT%H%M%SZ").to_string()}}})
}

/// Starts Kyverno on that stage and waits until it has deleted a first namespace.
pub async fn start(stage: &Stage) -> Result<Process> {
    let folder = binaries::control_plane(&[BINARY]).await?;
    let crds = folder.join("kyverno-crds.yaml");
    let crds = crds.to_str().context("the folder of the control plane has an odd name")?;
    stage.cluster.kubectl(&["apply", "--server-side", "-f", crds]).await?.ok()?;
    stage.admin.create(&namespace(HOME, json!({}), json!({}))).await?;
    for name in ["kyverno", "kyverno-metrics"] {
        let metadata = json!({"name": name, "namespace": HOME});
        stage.admin.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await?;
    }
    let process = Process::start("Kyverno's cleanup controller", command(stage, &folder)?, &stage.cluster.dir().join("kyverno.log"))?;
    let probe = "is-kyverno-there";
    stage.admin.create(&namespace(probe, json!({}), json!({}))).await?;
    stage.admin.patch(a_namespace(probe), patch(now() - TimeDelta::seconds(1))).await?;
    eventually("Kyverno to delete its first namespace", Duration::from_secs(300), || async {
        let found = stage.admin.find(a_namespace(probe)).await?;
        let is_going = found.is_none_or(|found| found["metadata"]["deletionTimestamp"].is_string());
        ensure!(is_going, "it is there; the end of its log:\n{}", process.log_tail());
        Ok(Some(()))
    })
    .await?;
    Ok(process)
}

fn command(stage: &Stage, folder: &Path) -> Result<Command> {
    let mut command = Command::new(folder.join(BINARY));
    let ours = [
        ("KYVERNO_NAMESPACE", HOME),
        ("KYVERNO_SERVICEACCOUNT_NAME", "kyverno-cleanup-controller"),
        ("KYVERNO_ROLE_NAME", "kyverno:cleanup-controller"),
        ("KYVERNO_DEPLOYMENT", "kyverno-cleanup-controller"),
        ("KYVERNO_POD_NAME", "kyverno-cleanup-controller"),
        ("KYVERNO_SVC", "kyverno-cleanup-controller"),
        ("INIT_CONFIG", "kyverno"),
        ("METRICS_CONFIG", "kyverno-metrics"),
    ];
    let port = ports::free()?;
    command.envs(ours).arg(format!("--kubeconfig={}", stage.cluster.kubeconfig().display())).args([
        "--caSecretName=kyverno-cleanup-controller.kyverno.svc.kyverno-tls-ca",
        "--tlsSecretName=kyverno-cleanup-controller.kyverno.svc.kyverno-tls-pair",
        "--serverIP=127.0.0.1",
        "--cleanupServerHost=127.0.0.1",
        &format!("--servicePort={port}"),
        &format!("--cleanupServerPort={port}"),
        "--disableMetrics=true",
    ]);
    Ok(command)
}

/// Creates bare namespaces for Kyverno.
pub async fn make(stage: &Stage, names: &[String]) -> Result<()> {
    let making = stream::iter(names).map(|name| async move { stage.admin.create(&namespace(name, json!({}), json!({}))).await });
    making.buffer_unordered(ASKING).try_collect::<Vec<_>>().await.map(drop)
}
