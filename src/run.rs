//! The command `run`: connects the controller with its endpoints, waits until this replica leads, and shuts down.
//!
//! Owns the order of the start and of the shutdown. Reconciles nothing.

use std::{
    future::Future,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures::stream::BoxStream;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

use crate::{
    api::protected_namespaces::ProtectedNamespaces,
    cli::RunArgs,
    client::{self, Listeners},
    controller::{self, context::Context, io::Io},
    health::{Health, serve_health, serve_metrics},
    installed::{self, Installed},
    runtime::{
        events,
        leader::Elector,
        permissions::{MissingPermissions, PermissionCheck},
        requeue::RequeueSender,
        worker_slots::WorkerSlots,
    },
    telemetry,
};

/// The time that running work may take after the signal to stop. It is below the grace period in `config/manager`.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the controller until the process is stopped or no longer leads.
pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(args.common.log_format);
    let listeners = Listeners::default();
    let client = client::connect(listeners.clone()).await?;
    let Listeners { clock, watchdog, metrics, writes } = listeners;
    let (requeue, requeued) = RequeueSender::new();
    let standby = Arc::new(AtomicBool::new(false));
    let slots = WorkerSlots::new(args.workers);
    let (recorder, writing) = events::recorder(client.clone(), slots.clone(), &args.common.identity);
    tokio::spawn(writing);
    let home = args.common.operator_namespace.clone();
    let missing_permissions: Arc<MissingPermissions> = Arc::default();
    let check = PermissionCheck {
        client: client.clone(),
        clock: clock.clone(),
        recorder: recorder.clone(),
        home: home.clone(),
    };
    let protected = ProtectedNamespaces::new(&home, &args.common.protected_namespaces);
    let installed = Arc::new(Installed::unread());
    let io = Io {
        metrics: metrics.clone(),
        installed: installed.clone(),
        ..Io::new(client.clone(), clock.clone(), protected, recorder)
    };
    let store = io.store.clone();
    let ctx =
        Arc::new(Context { watchdog: watchdog.clone(), recent_writes: writes, requeue, ..Context::new(io, slots) });
    tokio::spawn(installed::follow(client.clone(), installed.clone()));
    tokio::spawn(check.run(missing_permissions.clone()));
    let health = Health {
        clock: clock.clone(),
        watchdog,
        store,
        missing_permissions,
        installed,
        metrics,
        standby: standby.clone(),
    };
    let serving = async {
        tokio::try_join!(
            serve_health(args.health_bind_address.0, health.clone()),
            serve_metrics(args.metrics_bind_address.0, health)
        )
        .with_context(|| {
            format!("failed to listen on {:?} or {:?}", args.health_bind_address.0, args.metrics_bind_address.0)
        })
    };
    let working = async {
        let elector = Elector::new(client, &home, &args.common.identity, clock);
        let replica = Replica { ctx, elector, standby, stopped: listen_for_signals() };
        replica.lead_and_work(&args, requeued).await
    };
    tokio::select! {
        result = serving => result.map(|_| ExitCode::FAILURE),
        code = working => Ok(code),
    }
}

/// One of the replicas of the operator, of which one leads.
struct Replica {
    ctx: Arc<Context>,
    elector: Elector,
    /// True while this replica waits for the lease.
    standby: Arc<AtomicBool>,
    /// True once the process is to stop.
    stopped: watch::Receiver<bool>,
}

/// The permission to work.
struct Leadership {
    /// The time at which the successful attempt to acquire the lease began; `None` without an election.
    since: Option<Instant>,
}

impl Replica {
    /// Waits until this replica leads, and then works until the process is stopped or no longer leads.
    async fn lead_and_work(&self, args: &RunArgs, requeued: BoxStream<'static, String>) -> ExitCode {
        match self.wait_to_lead(args.leader_elect).await {
            Some(leadership) => self.work(&leadership, args.relist_period.0, requeued).await,
            None => ExitCode::SUCCESS,
        }
    }

    /// Waits for the CRDs, and for the lease if there is an election. Returns `None` if the process is stopped in the
    /// meantime.
    async fn wait_to_lead(&self, elects: bool) -> Option<Leadership> {
        tokio::select! {
            () = self.stop() => return None,
            () = self.ctx.io.installed.complete() => {}
        }
        self.standby.store(elects, Ordering::Relaxed);
        let mut since = None;
        if elects {
            tracing::info!("waiting for the lease");
            tokio::select! {
                () = self.stop() => return None,
                begun = self.elector.acquire() => since = Some(begun),
            }
            tracing::info!("acquired the lease");
        }
        self.standby.store(false, Ordering::Relaxed);
        Some(Leadership { since })
    }

    /// Runs the controller until the process is stopped or no longer leads.
    async fn work(&self, leadership: &Leadership, period: Duration, requeued: BoxStream<'static, String>) -> ExitCode {
        let holding = async {
            match leadership.since {
                Some(since) => self.elector.hold(since).await,
                None => std::future::pending().await,
            }
        };
        let too_long = async {
            self.stop().await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        };
        let work = async {
            controller::run(self.ctx.clone(), requeued, period, self.stop()).await;
            self.ctx.io.recorder.flush().await;
        };
        tokio::select! {
            () = work => {}
            () = holding => {
                tracing::error!("the lease was lost or could not be renewed in time; exiting");
                return ExitCode::FAILURE;
            }
            () = too_long => {
                tracing::warn!("running reconciles did not finish in time and are cancelled; the next start completes them");
            }
        }
        if leadership.since.is_some() {
            self.elector.release().await;
        }
        tracing::info!("stopped");
        ExitCode::SUCCESS
    }

    /// Resolves once the process is to stop.
    fn stop(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut stopped = self.stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    }
}

/// Returns a channel whose value becomes true once the process receives SIGTERM or SIGINT.
fn listen_for_signals() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if let Err(error) = stop_signal().await {
            tracing::warn!(%error, "failed to listen for signals");
        }
        let _ = stop.send(true);
    });
    stopped
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("received SIGTERM; stopping"),
        _ = interrupt.recv() => tracing::info!("received SIGINT; stopping"),
    }
    Ok(())
}
