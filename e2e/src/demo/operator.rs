//! Owns the operator of the demo: its installation, and its process, which runs in the background under its own `ServiceAccount`.

use std::{fs, os::unix::process::CommandExt, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{screen::Screen, settings::operator_pid_file, target::Target};
use crate::{
    binaries, http, kubeconfig,
    operator::{SERVICE_ACCOUNT, install_steps, policies_in_force, run_arguments, token},
    ports,
    process::Process,
    wait::eventually,
};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Applies config/default, config/classes and config/self-service.
pub(super) async fn install(target: &Target, screen: &Screen) -> Result<()> {
    let work = async {
        for step in install_steps() {
            let arguments: Vec<&str> = step.iter().map(String::as_str).collect();
            let applied = target.kubectl(&arguments).await?.ok();
            applied
                .context("the manifests below config/ could not be applied (on a cluster of your own you have to be its administrator)")?;
        }
        policies_in_force(target.client.clone()).await?;
        let self_service = binaries::repository().join("config/self-service");
        target.kubectl(&["apply", "-k", &self_service.to_string_lossy()]).await?.ok().map(drop)
    };
    screen.step("Manifests applied: kubectl apply -k config/default, then config/classes and config/self-service", work).await
}

/// Starts the operator, which keeps running after the demo.
pub(super) async fn start(target: &Target, screen: &Screen) -> Result<()> {
    let what = "Operator running, with the rights of its ServiceAccount and no more";
    screen.step(what, run(target)).await
}

async fn run(target: &Target) -> Result<()> {
    let config = target.dir.join("operator.kubeconfig");
    kubeconfig::write_with_token(&target.kubeconfig, &config, SERVICE_ACCOUNT, &token(target.client.clone()).await?)?;
    let health = ports::free()?;
    let mut command = Command::new(binaries::operator()?);
    command.arg("run").args(run_arguments(health, ports::free()?)).env("KUBECONFIG", config);
    // A process group of its own, so that a later Ctrl-C in this terminal does not end it.
    command.process_group(0);
    let log = target.dir.join("operator.log");
    let _ = fs::remove_file(&log);
    let mut process = Process::start("the operator", command, &log)?;
    fs::write(operator_pid_file(&target.dir), process.pid().to_string())?;
    let running = std::cell::RefCell::new(&mut process);
    let ready = eventually("the operator to be ready", READY_WITHIN, || {
        let alive = running.borrow_mut().check_alive();
        async move {
            match alive {
                Ok(()) => Ok((http::get(health, "/readyz").await?.0 == 200).then_some(Ok(()))),
                Err(error) => Ok(Some(Err(error))),
            }
        }
    });
    ready.await.with_context(|| format!("see its log, {}", log.display()))??;
    process.detach();
    Ok(())
}
