//! Owns the operator under test. It is installed from the shipped manifests, and runs outside the cluster as its own
//! `ServiceAccount`, so that a permission missing from the manifests fails here too.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use serde_json::json;

use crate::{
    binaries,
    cluster::Cluster,
    command::{self, Output},
    http,
    kubeconfig::{self, Credential},
    ports,
    process::Process,
    wait::eventually,
};

/// The namespace that the manifests install into.
pub const NAMESPACE: &str = "developerspace-system";
/// The operator's `ServiceAccount` in that namespace.
pub const SERVICE_ACCOUNT: &str = "developerspace-operator";
/// The operator's user name in the audit log.
pub const USER: &str = "system:serviceaccount:developerspace-system:developerspace-operator";
/// The Deployment that would run the operator on a cluster with real nodes.
pub const DEPLOYMENT: &str = "developerspace-operator";

const CRDS: [&str; 2] = ["crd/developerspaces.developerspace.dev", "crd/spaceclasses.developerspace.dev"];
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLICIES_WITHIN: Duration = Duration::from_secs(90);
const GRACE: Duration = Duration::from_secs(30);
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);

/// The options of an operator that differ from the default setup.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Additional arguments of `run`.
    pub args: Vec<String>,
    /// The address of the API server, if it is not the cluster's own, such as that of a plain HTTP proxy.
    pub server: Option<String>,
    /// Additional environment variables.
    pub env: Vec<(String, String)>,
    /// Suppresses the end of the log, which is otherwise printed when the operator is dropped.
    pub quiet: bool,
}

/// A running operator. Dropping it kills the process. Unless [`Options::quiet`] is set, dropping it also prints the end
/// of the log, which the test harness shows only for a failed test.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    health_port: u16,
    metrics_port: u16,
    quiet: bool,
}

impl Operator {
    /// Applies the shipped manifests as an administrator would: everything, then the classes.
    pub async fn install(cluster: &Cluster) -> Result<()> {
        for step in install_steps() {
            let arguments: Vec<&str> = step.iter().map(String::as_str).collect();
            cluster.kubectl(&arguments).await?.ok()?;
        }
        until_policies_in_force(cluster.client().await?).await
    }

    /// Runs the operator with additional arguments, and waits until it reports ready.
    pub async fn start(cluster: &Cluster, args: &[&str]) -> Result<Self> {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self::start_with(cluster, &Options { args, ..Options::default() }).await
    }

    /// Runs the operator with `options`, and waits until it reports ready.
    pub async fn start_with(cluster: &Cluster, options: &Options) -> Result<Self> {
        let mut operator = Self::spawn(cluster, options).await?;
        operator.await_ready().await?;
        Ok(operator)
    }

    /// Runs the operator without waiting, for scenarios in which it cannot become ready.
    pub async fn spawn(cluster: &Cluster, options: &Options) -> Result<Self> {
        let name = format!("operator-{}", NEXT_NUMBER.fetch_add(1, Ordering::Relaxed));
        let kubeconfig = write_kubeconfig(cluster, &name, options.server.as_deref()).await?;
        let (health_port, metrics_port) = (ports::free()?, ports::free()?);
        let mut command = Command::new(binaries::operator()?);
        command.arg("run").args(run_arguments(health_port, metrics_port)).args(&options.args);
        command.env("KUBECONFIG", kubeconfig).envs(options.env.iter().cloned());
        let process = Process::start(&name, command, &cluster.dir().join(format!("{name}.log")))?;
        Ok(Self { process, health_port, metrics_port, quiet: options.quiet })
    }

    /// Waits until the operator reports ready.
    pub async fn await_ready(&mut self) -> Result<()> {
        let port = self.health_port;
        let ready = self.process.until("the operator to be ready", READY_WITHIN, || async move {
            let (status, body) = http::get(port, "/readyz").await?;
            anyhow::ensure!(status == 200, "/readyz says {status}: {body}");
            Ok(true)
        });
        ready.await?
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The current status code of `/readyz`, or an error if the operator does not respond.
    pub async fn readyz(&self) -> Result<u16> {
        Ok(self.readiness().await?.0)
    }

    /// The status code and the body of `/readyz`.
    pub async fn readiness(&self) -> Result<(u16, String)> {
        http::get(self.health_port, "/readyz").await
    }

    /// The ports on which the operator listens: the health port and the metrics port.
    pub fn ports(&self) -> [u16; 2] {
        [self.health_port, self.metrics_port]
    }

    /// The text that Prometheus would scrape.
    pub async fn metrics(&self) -> Result<String> {
        Ok(http::get(self.metrics_port, "/metrics").await?.1)
    }

    /// The complete log.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.process.log()).context("the operator's log cannot be read")
    }

    /// Returns an error with the end of the log if the process has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }

    /// Kills the process immediately, as a node failure would.
    pub fn kill9(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Terminates the process, and waits until it has ended.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.process.terminate(GRACE).await
    }

    /// Sends the process another signal, such as STOP or CONT.
    pub fn signal(&self, signal: &str) -> Result<()> {
        crate::process::signal(self.pid(), signal)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        if !self.quiet {
            print_log_tail(&self.process);
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the test harness keeps what is printed so, and shows it only for a failed test"
)]
fn print_log_tail(process: &Process) {
    eprintln!("--- the end of {} ---\n{}", process.log().display(), process.log_tail());
}

/// Runs `developerspace-operator gc` once, with the operator's own credentials.
pub async fn gc(cluster: &Cluster, args: &[&str]) -> Result<Output> {
    let name = format!("gc-{}", NEXT_NUMBER.fetch_add(1, Ordering::Relaxed));
    let kubeconfig = write_kubeconfig(cluster, &name, None).await?;
    gc_with(&kubeconfig, args).await
}

/// Runs `developerspace-operator gc` once, with any kubeconfig.
pub async fn gc_with(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(binaries::operator()?);
    command.arg("gc").args(args).env("KUBECONFIG", kubeconfig);
    command::run(command, None).await
}

/// The kubectl arguments with which an administrator installs the operator: everything, then the classes.
pub fn install_steps() -> Vec<Vec<String>> {
    let config = binaries::repository().join("config");
    let folder = |name: &str| config.join(name).to_string_lossy().into_owned();
    let deployment = format!("deployment/{DEPLOYMENT}");
    let steps: [&[&str]; 5] = [
        &["apply", "-k", &folder("default")],
        // The operator runs outside the cluster, so its workloads inside the cluster are disabled.
        &["scale", "-n", NAMESPACE, "--replicas=0", &deployment],
        &["patch", "-n", NAMESPACE, "cronjob/developerspace-gc", "-p", r#"{"spec":{"suspend":true}}"#],
        &["wait", "--for=condition=Established", "--timeout=30s", CRDS[0], CRDS[1]],
        &["apply", "-k", &folder("classes")],
    ];
    steps.iter().map(|step| step.iter().map(|&argument| argument.to_owned()).collect()).collect()
}

/// Waits until the API server knows the parameter kind of the admission policies. The API server discovers new kinds
/// twice a minute, and rejects all spaces until it has found this one.
pub async fn until_policies_in_force(client: kube::Client) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("developerspace.dev", "v1alpha1", "DeveloperSpace"));
    let spaces: Api<DynamicObject> = Api::all_with(client, &kind);
    let space = DynamicObject::new("never-made", &kind)
        .data(json!({"spec": {"owner": {"kind": "User", "name": "nobody@example.com"}}}));
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the API server to know the parameters of the policies", POLICIES_WITHIN, || async {
        match spaces.create(&dry_run, &space).await {
            Err(kube::Error::Api(refused)) if refused.message.contains("failed to configure") => {
                anyhow::bail!(refused.message)
            }
            // Any other response shows that the policies are evaluated.
            Ok(_) | Err(kube::Error::Api(_)) => Ok(Some(())),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// The arguments of `run` that every operator outside a cluster needs.
pub fn run_arguments(health_port: u16, metrics_port: u16) -> Vec<String> {
    let address = |port: u16| format!("127.0.0.1:{port}");
    ["--health-bind-address", &address(health_port), "--metrics-bind-address", &address(metrics_port)]
        .into_iter()
        .chain(["--log-format", "json"])
        .map(str::to_owned)
        .collect()
}

/// Requests a new token of the operator's `ServiceAccount`.
pub async fn token(client: kube::Client) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, NAMESPACE);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let response = accounts
        .create_token_request(SERVICE_ACCOUNT, &PostParams::default(), &request)
        .await
        .with_context(|| format!("there is no token for {USER}: are the manifests of config/default applied?"))?;
    response.status.and_then(|status| status.token).context("the token request was not answered")
}

/// Writes a kubeconfig for the operator's `ServiceAccount`; `server` is the address of a plain HTTP proxy.
pub async fn write_kubeconfig(cluster: &Cluster, name: &str, server: Option<&str>) -> Result<PathBuf> {
    let token = token(cluster.client().await?).await?;
    let file = cluster.dir().join(format!("{name}.kubeconfig"));
    let authority = server.is_none().then(|| cluster.authority());
    let server = server.unwrap_or_else(|| cluster.server());
    kubeconfig::write(&file, server, authority.as_deref(), SERVICE_ACCOUNT, &Credential::Token(&token))?;
    Ok(file)
}
