//! Owns a real world: a control plane on loopback and the operator behind the proxy. Time is moved by the `Date` of the
//! API server's answers, which the operator uses as its clock. Creation timestamps are those of the real clock, so
//! spaces are created before time is moved.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, future::LocalBoxFuture, stream};
use kube::Client;
use serde_json::{Value, json};

use super::{
    names::Names,
    world::{DEVELOPERS, World},
};
use crate::{
    Cluster, Operator,
    fault_sweep::cluster_view::{ClusterView, Objects},
    fixtures::{Actor, SOON, a_space, binding, cluster_wide, code, holds, name_of, now, space, user},
    operator::Options,
    proxy::{Entry, Proxy},
    wait::eventually,
};

/// The operator is done if it has written nothing for this time, and reconciles nothing at its end.
const QUIET_PERIOD: Duration = Duration::from_millis(250);
/// The state is checked after this time even if the operator does not come to rest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The metric that counts the reconciles in progress.
const WORKERS_METRIC: &str = "developerspace_active_workers";
/// The number of objects that are changed concurrently.
const MAX_CONCURRENT_REQUESTS: usize = 16;
/// The space whose changes cause requests by which the operator learns the time.
const CLOCK: &str = "adversary-clock";
/// The annotation whose change makes the operator reconcile a space.
const TICK: &str = "adversary.example.com/tick";

/// A control plane, and the operator behind the proxy.
pub(super) struct RealWorld {
    operator: tokio::sync::Mutex<Option<Operator>>,
    proxy: Proxy,
    view: ClusterView,
    client: Client,
    admin: Actor,
    offset: Mutex<TimeDelta>,
    cluster: Arc<Cluster>,
}

/// Starts a control plane with the shipped manifests, on which all developers have self-service and may use every
/// class.
pub(super) async fn start_cluster() -> Result<Arc<Cluster>> {
    // The oracles do not read the audit log, and each entry of a write costs the API server time.
    let options = crate::Options { apiserver_args: vec!["--audit-log-path=".to_owned()], ..crate::Options::default() };
    let cluster = Cluster::start(options).await?;
    Operator::install(&cluster).await?;
    let admin = Actor::new(cluster.client().await?);
    let uses = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "adversary-classes"},
        "rules": [{"apiGroups": ["developerspace.dev"], "resources": ["spaceclasses"], "verbs": ["use"]}],
    });
    admin.create(&uses).await?;
    admin.create(&binding("Group", DEVELOPERS, "adversary-classes")).await?;
    admin.create(&binding("Group", DEVELOPERS, "developerspace-self-service")).await?;
    let endless = json!({"ownerRole": "edit", "lifetime": {"allowNever": true}});
    admin.create(&crate::fixtures::class(CLOCK, endless)).await?;
    Ok(Arc::new(cluster))
}

/// Removes the objects of earlier sequences. No operator may run in the meantime: the finalizers of the spaces are
/// removed too, so that the next operator has nothing to do with them. The first kind is that of the classes, because
/// the API server evaluates the policies for a write to a space once for each class.
async fn clear(admin: &Actor) -> Result<()> {
    for kind in ["SpaceClass", "DeveloperSpace", "Namespace"] {
        let left = admin.list(kind, "").await?.into_iter().filter(|object| Names::contain(name_of(object)));
        let removed = left.map(|object| async move { remove(admin, kind, &object).await });
        let removed: Vec<Result<()>> = stream::iter(removed).buffer_unordered(MAX_CONCURRENT_REQUESTS).collect().await;
        removed.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}

async fn remove(admin: &Actor, kind: &str, object: &Value) -> Result<()> {
    let at = cluster_wide(kind, name_of(object));
    if kind == "DeveloperSpace" {
        let mut free = json!({"metadata": {"finalizers": null}});
        // A protected space is not deleted, unless it is sealed; the spec of a sealed space does not change.
        if object["spec"]["protected"] == true && !holds(object, "Expired") {
            free["spec"] = json!({"protected": false});
        }
        unless_refused(admin.patch(at, free).await.map(drop))?;
    }
    unless_refused(admin.delete(at).await)
}

/// Ignores the refusal of a request: another request may have changed or removed the object.
fn unless_refused(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if code(&error).is_none() => Err(error),
        _ => Ok(()),
    }
}

/// Returns true if the request is part of a reconcile.
fn is_work(entry: &Entry) -> bool {
    entry.request_info.mutates() && !matches!(entry.request_info.resource.as_str(), "leases" | "events")
}

impl RealWorld {
    /// Removes the objects of earlier sequences from `cluster`, and starts an operator at the real time.
    pub(super) async fn start(cluster: Arc<Cluster>) -> Result<Self> {
        let proxy = Proxy::start(cluster.server(), &cluster.authority()).await?;
        let client = cluster.client().await?;
        let admin = Actor::new(client.clone());
        clear(&admin).await?;
        let world = Self {
            operator: tokio::sync::Mutex::default(),
            proxy,
            view: ClusterView::start(&client),
            admin,
            client,
            offset: Mutex::default(),
            cluster,
        };
        world.restart().await?;
        if world.admin.find(a_space(CLOCK)).await?.is_none() {
            let spec = json!({"className": CLOCK, "owner": user("clock@example.com"), "ttl": "never"});
            world.admin.create(&space(CLOCK, spec)).await?;
        }
        Ok(world)
    }

    /// Ends the operator abruptly.
    pub(super) async fn stop(&self) -> Result<()> {
        let operator = self.operator.lock().await.take();
        operator.map_or(Ok(()), Operator::kill9)
    }

    fn offset(&self) -> TimeDelta {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the operator write the namespace and the status of a space, because the responses contain the time. It
    /// does not trust a single response.
    async fn propagate_time(&self) -> Result<()> {
        let from = self.proxy.journal().len();
        let spec = json!({"description": format!("{} s later", self.offset().num_seconds()), "contact": {"chat": format!("#{}", now().timestamp_micros())}});
        self.admin.patch(a_space(CLOCK), json!({"spec": spec})).await?;
        let is_answered = |entry: &Entry| {
            entry.request_info.mutates() && entry.request_info.space.as_deref() == Some(CLOCK) && entry.code.is_some()
        };
        eventually("the operator to receive the time", SOON, || async {
            Ok((self.proxy.journal().since(from, is_answered).len() >= 2).then_some(()))
        })
        .await
    }

    /// Returns true if the operator reconciles nothing at present. Its response also shows that it gets processor time.
    async fn is_idle(&self) -> Result<bool> {
        let operator = self.operator.lock().await;
        let Some(operator) = &*operator else { return Ok(true) };
        let metrics = operator.metrics().await.context("/metrics of the operator cannot be read")?;
        let workers = metrics.lines().find_map(|line| line.strip_prefix(WORKERS_METRIC)).map(str::trim);
        Ok(workers.with_context(|| format!("/metrics of the operator contains no {WORKERS_METRIC}"))? == "0")
    }
}

impl World for RealWorld {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn objects_of(&self, name: &str) -> Objects {
        self.view.objects(name)
    }

    fn now(&self) -> DateTime<Utc> {
        now() + self.offset()
    }

    fn advance(&self, wait: TimeDelta) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if wait.is_zero() {
                return Ok(());
            }
            let offset = {
                let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
                *offset += wait;
                *offset
            };
            self.proxy.network(|network| network.clock = offset);
            self.propagate_time().await
        })
    }

    fn wait_until_idle(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            let begun = tokio::time::Instant::now();
            loop {
                let from = self.proxy.journal().len();
                tokio::time::sleep(QUIET_PERIOD).await;
                let is_quiet = self.proxy.journal().since(from, is_work).is_empty();
                if (is_quiet && self.is_idle().await?) || begun.elapsed() > IDLE_TIMEOUT {
                    return self.view.check();
                }
            }
        })
    }

    fn restart(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.stop().await?;
            let options = Options { server: Some(self.proxy.address().to_owned()), quiet: true, ..Options::default() };
            let operator = Operator::start_with(&self.cluster, &options).await.context("the operator did not start")?;
            *self.operator.lock().await = Some(operator);
            Ok(())
        })
    }

    fn requeue<'a>(&'a self, spaces: &'a [String]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let tick = json!({"metadata": {"annotations": {TICK: now().timestamp_micros().to_string()}}});
            let patched = spaces.iter().cloned().map(|name| {
                let tick = tick.clone();
                async move { unless_refused(self.admin.patch(a_space(&name), tick).await.map(drop)) }
            });
            let patched: Vec<Result<()>> =
                stream::iter(patched).buffer_unordered(MAX_CONCURRENT_REQUESTS).collect().await;
            patched.into_iter().collect()
        })
    }

    fn is_real(&self) -> bool {
        true
    }

    fn lateness(&self) -> TimeDelta {
        TimeDelta::minutes(4)
    }
}
