//! Owns the running control plane: starts components in order, waits until they are ready, stops and starts single
//! components, and shuts down.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::{
    components::{self, Ports},
    layout::{ClusterInfo, Layout},
    nodes, pki,
};
use crate::{
    binaries, http,
    kubeconfig::{self, Credential},
    ports,
    process::Process,
    users::{User, token_file},
};

const READY_WITHIN: Duration = Duration::from_secs(90);
/// The API server waits for open watches before it ends. After this time it is killed, as a node would do.
const GRACE: Duration = Duration::from_secs(3);

/// The settings of a cluster.
#[derive(Clone, Debug)]
pub struct ControlPlaneSettings {
    /// The folder for all its files.
    pub dir: PathBuf,
    /// Enables pods: adds a scheduler, kwok, and one node.
    pub with_nodes: bool,
    /// The users that have a token.
    pub users: Vec<User>,
    /// Additional arguments of the API server.
    pub apiserver_args: Vec<String>,
    /// Additional arguments of the controller manager.
    pub controller_manager_args: Vec<String>,
}

/// The processes of one control plane. Dropping it kills them.
#[derive(Debug)]
pub struct Supervisor {
    settings: ControlPlaneSettings,
    layout: Layout,
    binaries: PathBuf,
    ports: Ports,
    running: BTreeMap<&'static str, Process>,
}

impl Supervisor {
    /// Builds missing programs, starts all components, and returns when the cluster is ready.
    pub async fn start(settings: ControlPlaneSettings) -> Result<Self> {
        let mut names = binaries::CONTROL_PLANE.to_vec();
        if settings.with_nodes {
            names.extend(binaries::NODES);
        }
        let binaries = binaries::control_plane(&names).await?;
        let layout = Layout::new(&settings.dir);
        let ports = Ports { etcd: ports::free()?, etcd_peer: ports::free()?, apiserver: ports::free()? };
        let mut supervisor = Self { settings, layout, binaries, ports, running: BTreeMap::new() };
        supervisor.write_files()?;
        for component in supervisor.order() {
            supervisor.start_one(component).await?;
        }
        Ok(supervisor)
    }

    /// The information that clients need about this cluster.
    pub fn info(&self) -> ClusterInfo {
        ClusterInfo {
            server: self.server(),
            kubeconfig: self.layout.kubeconfig(),
            dir: self.layout.dir.clone(),
            binaries: self.binaries.clone(),
            etcd_port: self.ports.etcd,
            pid: std::process::id(),
        }
    }

    /// Starts one component, and waits until it is ready.
    pub async fn start_one(&mut self, component: &str) -> Result<()> {
        let (name, arguments) = self.command_line(component)?;
        if self.running.contains_key(name) {
            bail!("{name} is running already");
        }
        let mut command = Command::new(self.binaries.join(name));
        command.args(arguments).current_dir(&self.layout.dir);
        self.running.insert(name, Process::start(name, command, &self.layout.log(name))?);
        self.await_ready(name).await
    }

    /// Stops one component: terminates it, and kills it after a grace period; or kills it immediately.
    pub async fn stop_one(&mut self, component: &str, kill: bool) -> Result<()> {
        let mut process = self.running.remove(component).with_context(|| format!("{component} is not running"))?;
        if kill || process.terminate(GRACE).await.is_err() {
            process.kill()?;
        }
        Ok(())
    }

    /// Kills all components in reverse start order. The data is not needed afterwards, so there is no graceful
    /// shutdown.
    pub fn stop(mut self) {
        for component in self.order().into_iter().rev() {
            if let Some(mut process) = self.running.remove(component) {
                let _ = process.kill();
            }
        }
    }

    fn order(&self) -> Vec<&'static str> {
        let mut order = vec!["etcd", "kube-apiserver", "kube-controller-manager"];
        if self.settings.with_nodes {
            order.extend(["kube-scheduler", "kwok"]);
        }
        order
    }

    fn command_line(&self, component: &str) -> Result<(&'static str, Vec<std::ffi::OsString>)> {
        let (layout, ports) = (&self.layout, self.ports);
        Ok(match component {
            "etcd" => ("etcd", components::etcd(layout, ports)),
            "kube-apiserver" => ("kube-apiserver", components::apiserver(layout, ports, &self.settings.apiserver_args)),
            "kube-controller-manager" => (
                "kube-controller-manager",
                components::controller_manager(layout, &self.settings.controller_manager_args),
            ),
            "kube-scheduler" => ("kube-scheduler", components::scheduler(layout)),
            "kwok" => ("kwok", components::kwok(layout, &self.binaries)),
            other => bail!("the control plane has no component called '{other}'"),
        })
    }

    async fn await_ready(&mut self, name: &'static str) -> Result<()> {
        let (etcd_port, kubeconfig) = (self.ports.etcd, self.layout.kubeconfig());
        let process = self.running.get_mut(name).with_context(|| format!("{name} was not started"))?;
        let what = format!("{name} to be ready");
        let outcome = process.until(&what, READY_WITHIN, || probe(name, etcd_port, &kubeconfig)).await;
        outcome.with_context(|| format!("the end of its log:\n{}", process.log_tail()))?
    }

    fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.apiserver)
    }

    fn write_files(&self) -> Result<()> {
        let logs = self.layout.dir.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("{} could not be made", logs.display()))?;
        pki::write(&self.layout)?;
        fs::write(self.layout.pki("tokens.csv"), token_file(&self.settings.users))?;
        fs::write(self.layout.dir.join("audit-policy.yaml"), components::AUDIT_POLICY)?;
        for user in &self.settings.users {
            let file = self.layout.kubeconfig_of(&user.name);
            self.write_kubeconfig(&file, &user.name, &Credential::Token(&user.token()))?;
        }
        for component in ["kube-controller-manager", "kube-scheduler"] {
            self.write_certified(&self.layout.kubeconfig_of(component), component)?;
        }
        self.write_certified(&self.layout.kubeconfig(), "admin")
    }

    fn write_certified(&self, file: &Path, name: &str) -> Result<()> {
        let (certificate, key) = (self.layout.pki(&format!("{name}.crt")), self.layout.pki(&format!("{name}.key")));
        self.write_kubeconfig(file, name, &Credential::Certificate { certificate: &certificate, key: &key })
    }

    fn write_kubeconfig(&self, file: &Path, user: &str, credential: &Credential<'_>) -> Result<()> {
        kubeconfig::write(file, &self.server(), Some(&self.layout.pki("ca.crt")), user, credential)
    }
}

async fn probe(component: &str, etcd_port: u16, kubeconfig: &Path) -> Result<bool> {
    match component {
        "etcd" => Ok(http::get(etcd_port, "/health").await?.0 == 200),
        "kube-apiserver" => {
            let request = ::http::Request::get("/readyz").body(vec![])?;
            let client = kubeconfig::client(kubeconfig).await?;
            client.request_text(request).await.context("/readyz does not say yes")?;
            Ok(true)
        }
        // It serves no port. The ServiceAccount that it creates in every namespace shows that it works.
        "kube-controller-manager" => {
            let client = kubeconfig::client(kubeconfig).await?;
            Ok(Api::<ServiceAccount>::namespaced(client, "default").get_opt("default").await?.is_some())
        }
        "kwok" => nodes::create(&kubeconfig::client(kubeconfig).await?).await.map(|()| true),
        _ => Ok(true),
    }
}
