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

use crate::{people::FOREIGN, stage::Stage};

/// A user with the given kubeconfig.
pub struct Newcomer<'a> {
    stage: &'a Stage,
    kubeconfig: &'a str,
    id_token: Option<PathBuf>,
    plugin: Option<PathBuf>,
}

impl<'a> Newcomer<'a> {
    pub fn new(stage: &'a Stage, kubeconfig: &'a str) -> Self {
        Self { stage, kubeconfig, id_token: None, plugin: None }
    }

    /// The same user after a login in the browser: the token is in that file, for `kubectl oidc-login` to find.
    pub fn logged_in(self, id_token: &Path) -> Self {
        Self { id_token: Some(id_token.to_owned()), ..self }
    }

    /// The same user with the plugin installed.
    pub fn with_the_plugin(self) -> Result<Self> {
        let plugin = binaries::own("kubectl-dspace")?.parent().context("the plugin is in no folder")?.to_owned();
        Ok(Self { plugin: Some(plugin), ..self })
    }

    /// Runs kubectl.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let home = tempfile::tempdir().context("no empty home could be made")?;
        let inherited = env::var_os("PATH").unwrap_or_default();
        let programs = [self.stage.bin()?, self.stage.cluster.programs().to_owned()];
        let path = env::join_paths(programs.into_iter().chain(self.plugin.clone()).chain(env::split_paths(&inherited)))?;
        let mut command = tokio::process::Command::new(self.stage.cluster.programs().join("kubectl"));
        command.env_clear().env("PATH", path).env("HOME", home.path()).env("KUBECONFIG", self.kubeconfig);
        if let Some(file) = &self.id_token {
            command.env("ID_TOKEN_FILE", file);
        }
        command.args(arguments);
        command::run(command, None).await
    }

    /// Waits until the user has access, for kubeconfigs that the plugin has not tried itself.
    pub async fn until_let_in(&self) -> Result<()> {
        eventually("a newcomer to be let in", SOON, || async {
            let said = self.kubectl(&["auth", "can-i", "create", "deployments"]).await?.ok()?;
            ensure!(said.trim() == "yes", "kubectl says {said}");
            Ok(Some(()))
        })
        .await
    }

    /// The user creates a Deployment without a namespace argument, and it is in their space. They can create none anywhere else, nor see the cluster.
    pub async fn works_there_and_nowhere_else(&self, space: &str) -> Result<()> {
        self.kubectl(&["create", "deployment", "hello", "--image=nginx"]).await?.ok()?;
        ensure!(self.stage.has_deployment(space, "hello").await?, "the Deployment is not in {space}");
        let seen = self.kubectl(&["get", "deployments", "-o", "name"]).await?.ok()?;
        ensure!(seen.trim() == "deployment.apps/hello", "they see {seen}");
        for elsewhere in ["default", FOREIGN] {
            self.forbidden(&["create", "deployment", "hello", "--image=nginx", "-n", elsewhere]).await?;
            ensure!(!self.stage.has_deployment(elsewhere, "hello").await?, "there is a Deployment in {elsewhere}");
            self.forbidden(&["get", "pods", "-n", elsewhere]).await?;
        }
        for whole in ["nodes", "namespaces", "clusterroles"] {
            self.forbidden(&["get", whole]).await?;
        }
        Ok(())
    }

    /// Checks that the command is refused for lack of rights.
    pub async fn forbidden(&self, arguments: &[&str]) -> Result<()> {
        let output = self.kubectl(arguments).await?;
        let command = output.command.clone();
        let why = output.refused()?;
        ensure!(why.contains("is forbidden"), "`{command}` failed for another reason: {why}");
        Ok(())
    }
}
