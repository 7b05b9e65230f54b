//! Owns a scenario's cluster: starts the supervisor, provides clients and kubectl for each user, and ends with the
//! test.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use kube::{Client, Config};
use tokio::task::block_in_place;

use crate::{
    audit::Audit,
    binaries,
    command::{self, Output},
    controlplane::{ClusterInfo, Layout},
    kubeconfig,
    users::User,
};

/// The options of a scenario's cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// Enables pods: adds a scheduler, kwok, and one node.
    pub with_nodes: bool,
    /// The users that have a token.
    pub users: Vec<User>,
    /// Additional arguments of the API server.
    pub apiserver_args: Vec<String>,
    /// Additional arguments of the controller manager.
    pub controller_manager_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            with_nodes: false,
            users: User::default_users(),
            apiserver_args: vec![],
            controller_manager_args: vec![],
        }
    }
}

/// A real control plane on loopback. It ends when this is dropped, and also when the test process is killed.
///
/// It belongs to no async runtime, so several tests of one binary may share it through a static.
#[derive(Debug)]
pub struct Cluster {
    info: ClusterInfo,
    layout: Layout,
    supervisor: Child,
    channel: Mutex<Option<Channel>>,
    /// Keeps the folder until the supervisor removes it.
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
struct Channel {
    commands: ChildStdin,
    responses: BufReader<ChildStdout>,
}

impl Cluster {
    /// Starts a cluster, which takes about five seconds.
    pub async fn start(options: Options) -> Result<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&options))
            .await
            .context("the start of the cluster was interrupted")?
    }

    fn start_blocking(options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dspace-").tempdir().context("no temporary folder could be made")?;
        let mut command = Command::new(binaries::own("dspace-cluster")?);
        command.args(["up", "--ephemeral", "--dir"]).arg(dir.path());
        if options.with_nodes {
            command.arg("--with-nodes");
        }
        for user in &options.users {
            command.args(["--user", &user.to_flag()]);
        }
        for argument in &options.apiserver_args {
            command.args(["--apiserver-arg", argument]);
        }
        for argument in &options.controller_manager_args {
            command.args(["--controller-manager-arg", argument]);
        }
        let mut supervisor = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the supervisor dspace-cluster could not be started")?;
        let commands = supervisor.stdin.take().context("the supervisor has no standard input")?;
        let responses = supervisor.stdout.take().context("the supervisor has no standard output")?;
        let mut channel = Channel { commands, responses: BufReader::new(responses) };
        let line = channel.read_response().context("the cluster did not start; the lines above say why")?;
        let info: ClusterInfo = serde_json::from_str(&line).with_context(|| format!("the supervisor said '{line}'"))?;
        let layout = Layout::new(&info.dir);
        Ok(Self { info, layout, supervisor, channel: Mutex::new(Some(channel)), _dir: dir })
    }

    /// The API server's address.
    pub fn server(&self) -> &str {
        &self.info.server
    }

    /// The cluster's folder. It is removed with the cluster.
    pub fn dir(&self) -> &Path {
        &self.info.dir
    }

    /// The folder with the control plane's programs, kubectl among them.
    pub fn programs(&self) -> &Path {
        &self.info.binaries
    }

    /// The port on which etcd serves plain HTTP.
    pub fn etcd_port(&self) -> u16 {
        self.info.etcd_port
    }

    /// The certificate of the authority that signed the API server's.
    pub fn authority(&self) -> PathBuf {
        self.layout.pki("ca.crt")
    }

    /// The administrator's kubeconfig, for setup and for checks.
    pub fn kubeconfig(&self) -> &Path {
        &self.info.kubeconfig
    }

    /// A named user's kubeconfig.
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.layout.kubeconfig_of(user)
    }

    /// The administrator's client configuration.
    pub async fn config(&self) -> Result<Config> {
        kubeconfig::config(self.kubeconfig()).await
    }

    /// The administrator's client.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(self.kubeconfig()).await
    }

    /// A named user's client.
    pub async fn client_as(&self, user: &str) -> Result<Client> {
        kubeconfig::client(&self.kubeconfig_of(user)).await
    }

    /// Runs kubectl as the administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with(self.kubeconfig(), arguments, None).await
    }

    /// Runs kubectl as a named user.
    pub async fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Result<Output> {
        self.kubectl_with(&self.kubeconfig_of(user), arguments, None).await
    }

    /// Runs kubectl with any kubeconfig, and with `input` on its standard input (for `apply -f -`).
    pub async fn kubectl_with(&self, kubeconfig: &Path, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = kubectl(&self.info.binaries, kubeconfig, &self.layout.dir);
        command.args(arguments);
        command::run(command, input).await
    }

    /// Returns a reader that starts at the beginning of the audit log.
    pub fn audit(&self) -> Audit {
        Audit::from_start(&self.layout.audit_log())
    }

    /// Returns a reader that starts at the current end of the audit log.
    pub fn audit_from_now(&self) -> Result<Audit> {
        Audit::from_now(&self.layout.audit_log())
    }

    /// The end of the log of one component, for messages.
    pub fn log_tail(&self, component: &str) -> String {
        crate::process::tail(&self.layout.log(component), 40)
    }

    /// Stops one component (`etcd`, `kube-apiserver`, `kube-controller-manager`), as an upgrade would.
    pub fn stop_component(&self, name: &str) -> Result<()> {
        self.send_command("stop", name)
    }

    /// Kills one component, as a crash would.
    pub fn kill_component(&self, name: &str) -> Result<()> {
        self.send_command("kill", name)
    }

    /// Starts a stopped component with its previous port and data, and waits until it is ready. Needs a multi-threaded
    /// runtime, as [`Self::stop_component`] and [`Self::kill_component`] do.
    pub fn start_component(&self, name: &str) -> Result<()> {
        self.send_command("start", name)
    }

    fn send_command(&self, verb: &str, name: &str) -> Result<()> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channel.as_mut().context("the cluster has ended")?;
        let response = block_in_place(|| {
            writeln!(channel.commands, "{verb} {name}").context("the supervisor has ended")?;
            channel.read_response()
        })?;
        if response != "ok" {
            bail!("{name} could not be made to {verb}: {response}");
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The supervisor ends everything when its standard input closes.
        drop(self.channel.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.supervisor.wait();
    }
}

impl Channel {
    fn read_response(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.responses.read_line(&mut line)? == 0 {
            bail!("the supervisor ended without an answer");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Returns a command for the kubectl that was built with the control plane. Its path includes this project's plugins,
/// and its cache is in `dir`.
pub fn kubectl(folder: &Path, kubeconfig: &Path, dir: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(folder.join("kubectl"));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let plugins = binaries::own_folder().into_iter();
    if let Ok(path) = std::env::join_paths(plugins.chain(std::env::split_paths(&inherited))) {
        command.env("PATH", path);
    }
    command
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", dir.join("kubectl-cache"))
        // A developer's own kubectl preferences must not affect a scenario.
        .env("KUBERC", "off");
    command
}
