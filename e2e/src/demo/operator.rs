//! Owns the operator of the demo: its installation, and its process, which runs in the background under its own
//! `ServiceAccount`.

use std::{fs, os::unix::process::CommandExt, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{cluster::DemoCluster, screen::Screen, settings::operator_pid_file};
use crate::{
    binaries, http, kubeconfig,
    operator::{SERVICE_ACCOUNT, install_steps, run_arguments, token, until_policies_in_force},
    ports,
    process::Process,
};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Applies config/default, config/classes and config/self-service.
pub(super) async fn install(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    let applying = async {
        for step in install_steps() {
            let arguments: Vec<&str> = step.iter().map(String::as_str).collect();
            let applied = cluster.kubectl(&arguments).await?.ok();
            applied
                .context("the manifests below config/ could not be applied (on a cluster of your own you have to be its administrator)")?;
        }
        until_policies_in_force(cluster.client.clone()).await?;
        let self_service = binaries::repository().join("config/self-service");
        cluster.kubectl(&["apply", "-k", &self_service.to_string_lossy()]).await?.ok().map(drop)
    };
    screen
        .step(
            "Manifests applied: kubectl apply -k config/default, then config/classes and config/self-service",
            applying,
        )
        .await
}

/// Starts the operator, which keeps running after the demo.
pub(super) async fn start(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    let what = "Operator running, with the rights of its ServiceAccount and no more";
    screen.step(what, run(cluster)).await
}

async fn run(cluster: &DemoCluster) -> Result<()> {
    let kubeconfig_file = cluster.dir.join("operator.kubeconfig");
    kubeconfig::write_with_token(
        &cluster.kubeconfig,
        &kubeconfig_file,
        SERVICE_ACCOUNT,
        &token(cluster.client.clone()).await?,
    )?;
    let health_port = ports::free()?;
    let mut command = Command::new(binaries::operator()?);
    command.arg("run").args(run_arguments(health_port, ports::free()?)).env("KUBECONFIG", kubeconfig_file);
    // A process group of its own, so that a later Ctrl-C in this terminal does not end it.
    command.process_group(0);
    let log = cluster.dir.join("operator.log");
    let _ = fs::remove_file(&log);
    let mut process = Process::start("the operator", command, &log)?;
    fs::write(operator_pid_file(&cluster.dir), process.pid().to_string())?;
    let ready = process.until("the operator to be ready", READY_WITHIN, || async move {
        Ok(http::get(health_port, "/readyz").await?.0 == 200)
    });
    ready.await.with_context(|| format!("see its log, {}", log.display()))??;
    process.detach();
    Ok(())
}
