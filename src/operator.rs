//! The commands: `run`, `gc`, `approve`, `crds`.

use std::{
    io::Write,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    api::{crd::crds, protected_namespaces::ProtectedNamespaces},
    approver::Approver,
    cache::watches::RequeueSender,
    cli::{ApproveArgs, Command, GcArgs, RunArgs},
    client::{self, Listeners},
    clock::{Clock, ServerCheckedClock},
    controller::{
        self,
        context::{Context, WorkerSlots},
    },
    gc::{self, Answer},
    health::{Health, serve_health, serve_metrics},
    installed::{self, Installed},
    runtime::{
        events,
        leader::Elector,
        permissions::{self, Rights},
    },
    telemetry,
};

/// The time that running work may take after the signal to stop. It is below the grace period in `config/manager`.
const GRACE: Duration = Duration::from_secs(20);

/// Executes a command.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run(args).await,
        Command::Gc(args) => collect(&args).await,
        Command::Approve(args) => approve(&args).await,
        Command::Crds => print_crds(),
    }
}

async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.common.log_format);
    let listeners = Listeners::default();
    let client = client::connect(listeners.clone()).await?;
    let Listeners { clock, watchdog, metrics, writes } = listeners;
    let (requeue, nudged) = RequeueSender::new();
    let standby = Arc::new(AtomicBool::new(false));
    let places = WorkerSlots::new(args.workers);
    let (recorder, writing) = events::recorder(client.clone(), places.clone(), &args.common.identity);
    tokio::spawn(writing);
    let protected = ProtectedNamespaces::new(&args.common.operator_namespace, &args.common.protected_namespaces);
    let fresh = Context::new(client.clone(), clock.clone(), protected, recorder, places);
    let installed = Arc::new(Installed::unread());
    let ctx = Arc::new(Context { metrics, watchdog: watchdog.clone(), writes, requeue, installed: installed.clone(), ..fresh });
    tokio::spawn(installed::follow(client.clone(), installed.clone()));
    let rights: Arc<Rights> = Arc::default();
    tokio::spawn(permissions::check(ctx.clone(), args.common.operator_namespace.clone(), rights.clone()));
    let (store, metrics) = (ctx.store.clone(), ctx.metrics.clone());
    let health = Health { clock: clock.clone(), watchdog, store, rights, installed, metrics, standby: standby.clone() };
    let serving = async {
        tokio::try_join!(serve_health(args.health_bind_address.0, health.clone()), serve_metrics(args.metrics_bind_address.0, health))
            .with_context(|| format!("failed to listen on {:?} or {:?}", args.health_bind_address.0, args.metrics_bind_address.0))
    };
    let work = lead_and_work(&args, client, clock, ctx.clone(), (nudged, standby));
    tokio::select! {
        result = serving => result.map(|_| ExitCode::FAILURE),
        result = work => result,
    }
}

/// Waits for the lease if there is an election, and then works until the process is stopped or no longer leads.
async fn lead_and_work(
    args: &RunArgs,
    client: Client,
    clock: Arc<ServerCheckedClock>,
    ctx: Arc<Context>,
    (nudged, standby): (futures::stream::BoxStream<'static, String>, Arc<AtomicBool>),
) -> anyhow::Result<ExitCode> {
    let elector = Elector::new(client, &args.common.operator_namespace, &args.common.identity, clock as Arc<dyn Clock>);
    let stopped = listen_for_signals();
    let halted = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    tokio::select! {
        () = halted() => return Ok(ExitCode::SUCCESS),
        () = ctx.installed.complete() => {}
    }
    standby.store(args.leader_elect, Ordering::Relaxed);
    let mut leading = None;
    if args.leader_elect {
        tracing::info!("waiting for the lease");
        tokio::select! {
            () = halted() => return Ok(ExitCode::SUCCESS),
            since = elector.acquire() => leading = Some(since),
        }
        tracing::info!("acquired the lease");
    }
    standby.store(false, Ordering::Relaxed);
    let holding = async {
        match leading {
            Some(since) => elector.hold(since).await,
            None => std::future::pending().await,
        }
    };
    let too_long = async {
        halted().await;
        tokio::time::sleep(GRACE).await;
    };
    let work = async {
        controller::run(ctx.clone(), nudged, args.relist_period.0, halted()).await;
        ctx.recorder.flush().await;
    };
    let code = tokio::select! {
        () = work => ExitCode::SUCCESS,
        () = holding => {
            tracing::error!("the lease was lost or could not be renewed in time; exiting");
            return Ok(ExitCode::FAILURE);
        }
        () = too_long => {
            tracing::warn!("running reconciles did not finish in time and are cancelled; the next start completes them");
            ExitCode::SUCCESS
        }
    };
    if args.leader_elect {
        elector.release().await;
    }
    tracing::info!("stopped");
    Ok(code)
}

/// Returns a channel whose value becomes true once the process receives SIGTERM or SIGINT.
fn listen_for_signals() -> tokio::sync::watch::Receiver<bool> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        if let Err(error) = told_to_stop().await {
            tracing::warn!(%error, "failed to listen for signals");
        }
        let _ = stop.send(true);
    });
    stopped
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("received SIGTERM; stopping"),
        _ = interrupt.recv() => tracing::info!("received SIGINT; stopping"),
    }
    Ok(())
}

async fn collect(args: &GcArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.common.log_format);
    let clock = Arc::new(ServerCheckedClock::default());
    let client = client::connect(Listeners { clock: clock.clone(), ..Listeners::default() }).await?;
    let Answer { text, code } = gc::run(client, clock, args).await?;
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
        stopped = told_to_stop() => stopped.context("failed to listen for signals")?,
    }
    if tokio::time::timeout(GRACE, approver.recorder.flush()).await.is_err() {
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
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("failed to write the result"),
        _ => Ok(()),
    }
}
