//! `/healthz`, `/livez`, `/readyz` and `/metrics`. They speak of what matters: whether the API server answers and work is done.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::{clock::ServerCheckedClock, controller::store::Store, metrics::Metrics};

/// Watches are begun anew every 20 s, so that an API server silent for longer is not there.
const SILENCE: Duration = Duration::from_secs(60);
/// A reconcile has a deadline of 60 s, so that one that takes longer hangs.
const STUCK: Duration = Duration::from_secs(120);

/// What the endpoints judge by.
#[derive(Clone)]
pub struct Health {
    /// When the process began.
    pub started: Instant,
    /// When the API server last answered.
    pub clock: Arc<ServerCheckedClock>,
    /// Whether everything was listed.
    pub store: Arc<Store>,
    /// Whether reconciles end.
    pub metrics: Arc<Metrics>,
    /// Whether this replica waits for the lease.
    pub standby: Arc<AtomicBool>,
}

impl Health {
    fn live(&self) -> Result<(), String> {
        let silent = self.clock.last_heard().unwrap_or_else(|| self.started.elapsed());
        if silent > SILENCE {
            return Err(format!("the API server has not answered for {} s", silent.as_secs()));
        }
        match self.metrics.oldest_reconcile().filter(|age| *age > STUCK) {
            Some(age) => Err(format!("a reconcile has been under way for {} s", age.as_secs())),
            None => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.live()?;
        if self.clock.last_heard().is_none() {
            return Err("the API server has not answered yet".to_owned());
        }
        if self.standby.load(Ordering::Relaxed) || self.store.is_ready() {
            return Ok(());
        }
        Err(format!("not listed yet: {:?}", self.store.missing()))
    }
}

/// Serves the health endpoints until the process ends.
pub async fn serve_health(address: SocketAddr, health: Health) -> std::io::Result<()> {
    let answer = |result: Result<(), String>| match result {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let live = move |State(health): State<Health>| async move { answer(health.live()) };
    let ready = move |State(health): State<Health>| async move { answer(health.ready()) };
    let router = Router::new().route("/healthz", get(live)).route("/livez", get(live)).route("/readyz", get(ready)).with_state(health);
    serve(address, router).await
}

/// Serves `/metrics` until the process ends.
pub async fn serve_metrics(address: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let scrape = |State(metrics): State<Arc<Metrics>>| async move { ([(http::header::CONTENT_TYPE, OPEN_METRICS)], metrics.render()) };
    serve(address, Router::new().route("/metrics", get(scrape)).with_state(metrics)).await
}

async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await
}
