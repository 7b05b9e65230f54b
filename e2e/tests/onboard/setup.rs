//! The cluster on which users are onboarded: its issuer, its classes, the users who run commands there, and the rights
//! of each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    Cluster, Operator, Options, binaries,
    command::Output,
    eventually,
    fixtures::{Actor, At, SOON, a_class, a_space, binding, class, holds, is_observed, name_of, space, text, user},
    kubeconfig::{self, Credential},
    oidc::Issuer,
    process::Process,
};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::people::{CLIENT, FOREIGN, PREFIX, class_spec, login_users, role_assignments, roles, token_users};

/// The environment of a scenario. Fields are dropped in this order, so that nothing outlives its dependencies.
pub(crate) struct OnboardingSetup {
    approver: Mutex<Option<Process>>,
    pub operator: Operator,
    pub admin: Actor,
    pub cluster: Cluster,
    pub issuer: Issuer,
    folder: tempfile::TempDir,
}

impl OnboardingSetup {
    /// Sets up the cluster, with further arguments for kube-controller-manager, which signs certificates.
    pub(crate) async fn start(controller_manager_args: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("dspace-onboard-")
            .tempdir()
            .context("no temporary folder could be made")?;
        let issuer = Issuer::start(CLIENT, login_users()).await?;
        // JSON is YAML, too.
        let authentication = folder.path().join("authentication.yaml");
        fs::write(&authentication, issuer.authentication(PREFIX).to_string())
            .context("the file for the API server cannot be written")?;
        let options = Options {
            users: token_users(),
            apiserver_args: vec![format!("--authentication-config={}", authentication.display())],
            controller_manager_args: controller_manager_args.iter().map(|&argument| argument.to_owned()).collect(),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await?;
        Operator::install(&cluster).await?;
        let admin = Actor::new(cluster.client().await?);
        let operator = Operator::start(&cluster, &[]).await?;
        let setup = Self { approver: Mutex::default(), operator, admin, cluster, issuer, folder };
        setup.create_roles().await?;
        setup.create_objects().await?;
        Ok(setup)
    }

    async fn create_roles(&self) -> Result<()> {
        for role in roles() {
            self.admin.create(&role).await?;
        }
        for (user, role) in role_assignments() {
            self.admin.create(&binding("User", user, role)).await?;
        }
        Ok(())
    }

    async fn create_objects(&self) -> Result<()> {
        let oidc = json!({"issuerURL": self.issuer.url(), "clientID": CLIENT, "usernamePrefix": PREFIX, "groupsPrefix": PREFIX, "extraScopes": ["email"]});
        for (name, access) in [
            ("greenhouse", json!({})),
            ("observatory", json!({"methods": ["OIDC"], "oidc": oidc})),
            ("foundry", json!({"methods": ["Token"], "token": {"maxDuration": "2h"}})),
        ] {
            self.admin.create(&class(name, class_spec(&access))).await?;
            self.until("to be accepted", a_class(name), |class| is_observed(class) && holds(class, "Accepted")).await?;
        }
        self.create_ready_space(FOREIGN, json!({"className": "greenhouse", "owner": user("zoe@example.com")}))
            .await
            .map(drop)
    }

    /// Waits until an object meets `probe`.
    pub(crate) async fn until(&self, what: &str, at: At<'_>, probe: impl Fn(&Value) -> bool) -> Result<Value> {
        self.admin
            .until(SOON, what, at, |object| {
                ensure!(probe(object), "it is {object}");
                Ok(())
            })
            .await
    }

    /// Waits until an object no longer exists.
    pub(crate) async fn until_gone(&self, at: At<'_>) -> Result<()> {
        self.admin.until_gone(SOON, at).await
    }

    /// Waits until a space is ready for its current spec.
    pub(crate) async fn until_ready(&self, name: &str) -> Result<Value> {
        self.until("to be ready", a_space(name), |space| is_observed(space) && holds(space, "Ready")).await
    }

    /// Creates a space as the administrator, and waits until it is ready.
    pub(crate) async fn create_ready_space(&self, name: &str, spec: Value) -> Result<Value> {
        self.admin.create(&space(name, spec)).await?;
        self.until_ready(name).await
    }

    /// Runs `kubectl dspace …` as a user with a token.
    pub(crate) async fn dspace(&self, user: &str, arguments: &[&str]) -> Result<Output> {
        self.dspace_with(&self.cluster.kubeconfig_of(user), arguments).await
    }

    /// Runs `kubectl dspace …` with any kubeconfig.
    pub(crate) async fn dspace_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
        self.cluster.kubectl_with(kubeconfig, &[&["dspace"], arguments].concat(), None).await
    }

    /// Runs the plugin in the background as a user with a token, so that it can be killed.
    pub(crate) fn dspace_in_background(&self, user: &str, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(binaries::own("kubectl-dspace")?);
        command.args(arguments).env("KUBECONFIG", self.cluster.kubeconfig_of(user));
        let name = arguments.get(1).copied().unwrap_or("dspace");
        Process::start("kubectl-dspace", command, &self.cluster.dir().join(format!("{name}.log")))
    }

    /// A folder that contains only the files of a scenario.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
        Ok(folder)
    }

    /// The path for a kubeconfig, in a folder of its own.
    pub(crate) fn kubeconfig_path(&self, name: &str) -> Result<String> {
        Ok(self.folder(name)?.join("kubeconfig").to_string_lossy().into_owned())
    }

    /// The folder of the programs that a newcomer has in addition to kubectl: none, unless a scenario adds some.
    pub(crate) fn program_folder(&self) -> Result<PathBuf> {
        self.folder("bin")
    }

    /// A kubeconfig with the given token.
    pub(crate) fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        let file = self.folder("tokens")?.join(name);
        kubeconfig::write(
            &file,
            self.cluster.server(),
            Some(&self.cluster.authority()),
            name,
            &Credential::Token(token),
        )?;
        Ok(file)
    }

    /// All requests for certificates for a space.
    pub(crate) async fn certificate_requests(&self, space: &str) -> Result<Vec<CertificateSigningRequest>> {
        let api: Api<CertificateSigningRequest> = Api::all(self.cluster.client().await?);
        Ok(api.list(&ListParams::default().labels(&format!("developerspace.dev/space={space}"))).await?.items)
    }

    /// Waits for a request without a decision, other than `known`, and returns its name.
    pub(crate) async fn until_open_request(&self, space: &str, known: &str) -> Result<String> {
        eventually(&format!("a request for a certificate for {space}"), SOON, || async {
            let is_open = |request: &CertificateSigningRequest| {
                request.status.as_ref().and_then(|status| status.conditions.as_ref()).is_none_or(Vec::is_empty)
            };
            let open = self.certificate_requests(space).await?.into_iter().filter(is_open);
            Ok(open.filter_map(|request| request.metadata.name).find(|name| name != known))
        })
        .await
    }

    /// Runs the approver from here on, as config/approver does: with its account and no more than its rights.
    pub(crate) async fn start_approver(&self) -> Result<()> {
        const NAMESPACE: &str = "developerspace-system";
        const NAME: &str = "developerspace-approver";
        let manifests = binaries::repository().join("config/approver").to_string_lossy().into_owned();
        self.cluster.kubectl(&["apply", "-k", &manifests]).await?.ok()?;
        // The approver runs outside of the cluster, so its Deployment must not run inside it.
        self.cluster.kubectl(&["scale", "-n", NAMESPACE, "--replicas=0", &format!("deployment/{NAME}")]).await?.ok()?;
        let token = self.cluster.kubectl(&["create", "token", NAME, "-n", NAMESPACE]).await?.ok()?;
        let mut command = Command::new(binaries::operator()?);
        command.arg("approve").env("KUBECONFIG", self.write_kubeconfig("approver", token.trim())?);
        *self.approver.lock().await = Some(Process::start(NAME, command, &self.cluster.dir().join("approver.log"))?);
        Ok(())
    }

    /// Checks that the processes outside of the cluster still run.
    pub(crate) async fn ensure_processes_run(&mut self) -> Result<()> {
        self.operator.check_alive()?;
        match self.approver.lock().await.as_mut() {
            Some(approver) => approver.check_alive(),
            None => bail!("the approver was never started"),
        }
    }

    /// Events about a space.
    pub(crate) async fn events_about(&self, space: &str, reason: &str) -> Result<Vec<Value>> {
        let events = self.admin.list("Event", "default").await?;
        let is_meant = |event: &Value| event["reason"] == reason && text(event, "/regarding/name") == space;
        Ok(events.into_iter().filter(is_meant).collect())
    }

    /// Returns true if the Deployment exists.
    pub(crate) async fn has_deployment(&self, namespace: &str, name: &str) -> Result<bool> {
        Ok(self.admin.list("Deployment", namespace).await?.iter().any(|deployment| name_of(deployment) == name))
    }
}

/// Returns true if `onboard` warns of nothing but the address of the API server, which in these tests is on this
/// machine.
pub(crate) fn warns_only_of_the_address(stderr: &str) -> bool {
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("warning")).collect();
    matches!(warnings.as_slice(), [one] if one.contains("is reachable only from this machine"))
}
