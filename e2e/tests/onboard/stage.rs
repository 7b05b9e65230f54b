//! The cluster that people are onboarded on: one that trusts an identity provider, with somebody who may onboard and one who may not approve.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use e2e::command::Output;
use e2e::fixtures::{World, binding, class};
use e2e::oidc::{Issuer, Person};
use e2e::{Options, User, command};
use serde_json::json;

pub const CLIENT: &str = "kubectl";

pub struct Stage {
    pub world: World,
    pub issuer: Issuer,
    /// Files of the scenarios.
    pub dir: tempfile::TempDir,
}

/// Runs onboarding for others.
pub const DAVE: &str = "dave@example.com";

impl Stage {
    pub async fn set(controller_manager_args: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dspace-onboard-").tempdir()?;
        let people = ["quinn", "rosa"].map(|name| Person { email: format!("{name}@example.com"), groups: vec!["botany".into()] });
        let issuer = Issuer::start(dir.path(), CLIENT, people.into()).await?;
        let trust = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {"url": issuer.url(), "audiences": [CLIENT], "certificateAuthority": fs::read_to_string(issuer.authority())?},
                "claimMappings": {"username": {"claim": "email", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": "oidc:"}},
            }],
        });
        let file = dir.path().join("authentication.yaml");
        fs::write(&file, trust.to_string())?;
        let options = Options {
            users: User::cast(),
            apiserver_args: vec![format!("--authentication-config={}", file.display())],
            controller_manager_args: controller_manager_args.iter().map(|&argument| argument.to_owned()).collect(),
            ..Options::default()
        };
        let world = World::self_service_on(options, &[]).await?;
        let stage = Self { world, issuer, dir };
        stage.grant().await?;
        Ok(stage)
    }

    async fn grant(&self) -> Result<()> {
        let admin = self.world.admin();
        let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let requests = rule("certificates.k8s.io", &["certificatesigningrequests"], &["create", "get", "delete"]);
        let approval = rule("certificates.k8s.io", &["certificatesigningrequests/approval"], &["patch", "update"]);
        let events = rule("events.k8s.io", &["events"], &["create", "list"]);
        let accounts = rule("", &["serviceaccounts", "serviceaccounts/token"], &["create"]);
        let signer = json!({
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["kubernetes.io/kube-apiserver-client"], "verbs": ["approve"],
        });
        for (name, rules) in [("onboards", json!([requests, approval, events, accounts, signer])), ("asks", json!([requests]))] {
            admin.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})).await?;
        }
        for (kind, name, role) in
            [("User", DAVE, "onboards"), ("User", "bob@example.com", "asks"), ("User", "bob@example.com", "developerspace-editor")]
        {
            admin.create(&binding(kind, name, role)).await?;
        }
        let lab = json!({
            "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
            "lifetime": {"defaultTTL": "2h", "maxTTL": "1d"},
            "access": {"oidc": {"issuerURL": self.issuer.url(), "clientID": CLIENT, "usernamePrefix": "oidc:", "groupsPrefix": "oidc:"}},
        });
        admin.create(&class("greenhouse", lab)).await?;
        self.world.accepted("greenhouse").await.map(drop)
    }

    /// A file of a scenario's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `kubectl dspace` as a named user.
    pub async fn dspace(&self, user: &str, arguments: &[&str]) -> Result<Output> {
        self.world.cluster().kubectl_as(user, &[&["dspace"], arguments].concat()).await
    }

    /// Onboards somebody as `user`.
    pub async fn onboard(&self, user: &str, arguments: &[&str], file: &Path) -> Result<Output> {
        let file = file.to_string_lossy().into_owned();
        self.dspace(user, &[&["onboard", "-o", &file, "--class", "greenhouse"], arguments].concat()).await
    }

    /// kubectl with a kubeconfig and nothing else: no home, and a folder first on the PATH.
    pub async fn kubectl(&self, file: &Path, arguments: &[&str]) -> Result<Output> {
        let bin = self.file("bin");
        if !bin.exists() {
            fs::create_dir_all(&bin)?;
            symlink(self.world.cluster().binaries().join("kubectl"), bin.join("kubectl"))?;
        }
        let mut command = tokio::process::Command::new(bin.join("kubectl"));
        command.env_clear().env("KUBECONFIG", file).env("HOME", self.dir.path()).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        command.args(arguments);
        command::run(command, None).await
    }

    /// What a kubeconfig opens: its own space, whose namespace need not be named, and nothing else.
    pub async fn opens_only(&self, file: &Path, space: &str, elsewhere: &str) -> Result<()> {
        let mode = fs::metadata(file)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", file.display());
        self.kubectl(file, &["create", "deployment", "web", "--image=nginx"]).await?.ok()?;
        let made = self.world.cluster().kubectl(&["get", "deployment", "web", "-n", space, "-o", "name"]).await?.ok()?;
        ensure!(made.trim() == "deployment.apps/web", "{made}");
        for refused in [
            &["create", "deployment", "web", "--image=nginx", "-n", "default"][..],
            &["create", "deployment", "web", "--image=nginx", "-n", elsewhere],
            &["get", "secrets", "-n", elsewhere],
            &["get", "nodes"],
            &["delete", "namespace", space],
        ] {
            let said = self.kubectl(file, refused).await?.refused()?;
            ensure!(said.contains("orbidden"), "`{}`: {said}", refused.join(" "));
        }
        Ok(())
    }
}

/// One sentence, exit status 1, no panic.
pub fn ensure_sentence(output: &Output, says: &str) -> Result<()> {
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    ensure!(output.code == Some(1), "`{}` ended with {:?}: {}", output.command, output.code, output.stderr);
    ensure!(errors.len() == 1 && errors[0].contains(says), "`{}` does not say {says:?} once: {}", output.command, output.stderr);
    ensure!(!output.stderr.contains("panicked") && !output.stderr.contains("backtrace"), "{}", output.stderr);
    Ok(())
}
