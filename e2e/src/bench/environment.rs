//! Owns the environment of a contestant: each contestant runs on a fresh control plane with the same manifests and the
//! same class.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

use super::ready::ReadyWatch;
use crate::{
    Cluster, Operator,
    fixtures::{Actor, class, space},
    operator,
    proxy::Proxy,
    wait::eventually,
};

/// The class of all spaces.
const CLASS: &str = "bench";
/// The administrator's user name at the API server.
pub const ADMIN: &str = "admin";
/// The number of requests that users send concurrently.
pub const MAX_CONCURRENT_REQUESTS: usize = 32;
/// The control plane is at rest once it has written nothing for this time.
const IDLE_AFTER: Duration = Duration::from_secs(3);
/// A contestant that takes longer has failed.
pub const CONTESTANT_TIMEOUT: Duration = Duration::from_secs(1800);

/// A control plane, optionally with the operator.
pub struct Environment {
    // Fields are dropped in this order: the operator must not outlive its cluster.
    operator: Option<Operator>,
    proxy: Option<Proxy>,
    /// The administrator.
    pub admin: Actor,
    /// The administrator's client.
    pub client: Client,
    /// The cluster.
    pub cluster: Cluster,
}

impl Environment {
    /// Starts a fresh control plane without the operator.
    pub async fn without_operator() -> Result<Self> {
        let cluster = Cluster::start(crate::Options::default()).await?;
        Operator::install(&cluster).await?;
        let client = cluster.client().await?;
        let admin = Actor::new(client.clone());
        admin.create(&class(CLASS, class_spec())).await?;
        Ok(Self { operator: None, proxy: None, admin, client, cluster })
    }

    /// Starts a fresh control plane with the operator.
    pub async fn with_operator() -> Result<Self> {
        let mut environment = Self::without_operator().await?;
        environment.start_operator().await?;
        // By then the operator has validated the classes.
        environment.until_idle().await?;
        Ok(environment)
    }

    /// Starts a fresh control plane with the operator behind a proxy.
    pub async fn behind_proxy() -> Result<Self> {
        let mut environment = Self::without_operator().await?;
        let proxy = Proxy::start(environment.cluster.server(), &environment.cluster.authority()).await?;
        let options =
            operator::Options { server: Some(proxy.address().to_owned()), quiet: true, ..operator::Options::default() };
        environment.proxy = Some(proxy);
        environment.operator = Some(Operator::start_with(&environment.cluster, &options).await?);
        environment.until_idle().await?;
        Ok(environment)
    }

    /// Starts the operator and waits until it is ready.
    pub async fn start_operator(&mut self) -> Result<()> {
        self.start_operator_with(&[]).await
    }

    /// Starts the operator with the given environment variables and waits until it is ready.
    pub async fn start_operator_with(&mut self, env: &[(String, String)]) -> Result<()> {
        self.spawn_operator(env).await?;
        self.until_operator_ready().await
    }

    /// Starts the operator with the given environment variables.
    pub async fn spawn_operator(&mut self, env: &[(String, String)]) -> Result<()> {
        let options = operator::Options { env: env.to_vec(), quiet: true, ..operator::Options::default() };
        self.operator = Some(Operator::spawn(&self.cluster, &options).await?);
        Ok(())
    }

    /// Waits until the operator is ready.
    pub async fn until_operator_ready(&mut self) -> Result<()> {
        self.operator.as_mut().context("the operator does not run")?.await_ready().await
    }

    /// Terminates the operator and returns its exit status.
    pub async fn stop_operator(&mut self) -> Result<ExitStatus> {
        self.operator.take().context("the operator does not run")?.terminate().await
    }

    /// The operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("the operator does not run")
    }

    /// The proxy.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().context("there is no proxy")
    }

    /// Creates all these spaces, as users do.
    pub async fn create_spaces(&self, names: &[String]) -> Result<()> {
        let creating = stream::iter(names)
            .map(|name| async move { self.admin.create(&space(name, space_spec())).await })
            .buffer_unordered(MAX_CONCURRENT_REQUESTS);
        creating.try_collect::<Vec<_>>().await.map(drop)
    }

    /// Creates all these spaces concurrently, as users do, and waits until all of them are ready.
    pub async fn create_ready_spaces(&self, names: &[String]) -> Result<()> {
        let mut ready = ReadyWatch::spaces(&self.client);
        self.create_spaces(names).await?;
        ready.until_all(names, CONTESTANT_TIMEOUT).await
    }

    /// CPU seconds that the API server has used.
    pub async fn api_server_cpu_seconds(&self) -> Result<f64> {
        let metrics = self.client.request_text(http::Request::get("/metrics").body(vec![])?).await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        value.context("the API server does not tell its CPU time")?.trim().parse().context("CPU time is a number")
    }

    /// Waits until the control plane is at rest: no client has written anything but leases for some seconds.
    pub async fn until_idle(&self) -> Result<()> {
        let audit = tokio::sync::Mutex::new((self.cluster.audit_from_now()?, Instant::now()));
        eventually("the control plane to come to rest", CONTESTANT_TIMEOUT, || async {
            let (audit, last) = &mut *audit.lock().await;
            if audit.read()?.iter().any(|entry| entry.mutates() && entry.resource != "leases") {
                *last = Instant::now();
            }
            ensure!(last.elapsed() > IDLE_AFTER, "it wrote {:?} ago", last.elapsed());
            Ok(Some(()))
        })
        .await
    }
}

/// The rate of `count` items since `begun`, per second.
#[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
pub fn per_second(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// The names of `count` spaces.
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:05}")).collect()
}

/// The spec of each space.
pub fn space_spec() -> Value {
    json!({
        "className": CLASS, "owner": {"kind": "User", "name": "alice@example.com"},
        "members": [{"kind": "User", "name": "bob@example.com", "role": "view"}],
        "contact": {"team": "payments", "email": "payments@example.com"},
    })
}

fn class_spec() -> Value {
    json!({
        "ownerRole": "edit", "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"requests.cpu": "4", "requests.memory": "8Gi", "pods": "50"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}],
        "network": {"isolation": "Namespace"},
        "lifetime": {"defaultTTL": "30d", "retainExpired": "7d"},
    })
}
