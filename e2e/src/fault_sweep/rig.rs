//! Owns the environment in which cases run: a cluster, the proxy in front of it, the operator behind the proxy, and the
//! administrator who acts.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use kube::Client;
use serde_json::{Value, json};

use super::{
    cluster_view::ClusterView,
    path::{self, EndState, LifecyclePath, SOON_SECONDS, UserAction},
};
use crate::{
    Cluster, binaries,
    fixtures::{
        Actor, At, SOON, a_namespace, at, cluster_wide, condition, holds, is_observed, now, rfc3339, sleep_until,
    },
    http, operator, ports,
    process::Process,
    proxy::Proxy,
    wait::eventually,
};

/// The time in which the operator must end after SIGTERM.
const TERMINATION_GRACE: Duration = Duration::from_secs(30);
/// Events of the same time are written concurrently. After this time without a write, no further one comes.
const EVENT_QUIET_TIME: Duration = Duration::from_secs(1);
/// A namespace that has the operator's labels but is not managed by the operator.
pub const BYSTANDER: &str = "bystander";

/// The environment in which cases run. The fields are dropped in this order: the operator must not outlive its cluster.
pub struct Rig {
    running: tokio::sync::Mutex<Option<Process>>,
    kubeconfig: PathBuf,
    args: Vec<String>,
    health_port: u16,
    metrics_port: u16,
    log: PathBuf,
    /// The time at which each space with an end expires, or at which its deletion was requested.
    due_times: Mutex<HashMap<String, DateTime<Utc>>>,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// The administrator.
    pub admin: Actor,
    /// The administrator's client.
    pub client: Client,
    /// The current state of all objects.
    pub view: ClusterView,
    /// The cluster.
    pub cluster: Arc<Cluster>,
}

/// Starts a cluster with the manifests and the classes of the sweep.
pub async fn cluster() -> Result<Arc<Cluster>> {
    let cluster = Cluster::start(crate::Options::default()).await?;
    crate::Operator::install(&cluster).await?;
    let admin = Actor::new(cluster.client().await?);
    for class in path::classes() {
        admin.create(&class).await?;
    }
    let forged = json!({"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": BYSTANDER, "developerspace.dev/class": "sweep-brief"});
    admin
        .create(&crate::fixtures::namespace(
            BYSTANDER,
            forged,
            json!({"developerspace.dev/expires-at": "2020-01-01T00:00:00Z"}),
        ))
        .await?;
    Ok(Arc::new(cluster))
}

impl Rig {
    /// Creates a rig on `cluster`. Its operator is not running yet.
    pub async fn new(cluster: Arc<Cluster>, name: &str, args: &[&str]) -> Result<Self> {
        let proxy = Arc::new(Proxy::start(cluster.server(), &cluster.authority()).await?);
        let client = cluster.client().await?;
        Ok(Self {
            running: tokio::sync::Mutex::new(None),
            kubeconfig: operator::write_kubeconfig(&cluster, name, Some(proxy.address())).await?,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            health_port: ports::free()?,
            metrics_port: ports::free()?,
            log: cluster.dir().join(format!("{name}.log")),
            due_times: Mutex::default(),
            proxy,
            admin: Actor::new(client.clone()),
            view: ClusterView::start(&client),
            client,
            cluster,
        })
    }

    /// Starts the operator if it is not running.
    pub async fn spawn(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let mut command = Command::new(binaries::operator()?);
            command.arg("run").args(operator::run_arguments(self.health_port, self.metrics_port)).args(&self.args);
            command.env("KUBECONFIG", &self.kubeconfig);
            let process = Process::start("the operator", command, &self.log)?;
            self.proxy.set_pid(process.pid());
            *running = Some(process);
        }
        Ok(())
    }

    /// Starts the operator and waits until it reports ready.
    pub async fn start(&self) -> Result<()> {
        self.spawn().await?;
        self.until_ready(200).await
    }

    /// Starts the operator if it has ended, as a Deployment would.
    pub async fn ensure_running(&self) -> Result<()> {
        self.ended().await?;
        self.start().await
    }

    /// Waits until `/readyz` responds with the status code `wanted`.
    pub async fn until_ready(&self, wanted: u16) -> Result<()> {
        self.until_ready_within(SOON, wanted).await
    }

    /// Same as [`Self::until_ready`], with another timeout.
    pub async fn until_ready_within(&self, within: Duration, wanted: u16) -> Result<()> {
        eventually(&format!("/readyz to say {wanted}"), within, || async {
            let (status, body) = http::get(self.health_port, "/readyz").await?;
            ensure!(status == wanted, "{status}: {body}");
            Ok(Some(()))
        })
        .await
    }

    /// Terminates the operator, as a rollout would.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        let mut process = self.running.lock().await.take().context("the operator does not run")?;
        process.terminate(TERMINATION_GRACE).await
    }

    /// Kills the operator.
    pub async fn kill(&self) -> Result<()> {
        self.running.lock().await.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Sends the operator a signal.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let running = self.running.lock().await;
        crate::process::signal(running.as_ref().context("the operator does not run")?.pid(), signal)
    }

    /// Runs `gc` once through the proxy. The proxy sends its signals to that process, so no controller may run at the
    /// same time.
    pub async fn gc(&self) -> Result<ExitStatus> {
        let mut command = tokio::process::Command::new(binaries::operator()?);
        command.args(["gc", "--max-deletions", "100%"]).env("KUBECONFIG", &self.kubeconfig);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("gc could not be started")?;
        if let Some(pid) = child.id() {
            self.proxy.set_pid(pid);
        }
        child.wait().await.context("gc was lost")
    }

    /// The operator's exit status, if it has ended. Afterwards the operator can be started again.
    pub async fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut running = self.running.lock().await;
        let Some(process) = running.as_mut() else { return Ok(None) };
        let status = process.exit_status()?;
        if status.is_some() {
            *running = None;
        }
        Ok(status)
    }

    /// Verifies that the operator is still running.
    pub async fn ensure_alive(&self) -> Result<()> {
        self.running.lock().await.as_mut().context("the operator does not run")?.check_alive()
    }

    /// The operator's resident memory, in KiB.
    pub async fn memory(&self) -> Result<u64> {
        let running = self.running.lock().await;
        let pid = running.as_ref().context("the operator does not run")?.pid();
        let resident = crate::process::memory_field(pid, "VmRSS").context("the operator's memory cannot be read")?;
        resident.context("the kernel does not tell VmRSS")?.parse().context("VmRSS is no number")
    }

    /// The end of the operator's log.
    pub fn log_tail(&self) -> String {
        crate::process::tail(&self.log, 30)
    }

    /// Performs one action for the case of that name.
    pub async fn perform(&self, name: &str, action: &UserAction) -> Result<()> {
        if matches!(action, UserAction::Patch(_, _, patch) if patch.to_string().contains("$NOW")) {
            // Times have whole seconds, and a renewal in the second of the creation renews nothing.
            sleep_until(now().trunc_subsecs(0) + TimeDelta::seconds(1)).await;
        }
        match action {
            UserAction::Create(object) => self.admin.create(&self.substitute(name, object)).await.map(drop),
            UserAction::Patch(kind, object, patch) => {
                let object = object.replace("$NAME", name);
                self.admin.patch(locate(kind, name, &object), self.substitute(name, patch)).await.map(drop)
            }
            UserAction::Delete(kind, object) => {
                let object = object.replace("$NAME", name);
                if *kind == "DeveloperSpace" {
                    self.record_due_time(name, now());
                }
                self.admin.delete(locate(kind, name, &object)).await
            }
        }
    }

    /// The time at which the space of that name expires, or at which its deletion was requested.
    pub fn due_time(&self, name: &str) -> Option<DateTime<Utc>> {
        self.due_times.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn record_due_time(&self, name: &str, due: DateTime<Utc>) {
        self.due_times.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), due);
    }

    /// Replaces the placeholders of a template.
    fn substitute(&self, name: &str, template: &Value) -> Value {
        let (mut text, present) = (template.to_string().replace("$NAME", name), now().trunc_subsecs(0));
        if text.contains("$SOON") {
            let soon = present + TimeDelta::seconds(SOON_SECONDS);
            self.record_due_time(name, soon);
            text = text.replace("$SOON", &rfc3339(soon));
        }
        serde_json::from_str(&text.replace("$NOW", &rfc3339(present))).unwrap_or_default()
    }

    /// Creates the initial state of the path.
    pub async fn prepare(&self, name: &str, path: &LifecyclePath) -> Result<()> {
        for action in &path.setup {
            self.perform(name, action).await?;
        }
        let creates = |kind: &str| {
            path.setup.iter().any(|action| matches!(action, UserAction::Create(object) if object["kind"] == kind))
        };
        if creates("DeveloperSpace") {
            self.ready(name).await?;
        }
        if path.end_state != EndState::Gone && (creates("DeveloperSpace") || creates("Namespace")) {
            self.add_foreign_objects(name).await?;
        }
        if creates("DeveloperSpace") {
            self.until_events_written(name).await?;
        }
        Ok(())
    }

    /// Waits until the operator has written the Events of the space and is idle. Events are written after the work, and
    /// an Event of the preparation would be counted as one of the action.
    async fn until_events_written(&self, name: &str) -> Result<()> {
        eventually(&format!("the Events of {name} to be written"), SOON * 4, || async {
            let journal = self.proxy.journal();
            journal.last_write_of(name, |request_info| request_info.resource == "events").context("none was")?;
            let last = journal.last_write_of(name, |_| true).context("nothing was written")?;
            ensure!(
                last.code.is_some() && last.instant.elapsed() > EVENT_QUIET_TIME,
                "the last write is {}",
                last.line()
            );
            Ok(Some(()))
        })
        .await
    }

    /// Waits until the space is ready for the current generation of its spec.
    pub async fn ready(&self, name: &str) -> Result<()> {
        // Hundreds of spaces are created at once, so that the last one waits for all others.
        self.view
            .until("to be ready", name, SOON * 4, |objects| {
                let space = objects.get("DeveloperSpace").context("it is not there")?;
                ensure!(is_observed(space) && holds(space, "Ready"), "Ready is {}", condition(space, "Ready"));
                Ok(())
            })
            .await
            .map(drop)
    }

    /// Adds objects and a label of another user, which the operator must keep.
    async fn add_foreign_objects(&self, name: &str) -> Result<()> {
        let metadata = json!({"name": "theirs", "namespace": name});
        let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": []});
        self.admin.create(&binding).await?;
        self.admin
            .create(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"services": "5"}}}))
            .await?;
        self.admin.patch(a_namespace(name), json!({"metadata": {"labels": {"theirs": "kept"}}})).await?;
        Ok(())
    }
}

fn locate<'a>(kind: &'a str, space: &'a str, name: &'a str) -> At<'a> {
    match kind {
        "DeveloperSpace" | "SpaceClass" | "Namespace" => cluster_wide(kind, name),
        _ => at(kind, space, name),
    }
}
