//! Owns the cluster that the demo is shown on: an embedded one, or the user's own (`DEMO_KUBECONFIG`).

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use super::{
    screen::Screen,
    settings::{DemoSettings, cluster_layout},
};
use crate::{
    binaries, cluster,
    command::{self, Output},
    controlplane::ClusterInfo,
    kubeconfig,
    process::tail,
};

const START_WITHIN: Duration = Duration::from_secs(150);
/// The owner of the demo's space, as in the sample.
pub(super) const ALICE: &str = "alice@example.com";

/// A cluster, and the means to access it.
pub(super) struct DemoCluster {
    /// The demo's folder.
    pub(super) dir: PathBuf,
    /// The administrator's kubeconfig.
    pub(super) kubeconfig: PathBuf,
    /// A client with that kubeconfig.
    pub(super) client: kube::Client,
    /// The folder with kubectl.
    binaries: PathBuf,
    /// True if the cluster is the demo's own. On a user's cluster alice gets no certificate, and is impersonated.
    embedded: bool,
}

impl DemoCluster {
    /// Builds missing programs, and starts the embedded cluster unless the settings name another cluster.
    pub(super) async fn prepare(settings: &DemoSettings, screen: &Screen) -> Result<Self> {
        fs::create_dir_all(&settings.dir).with_context(|| format!("{} could not be made", settings.dir.display()))?;
        let dir = settings.dir.canonicalize()?;
        match &settings.kubeconfig {
            Some(kubeconfig) => Self::existing(dir, kubeconfig, screen).await,
            None => Self::embedded(dir, screen).await,
        }
    }

    async fn existing(dir: PathBuf, kubeconfig: &Path, screen: &Screen) -> Result<Self> {
        let binaries = binaries::control_plane(&["kubectl"]).await?;
        let kubeconfig = kubeconfig.canonicalize().with_context(|| {
            format!("DEMO_KUBECONFIG names {}, which is not there: correct it", kubeconfig.display())
        })?;
        let config = kubeconfig::config(&kubeconfig).await?;
        let server = config.cluster_url.clone();
        let client = kube::Client::try_from(config)?;
        let version_check = async {
            let version = client.apiserver_version().await;
            version.with_context(|| format!("{server} does not answer: check DEMO_KUBECONFIG with `kubectl get nodes`"))
        };
        screen.step(&format!("Using the cluster at {server}"), version_check).await?;
        link_programs(&dir, &binaries)?;
        Ok(Self { dir, kubeconfig, client, binaries, embedded: false })
    }

    async fn embedded(dir: PathBuf, screen: &Screen) -> Result<Self> {
        let mut names = binaries::CONTROL_PLANE.to_vec();
        names.extend(binaries::NODES);
        binaries::control_plane(&names).await?;
        let what = "Control plane up: etcd, API server, controllers, scheduler, and a node played by kwok";
        let info = screen.step(what, start_embedded(&dir)).await?;
        let client = kubeconfig::client(&info.kubeconfig).await?;
        link_programs(&dir, &info.binaries)?;
        Ok(Self { dir, kubeconfig: info.kubeconfig, client, binaries: info.binaries, embedded: true })
    }

    /// Runs kubectl as the administrator (or the portal).
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = cluster::kubectl(&self.binaries, &self.kubeconfig, &self.dir);
        command.args(arguments);
        command::run(command, None).await
    }

    /// Runs `kubectl apply` as the administrator, with `yaml` on its standard input.
    pub(super) async fn apply(&self, yaml: &str) -> Result<String> {
        let mut command = cluster::kubectl(&self.binaries, &self.kubeconfig, &self.dir);
        command.args(["apply", "-f", "-"]);
        command::run(command, Some(yaml)).await?.ok()
    }

    /// Runs `kubectl dspace` as the administrator: kubectl finds the plugin by its name.
    pub(super) async fn plugin(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = cluster::kubectl(&self.binaries, &self.kubeconfig, &self.dir);
        command.arg("dspace").args(arguments);
        command::run(command, None).await
    }

    /// The path of alice's kubeconfig; `None` on a user's own cluster.
    pub(super) fn alices_kubeconfig(&self) -> Option<PathBuf> {
        self.embedded.then(|| self.dir.join("alice.kubeconfig"))
    }

    /// Runs kubectl as alice.
    pub(super) async fn as_alice(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let alices = self.alices_kubeconfig();
        let mut command = cluster::kubectl(&self.binaries, alices.as_ref().unwrap_or(&self.kubeconfig), &self.dir);
        if alices.is_none() {
            command.args(["--as", ALICE, "--as-group", "payments", "--as-group", "system:authenticated"]);
        }
        command.args(arguments);
        command::run(command, input).await
    }

    /// Prints the commands to explore the demo, and to end it.
    pub(super) fn print_next_steps(&self, screen: &Screen) {
        screen.scene("It goes on running. To look around:");
        screen.note(&format!("export KUBECONFIG={}", self.kubeconfig.display()));
        screen.note(&format!("export PATH={}:$PATH", self.dir.join("bin").display()));
        screen.note("kubectl get dspace,spclass");
        screen.note("kubectl dspace describe alice-payments");
        if let Some(alice) = self.alices_kubeconfig() {
            screen.note(&format!("KUBECONFIG={} kubectl get all      # as alice", alice.display()));
        }
        screen.note(&format!("tail -f {}", self.dir.join("operator.log").display()));
        screen.note("make demo-down      # ends it");
    }
}

/// Links kubectl and the plugin into one folder, which is meant for the PATH.
fn link_programs(dir: &Path, binaries: &Path) -> Result<()> {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("{} could not be made", bin.display()))?;
    link(&bin, "kubectl", &binaries.join("kubectl"))?;
    link(&bin, "kubectl-dspace", &binaries::own("kubectl-dspace")?)
}

fn link(folder: &Path, name: &str, program: &Path) -> Result<()> {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    symlink(program, &path).with_context(|| format!("{} could not be linked", path.display()))
}

async fn start_embedded(dir: &Path) -> Result<ClusterInfo> {
    let folder = cluster_layout(dir).dir;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} could not be removed: remove it", folder.display()))?;
    }
    let log = dir.join("cluster.log");
    let mut command = Command::new(binaries::own("dspace-cluster")?);
    command.args(["up", "--detach", "--with-nodes", "--dir"]).arg(&folder);
    // A process group of its own, so that a later Ctrl-C in this terminal does not end it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log)?);
    let mut supervisor =
        tokio::process::Command::from(command).spawn().context("dspace-cluster could not be started")?;
    let stdout = supervisor.stdout.take().context("dspace-cluster has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    match timeout(START_WITHIN, lines.next_line()).await {
        Ok(Ok(Some(line))) => serde_json::from_str(&line).with_context(|| format!("dspace-cluster said '{line}'")),
        _ => bail!(
            "the control plane did not start: run `make demo-down`, then try again; its log ends so:\n{}",
            tail(&log, 15)
        ),
    }
}
