//! `/healthz`, `/livez`, `/readyz` and `/metrics`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::{
    cache::store::Store,
    clock::Clock,
    installed::Installed,
    metrics::Metrics,
    runtime::{
        permissions::{self, MissingPermissions},
        watchdog::{Ages, Watchdog},
    },
    serve::serve,
};

/// The state that the endpoints report.
#[derive(Clone)]
pub(crate) struct Health {
    pub clock: Arc<dyn Clock>,
    /// The watchdog of the operator's work.
    pub watchdog: Arc<Watchdog>,
    /// The store, which records the sources that were listed.
    pub store: Arc<Store>,
    /// The permissions that the operator lacks.
    pub missing_permissions: Arc<MissingPermissions>,
    /// The installed CRDs.
    pub installed: Arc<Installed>,
    pub metrics: Arc<Metrics>,
    /// True while this replica waits for the lease.
    pub standby: Arc<AtomicBool>,
}

impl Health {
    fn ages(&self) -> Ages {
        self.watchdog.ages(self.clock.now())
    }

    fn ready(&self) -> Result<(), String> {
        let ages = self.ages();
        ages.live()?;
        ages.current()?;
        let missing = self.missing_permissions.list();
        if !missing.is_empty() {
            return Err(permissions::sentence(&missing));
        }
        // While a CRD lacks fields, expired spaces stay, so that the cause is reported before its effect.
        if let Some(problem) = self.installed.problem() {
            return Err(problem);
        }
        ages.working()?;
        if self.standby.load(Ordering::Relaxed) || self.store.is_ready() {
            return Ok(());
        }
        Err(format!("not listed yet: {:?}", self.store.missing()))
    }

    /// The text for a scrape.
    fn metrics_text(&self) -> String {
        self.metrics.set_ages(&self.ages());
        self.metrics.set_failing_classes(self.store.failing_classes());
        self.metrics.render()
    }
}

/// Serves the health endpoints until the process ends.
pub(crate) async fn serve_health(address: SocketAddr, health: Health) -> std::io::Result<()> {
    let answer = |result: Result<(), String>| match result {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let live = move |State(health): State<Health>| async move { answer(health.ages().live()) };
    let ready = move |State(health): State<Health>| async move { answer(health.ready()) };
    let router = Router::new()
        .route("/healthz", get(live))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(health);
    serve(address, router).await
}

/// Serves `/metrics` until the process ends.
pub(crate) async fn serve_metrics(address: SocketAddr, health: Health) -> std::io::Result<()> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let scrape = |State(health): State<Health>| async move {
        ([(http::header::CONTENT_TYPE, OPEN_METRICS)], health.metrics_text())
    };
    serve(address, Router::new().route("/metrics", get(scrape)).with_state(health)).await
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;
    use crate::cache::store::SOURCES;

    fn health(standby: bool, installed: Installed) -> Health {
        let health = Health {
            clock: Arc::new(DateTime::<Utc>::UNIX_EPOCH),
            watchdog: Arc::default(),
            store: Arc::default(),
            missing_permissions: Arc::default(),
            installed: Arc::new(installed),
            metrics: Arc::default(),
            standby: Arc::new(AtomicBool::new(standby)),
        };
        health.watchdog.record_response(None);
        health
    }

    #[test]
    fn a_replica_is_ready_once_its_crds_are_installed_and_it_waits_for_the_lease_or_has_listed_everything() {
        let unread = Err("the CustomResourceDefinitions have not been read yet".to_owned());
        for standby in [true, false] {
            assert_eq!(health(standby, Installed::unread()).ready(), unread);
        }
        assert_eq!(health(true, Installed::default()).ready(), Ok(()));
        let works = health(false, Installed::default());
        assert!(works.ready().unwrap_err().starts_with("not listed yet: "));
        for source in SOURCES {
            works.store.set_listed(source);
        }
        assert_eq!(works.ready(), Ok(()));
    }

    #[test]
    fn a_class_is_counted_while_its_validation_fails() {
        let health = health(false, Installed::default());
        let counts =
            |number: usize| health.metrics_text().contains(&format!("\ndeveloperspace_failing_classes {number}\n"));
        let class = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "orchard"}, "spec": {}});
        health.store.put_class(serde_json::from_value(class).unwrap());
        assert!(counts(0));
        health.store.put_validation_error(
            "orchard".to_owned(),
            "failed to write the status of SpaceClass orchard: it is frozen",
        );
        assert!(counts(1));
        health.store.clear_validation_error("orchard");
        assert!(counts(0));
    }
}
