//! The commands: `run`, `gc`, `approve`, `crds`. Owns the output of a command and its exit status.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::Context as _;

use crate::{
    api::crd::crds,
    approver::Approver,
    cli::{ApproveArgs, Command, GcArgs},
    client::{self, Listeners},
    clock::ServerCheckedClock,
    gc::{self, SweepOutput},
    run::{SHUTDOWN_TIMEOUT, run, stop_signal},
    runtime::{events, worker_slots::WorkerSlots},
    telemetry,
};

/// Executes a command.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run(args).await,
        Command::Gc(args) => collect(&args).await,
        Command::Approve(args) => approve(&args).await,
        Command::Crds => print_crds(),
    }
}

async fn collect(args: &GcArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.common.log_format);
    let clock = Arc::new(ServerCheckedClock::default());
    let client = client::connect(Listeners { clock: clock.clone(), ..Listeners::default() }).await?;
    let SweepOutput { text, code } = gc::run(client, clock, args).await?;
    print(&text)?;
    Ok(ExitCode::from(code))
}

async fn approve(args: &ApproveArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.log_format);
    let clock = Arc::new(ServerCheckedClock::default());
    let client = client::connect(Listeners { clock: clock.clone(), ..Listeners::default() }).await?;
    let (recorder, writing) = events::recorder(client.clone(), WorkerSlots::new(1), &args.identity);
    tokio::spawn(writing);
    let approver = Approver { client, clock: &*clock, recorder };
    tokio::select! {
        () = approver.run() => {}
        stopped = stop_signal() => stopped.context("failed to listen for signals")?,
    }
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, approver.recorder.flush()).await.is_err() {
        tracing::warn!("some Events could not be written in time and are lost");
    }
    Ok(ExitCode::SUCCESS)
}

fn print_crds() -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    for crd in crds() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&crd)?);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the result of a command. A closed pipe is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to write the result")
        }
        _ => Ok(()),
    }
}
