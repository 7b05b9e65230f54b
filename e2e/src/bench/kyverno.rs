//! Owns Kyverno's cleanup controller as a contestant, from its published module. Kyverno deletes objects that have a
//! label with their end.
//!
//! It has the administrator's rights and the options of its own manifests. It handles no quotas, bindings, warnings or
//! renewals, and deletes by name.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    environment::{ADMIN, Environment, MAX_CONCURRENT_REQUESTS},
    expiry_method::ExpiryMethod,
};
use crate::{
    binaries,
    fixtures::{a_namespace, namespace, now},
    ports,
    process::Process,
    wait::eventually,
};

const NAMESPACE: &str = "kyverno";
const BINARY: &str = "cleanup-controller";

/// The way in which Kyverno learns of the end of a namespace.
pub const METHOD: ExpiryMethod = ExpiryMethod { object: a_namespace, patch, user: ADMIN };

fn patch(end: DateTime<Utc>) -> Value {
    json!({"metadata": {"labels": {"cleanup.kyverno.io/ttl": end.format("%Y-%m-%dT%H%M%SZ").to_string()}}})
}

/// Starts Kyverno in that environment and waits until it has deleted a first namespace.
pub async fn start(environment: &Environment) -> Result<Process> {
    let folder = binaries::control_plane(&[BINARY]).await?;
    let crds = folder.join("kyverno-crds.yaml");
    let crds = crds.to_str().context("the folder of the control plane has an odd name")?;
    environment.cluster.kubectl(&["apply", "--server-side", "-f", crds]).await?.ok()?;
    environment.admin.create(&namespace(NAMESPACE, json!({}), json!({}))).await?;
    for name in ["kyverno", "kyverno-metrics"] {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        environment.admin.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await?;
    }
    let process = Process::start(
        "Kyverno's cleanup controller",
        command(environment, &folder)?,
        &environment.cluster.dir().join("kyverno.log"),
    )?;
    let probe = "is-kyverno-there";
    environment.admin.create(&namespace(probe, json!({}), json!({}))).await?;
    environment.admin.patch(a_namespace(probe), patch(now() - TimeDelta::seconds(1))).await?;
    eventually("Kyverno to delete its first namespace", Duration::from_secs(300), || async {
        let found = environment.admin.find(a_namespace(probe)).await?;
        let is_deleted = found.is_none_or(|found| found["metadata"]["deletionTimestamp"].is_string());
        ensure!(is_deleted, "it is there; the end of its log:\n{}", process.log_tail());
        Ok(Some(()))
    })
    .await?;
    Ok(process)
}

fn command(environment: &Environment, folder: &Path) -> Result<Command> {
    let mut command = Command::new(folder.join(BINARY));
    let settings = [
        ("KYVERNO_NAMESPACE", NAMESPACE),
        ("KYVERNO_SERVICEACCOUNT_NAME", "kyverno-cleanup-controller"),
        ("KYVERNO_ROLE_NAME", "kyverno:cleanup-controller"),
        ("KYVERNO_DEPLOYMENT", "kyverno-cleanup-controller"),
        ("KYVERNO_POD_NAME", "kyverno-cleanup-controller"),
        ("KYVERNO_SVC", "kyverno-cleanup-controller"),
        ("INIT_CONFIG", "kyverno"),
        ("METRICS_CONFIG", "kyverno-metrics"),
    ];
    let port = ports::free()?;
    command.envs(settings).arg(format!("--kubeconfig={}", environment.cluster.kubeconfig().display())).args([
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
pub async fn create_namespaces(environment: &Environment, names: &[String]) -> Result<()> {
    let creating = stream::iter(names)
        .map(|name| async move { environment.admin.create(&namespace(name, json!({}), json!({}))).await });
    creating.buffer_unordered(MAX_CONCURRENT_REQUESTS).try_collect::<Vec<_>>().await.map(drop)
}
