//! A user who has a kubeconfig and nothing else: an empty home, no other configuration, kubectl and a shell.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    binaries,
    command::{self, Output},
    eventually,
    fixtures::SOON,
};

use crate::{people::FOREIGN, setup::OnboardingSetup};

/// A user with the given kubeconfig.
pub(crate) struct Newcomer<'a> {
    setup: &'a OnboardingSetup,
    kubeconfig: &'a str,
    id_token: Option<PathBuf>,
    plugin: Option<PathBuf>,
}

impl<'a> Newcomer<'a> {
    pub(crate) fn new(setup: &'a OnboardingSetup, kubeconfig: &'a str) -> Self {
        Self { setup, kubeconfig, id_token: None, plugin: None }
    }

    /// The same user after a login in the browser: the token is in that file, for `kubectl oidc-login` to find.
    pub(crate) fn logged_in(self, id_token: &Path) -> Self {
        Self { id_token: Some(id_token.to_owned()), ..self }
    }

    /// The same user with the plugin installed.
    pub(crate) fn with_plugin(self) -> Result<Self> {
        let plugin = binaries::own("kubectl-dspace")?.parent().context("the plugin is in no folder")?.to_owned();
        Ok(Self { plugin: Some(plugin), ..self })
    }

    /// Runs kubectl.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let home = tempfile::tempdir().context("no empty home could be made")?;
        let inherited = env::var_os("PATH").unwrap_or_default();
        let programs = [self.setup.program_folder()?, self.setup.cluster.programs().to_owned()];
        let path =
            env::join_paths(programs.into_iter().chain(self.plugin.clone()).chain(env::split_paths(&inherited)))?;
        let mut command = tokio::process::Command::new(self.setup.cluster.programs().join("kubectl"));
        command.env_clear().env("PATH", path).env("HOME", home.path()).env("KUBECONFIG", self.kubeconfig);
        if let Some(file) = &self.id_token {
            command.env("ID_TOKEN_FILE", file);
        }
        command.args(arguments);
        command::run(command, None).await
    }

    /// Waits until the user has access, for kubeconfigs that the plugin has not tried itself.
    pub(crate) async fn until_access(&self) -> Result<()> {
        eventually("a newcomer to be let in", SOON, || async {
            let output = self.kubectl(&["auth", "can-i", "create", "deployments"]).await?.ok()?;
            ensure!(output.trim() == "yes", "kubectl says {output}");
            Ok(Some(()))
        })
        .await
    }

    /// The user creates a Deployment without a namespace argument, and it is in their space. They can create none
    /// anywhere else, nor see the cluster.
    pub(crate) async fn ensure_access_only_to(&self, space: &str) -> Result<()> {
        self.kubectl(&["create", "deployment", "hello", "--image=nginx"]).await?.ok()?;
        ensure!(self.setup.has_deployment(space, "hello").await?, "the Deployment is not in {space}");
        let listed = self.kubectl(&["get", "deployments", "-o", "name"]).await?.ok()?;
        ensure!(listed.trim() == "deployment.apps/hello", "they see {listed}");
        for namespace in ["default", FOREIGN] {
            self.forbidden(&["create", "deployment", "hello", "--image=nginx", "-n", namespace]).await?;
            ensure!(!self.setup.has_deployment(namespace, "hello").await?, "there is a Deployment in {namespace}");
            self.forbidden(&["get", "pods", "-n", namespace]).await?;
        }
        for kind in ["nodes", "namespaces", "clusterroles"] {
            self.forbidden(&["get", kind]).await?;
        }
        Ok(())
    }

    /// Checks that the command is refused for lack of rights.
    pub(crate) async fn forbidden(&self, arguments: &[&str]) -> Result<()> {
        let output = self.kubectl(arguments).await?;
        let command = output.command.clone();
        let message = output.refused()?;
        ensure!(message.contains("is forbidden"), "`{command}` failed for another reason: {message}");
        Ok(())
    }
}
