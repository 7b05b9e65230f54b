//! Owns a real world: a control plane on loopback and the operator behind the proxy. Time is moved by the `Date` of the API server's answers, which
//! the operator uses as its clock. Creation timestamps are those of the real clock, so spaces are created before time is moved.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, future::LocalBoxFuture, stream};
use kube::Client;
use serde_json::json;

use super::world::{DEVELOPERS, World};
use crate::{
    Cluster, Operator,
    fixtures::{Actor, SOON, a_space, at, binding, cluster_wide, code, now, space, user},
    operator::Options,
    proxy::{Entry, Proxy},
    wait::eventually,
};

/// The operator is done when it has written nothing for this time.
const QUIET: Duration = Duration::from_millis(500);
/// The state is checked after this time even if the operator does not come to rest.
const RESTLESS: Duration = Duration::from_secs(15);
/// The number of spaces that are woken concurrently.
const SIDE_BY_SIDE: usize = 16;
/// The space whose changes cause requests by which the operator learns the time.
const CLOCK: &str = "adversary-clock";
/// The annotation whose change wakes the operator.
const TICK: &str = "adversary.example.com/tick";

/// A control plane, and the operator behind the proxy.
pub struct Live {
    operator: tokio::sync::Mutex<Option<Operator>>,
    proxy: Proxy,
    client: Client,
    admin: Actor,
    offset: Mutex<TimeDelta>,
    cluster: Arc<Cluster>,
}

/// Starts a control plane with the shipped manifests, on which all developers have self-service and may use every class.
pub async fn cluster() -> Result<Arc<Cluster>> {
    let cluster = Cluster::start(crate::Options::default()).await?;
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

impl Live {
    /// Starts an operator on `cluster`, at the real time.
    pub async fn start(cluster: Arc<Cluster>) -> Result<Self> {
        let proxy = Proxy::start(cluster.server(), &cluster.authority()).await?;
        let client = cluster.client().await?;
        let world = Self {
            operator: tokio::sync::Mutex::default(),
            proxy,
            admin: Actor::new(client.clone()),
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

    fn offset(&self) -> TimeDelta {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the operator write something, because the response contains the time.
    async fn send_the_time(&self) -> Result<()> {
        let from = self.proxy.journal().len();
        let spec = json!({"description": format!("{} s later", self.offset().num_seconds()), "contact": {"chat": format!("#{}", now().timestamp_micros())}});
        self.admin.patch(a_space(CLOCK), json!({"spec": spec})).await?;
        let is_answered =
            |entry: &Entry| entry.request_info.mutates() && entry.request_info.space.as_deref() == Some(CLOCK) && entry.code.is_some();
        eventually("the operator to receive the time", SOON, || async {
            Ok((!self.proxy.journal().since(from, is_answered).is_empty()).then_some(()))
        })
        .await
    }

    /// Removes the spaces, namespaces and classes of these names.
    pub async fn clear(&self, spaces: &[String], classes: &[String]) -> Result<()> {
        let ignored = |outcome: Result<()>| match outcome {
            Err(error) if code(&error).is_none() => Err(error),
            _ => Ok(()),
        };
        let cleared = spaces.iter().map(|name| async move {
            let free = json!({"spec": {"protected": false, "deletionPolicy": "Delete"}});
            ignored(self.admin.patch(a_space(name), free).await.map(drop))?;
            ignored(self.admin.delete(a_space(name)).await)?;
            ignored(self.admin.delete(at("Namespace", "", name)).await)
        });
        let cleared: Vec<Result<()>> = stream::iter(cleared).buffer_unordered(SIDE_BY_SIDE).collect().await;
        cleared.into_iter().collect::<Result<()>>()?;
        for class in classes {
            ignored(self.admin.delete(cluster_wide("SpaceClass", class)).await)?;
        }
        Ok(())
    }
}

impl World for Live {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn now(&self) -> DateTime<Utc> {
        now() + self.offset()
    }

    fn pass(&self, wait: TimeDelta) -> LocalBoxFuture<'_, Result<()>> {
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
            self.send_the_time().await
        })
    }

    fn settle(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            let begun = tokio::time::Instant::now();
            loop {
                let from = self.proxy.journal().len();
                tokio::time::sleep(QUIET).await;
                let done = |entry: &Entry| {
                    entry.request_info.mutates() && entry.request_info.resource != "leases" && entry.request_info.resource != "events"
                };
                if self.proxy.journal().since(from, done).is_empty() || begun.elapsed() > RESTLESS {
                    return Ok(());
                }
            }
        })
    }

    fn restart(&self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async {
            let mut operator = self.operator.lock().await;
            if let Some(before) = operator.take() {
                before.kill9()?;
            }
            let options = Options { server: Some(self.proxy.address().to_owned()), quiet: true, ..Options::default() };
            *operator = Some(Operator::start_with(&self.cluster, &options).await.context("the operator did not start")?);
            Ok(())
        })
    }

    fn wake<'a>(&'a self, spaces: &'a [String]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let tick = json!({"metadata": {"annotations": {TICK: now().timestamp_micros().to_string()}}});
            let woken = spaces.iter().cloned().map(|name| {
                let tick = tick.clone();
                async move {
                    match self.admin.patch(a_space(&name), tick).await {
                        Err(error) if code(&error).is_none() => Err(error),
                        _ => anyhow::Ok(()),
                    }
                }
            });
            let woken: Vec<Result<()>> = stream::iter(woken).buffer_unordered(SIDE_BY_SIDE).collect().await;
            woken.into_iter().collect()
        })
    }

    fn is_real(&self) -> bool {
        true
    }

    fn lateness(&self) -> TimeDelta {
        TimeDelta::minutes(4)
    }
}
