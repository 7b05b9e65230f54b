//! Owns the parts that scenarios share: a cluster with the operator, acting users, and waits for the expected results.

mod actor;
mod objects;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use futures::future::{LocalBoxFuture, join_all};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use actor::*;
pub use objects::*;

use crate::audit::Audit;
use crate::cluster::{Cluster, Options};
use crate::kubeconfig::{self, Credential};
use crate::operator::{self, Operator};
use crate::wait::eventually;

/// The time within which the cluster must converge after the last change: the liveness guarantee.
pub const SOON: Duration = Duration::from_secs(60);

/// The kinds that the operator creates inside a namespace.
pub const CHILDREN: [&str; 4] = ["ResourceQuota", "LimitRange", "NetworkPolicy", "RoleBinding"];

/// A cluster, the operator process that manages it, and the administrator.
pub struct World {
    // Fields are dropped in this order: the operator must not outlive its cluster.
    operator: Mutex<Option<Operator>>,
    args: Vec<String>,
    admin: Actor,
    cluster: Cluster,
}

impl World {
    /// Starts the cluster and the operator. Alice, Bob and Carol may create spaces, as in a company where every user
    /// may.
    pub async fn start(args: &[&str]) -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        let world = Self::install(cluster, args).await?;
        for person in ["alice@example.com", "bob@example.com", "carol@example.com"] {
            world.admin.create(&binding("User", person, "developerspace-editor")).await?;
        }
        world.start_operator().await?;
        Ok(world)
    }

    /// Starts the cluster and the operator, as in a company with self-service: the groups of Alice, Bob and Carol
    /// manage their own spaces, and Dave's group administers the platform.
    pub async fn self_service(args: &[&str]) -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        let world = Self::install(cluster, args).await?;
        for (group, role) in [
            ("payments", "developerspace-self-service"),
            ("checkout", "developerspace-self-service"),
            ("platform-admins", "developerspace-editor"),
        ] {
            world.admin.create(&binding("Group", group, role)).await?;
        }
        world.start_operator().await?;
        Ok(world)
    }

    async fn install(cluster: Cluster, args: &[&str]) -> Result<Self> {
        Operator::install(&cluster).await?;
        let admin = Actor::new(cluster.client().await?);
        Ok(Self { operator: Mutex::new(None), args: args.iter().map(|&arg| arg.to_owned()).collect(), admin, cluster })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The administrator.
    pub fn admin(&self) -> &Actor {
        &self.admin
    }

    /// Returns an actor for a named user, with that user's own token.
    pub async fn actor(&self, user: &str) -> Result<Actor> {
        Ok(Actor::new(self.cluster.client_as(user).await?))
    }

    /// Starts the operator if it is not running.
    pub async fn start_operator(&self) -> Result<()> {
        let mut running = self.operator.lock().await;
        if running.is_none() {
            let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
            *running = Some(Operator::start(&self.cluster, &args).await?);
        }
        Ok(())
    }

    /// Starts the operator without waiting until it is ready.
    pub async fn spawn_operator(&self) -> Result<()> {
        let options = operator::Options { args: self.args.clone(), ..operator::Options::default() };
        let operator = Operator::spawn(&self.cluster, &options).await?;
        *self.operator.lock().await = Some(operator);
        Ok(())
    }

    /// Terminates the operator, as a rollout would.
    pub async fn stop_operator(&self) -> Result<()> {
        if let Some(operator) = self.operator.lock().await.take() {
            let status = operator.terminate().await?;
            ensure!(status.success(), "the operator ended with {status}");
        }
        Ok(())
    }

    /// Kills the operator.
    pub async fn kill_operator(&self) -> Result<()> {
        match self.operator.lock().await.take() {
            Some(operator) => operator.kill9(),
            None => Ok(()),
        }
    }

    /// The status code and the body of `/readyz`.
    pub async fn readiness(&self) -> Result<(u16, String)> {
        self.operator.lock().await.as_ref().context("the operator does not run")?.readiness().await
    }

    /// The metrics that Prometheus would scrape.
    pub async fn operator_metrics(&self) -> Result<String> {
        self.operator.lock().await.as_ref().context("the operator does not run")?.metrics().await
    }

    /// The ports on which the operator listens.
    pub async fn operator_ports(&self) -> Result<[u16; 2]> {
        Ok(self.operator.lock().await.as_ref().context("the operator does not run")?.ports())
    }

    /// The peak resident memory of the operator, in bytes.
    pub async fn operator_peak(&self) -> Result<u64> {
        let pid = self.operator.lock().await.as_ref().context("the operator does not run")?.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the operator's memory cannot be read")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        Ok(peak.context("the system does not say how much memory the operator held")? * 1_024)
    }

    /// The complete log of the operator.
    pub async fn operator_log(&self) -> Result<String> {
        self.operator.lock().await.as_ref().context("the operator does not run")?.log()
    }

    /// Verifies that the operator is still running and ready.
    pub async fn ensure_operator_is_well(&self) -> Result<()> {
        let mut running = self.operator.lock().await;
        let operator = running.as_mut().context("the operator does not run")?;
        operator.check_alive()?;
        let status = operator.readyz().await?;
        ensure!(status == 200, "/readyz says {status}");
        Ok(())
    }

    /// Waits until `probe` accepts the object. The error contains the last failure of `probe`.
    pub async fn until(&self, what: &str, at: At<'_>, probe: impl Fn(&Value) -> Result<()>) -> Result<Value> {
        self.until_within(SOON, what, at, probe).await
    }

    /// Same as [`Self::until`], with another timeout.
    pub async fn until_within(&self, within: Duration, what: &str, at: At<'_>, probe: impl Fn(&Value) -> Result<()>) -> Result<Value> {
        let what = format!("{} {} {what}", at.kind, at.name);
        eventually(&what, within, || async {
            let object = self.admin.get(at).await?;
            probe(&object)?;
            Ok(Some(object))
        })
        .await
    }

    /// Waits until the object no longer exists.
    pub async fn gone(&self, at: At<'_>) -> Result<()> {
        self.gone_within(SOON, at).await
    }

    /// Same as [`Self::gone`], with another timeout.
    pub async fn gone_within(&self, within: Duration, at: At<'_>) -> Result<()> {
        let what = format!("{} {}/{} to be gone", at.kind, at.namespace, at.name);
        eventually(&what, within, || async {
            match self.admin.find(at).await? {
                None => Ok(Some(())),
                Some(object) => bail!("its status is {}", object["status"]),
            }
        })
        .await
    }

    /// Waits until the space is ready for the current generation of its spec.
    pub async fn ready(&self, name: &str) -> Result<Value> {
        self.until("to be ready", a_space(name), |space| {
            ensure!(is_observed(space) && holds(space, "Ready"), "its status is {}", space["status"]);
            Ok(())
        })
        .await
    }

    /// Waits until the space is not ready for the current generation of its spec, with the given reason. Returns the
    /// space.
    pub async fn not_ready(&self, name: &str, reason: &str) -> Result<Value> {
        self.until(&format!("to be not ready: {reason}"), a_space(name), |space| {
            let ready = condition(space, "Ready");
            let refused = ready["status"] == "False" && ready["reason"] == reason;
            ensure!(is_observed(space) && refused, "its status is {}", space["status"]);
            Ok(())
        })
        .await
    }

    /// Waits until the class is accepted for the current generation of its spec.
    pub async fn accepted(&self, name: &str) -> Result<Value> {
        self.until("to be accepted", cluster_wide("SpaceClass", name), |class| {
            ensure!(is_observed(class) && holds(class, "Accepted"), "its status is {}", class["status"]);
            Ok(())
        })
        .await
    }

    /// Creates a class and waits until it is accepted.
    pub async fn with_class(&self, name: &str, spec: Value) -> Result<()> {
        self.admin.create(&class(name, spec)).await?;
        self.accepted(name).await.map(drop)
    }

    /// Creates a space as the administrator, waits until it is ready, and returns it.
    pub async fn with_space(&self, name: &str, spec: Value) -> Result<Value> {
        self.admin.create(&space(name, spec)).await?;
        self.ready(name).await
    }

    /// The namespace and all its children, by kind and name, each without the fields that differ between runs.
    pub async fn snapshot(&self, name: &str) -> Result<Value> {
        let mut all = serde_json::Map::new();
        all.insert("Namespace".to_owned(), essence(&self.admin.get(a_namespace(name)).await?));
        for kind in CHILDREN {
            for child in self.admin.list(kind, name).await? {
                all.insert(format!("{kind} {}", name_of(&child)), essence(&child));
            }
        }
        Ok(Value::Object(all))
    }

    /// Waits until the space's namespace and children equal `expected`.
    pub async fn until_equal(&self, name: &str, expected: &Value) -> Result<()> {
        eventually(&format!("the children of {name}"), SOON, || async {
            ensure_equal(name, &self.snapshot(name).await?, expected)?;
            Ok(Some(()))
        })
        .await
    }

    /// Creates a `ServiceAccount` in `default`, binds it to the `ClusterRole` cluster-wide, and returns its kubeconfig.
    pub async fn account(&self, name: &str, cluster_role: &str) -> Result<PathBuf> {
        let metadata = json!({"name": name, "namespace": "default"});
        self.admin.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await?;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        });
        self.admin.create(&binding).await?;
        self.kubeconfig_of(name, "default").await
    }

    /// Creates a kubeconfig of an existing `ServiceAccount`.
    pub async fn kubeconfig_of(&self, name: &str, namespace: &str) -> Result<PathBuf> {
        let token = self.cluster.kubectl(&["create", "token", name, "--namespace", namespace]).await?.ok()?;
        let file = self.cluster.dir().join(format!("{name}.kubeconfig"));
        let authority = self.cluster.authority();
        kubeconfig::write(&file, self.cluster.server(), Some(&authority), name, &Credential::Token(token.trim()))?;
        Ok(file)
    }

    /// Returns the changes that the operator requested since `audit` was last read, without those of its lease.
    pub fn writes(audit: &mut Audit) -> Result<Vec<crate::audit::Entry>> {
        let written = audit.mutating_by(operator::USER)?;
        Ok(written.into_iter().filter(|entry| entry.resource != "leases").collect())
    }
}

/// A `ClusterRoleBinding` of a User or a Group.
pub fn binding(kind: &str, name: &str, cluster_role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{cluster_role}-{}", name.replace('@', "-"))},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}],
    })
}

/// Verifies that `probe` returns no error for the duration `during`.
pub async fn stays<F, Fut>(what: &str, during: Duration, mut probe: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let end = Instant::now() + during;
    let outcome = eventually(what, during + SOON, || {
        let seen = probe();
        async move {
            match seen.await {
                Err(error) => Ok(Some(Err(error))),
                Ok(()) if Instant::now() >= end => Ok(Some(Ok(()))),
                Ok(()) => Ok(None),
            }
        }
    });
    outcome.await?.with_context(|| what.to_owned())
}

/// The current time.
#[allow(clippy::disallowed_methods, reason = "scenarios live in real time")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Waits until a point in time, to a millisecond. This is not a wait for a condition: the scenario depends on that
/// point in time.
pub async fn moment(when: DateTime<Utc>) {
    if let Ok(left) = (when - now()).to_std() {
        tokio::time::sleep(left).await;
    }
}

/// Runs independent scenarios concurrently, and reports the failed ones.
#[allow(clippy::print_stderr, reason = "the test harness shows it for a failed test")]
pub async fn side_by_side(scenarios: Vec<(&str, LocalBoxFuture<'_, Result<()>>)>) -> Result<()> {
    let begun = Instant::now();
    let runs = scenarios.into_iter().map(|(name, scenario)| async move {
        let outcome = scenario.await;
        eprintln!("{} {name} after {:?}", if outcome.is_ok() { "ok    " } else { "FAILED" }, begun.elapsed());
        outcome.err().map(|error| format!("{name}: {error:#}"))
    });
    let failures: Vec<String> = join_all(runs).await.into_iter().flatten().collect();
    ensure!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
    Ok(())
}

/// `scenarios![world; a, b]` creates the argument of [`side_by_side`].
#[macro_export]
macro_rules! scenarios {
    ($world:expr; $($scenario:path),+ $(,)?) => {
        vec![$((stringify!($scenario), Box::pin($scenario($world)) as futures::future::LocalBoxFuture<'_, anyhow::Result<()>>)),+]
    };
}
