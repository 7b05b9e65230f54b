//! Checks a kubeconfig by sending real requests with it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use crate::{
    api::{DeveloperSpace, time::rfc3339, without_managed_fields::WithoutManagedFields},
    client::{self, Listeners},
    clock::{Clock as _, ServerCheckedClock},
    plugin::{
        api_error::{error_message, is_forbidden},
        cluster::{USER_AGENT, whoami},
        format,
        progress::Progress,
    },
};

/// The time allowed for a new RoleBinding to take effect in the API server.
const ROLE_BINDING_DELAY_LIMIT: Duration = Duration::from_secs(20);

/// The user that the cluster must authenticate the credential as.
#[derive(Clone, Copy)]
pub(super) struct ExpectedUser<'a> {
    /// The name by which the cluster knows the user.
    pub(super) name: &'a str,
    /// True if the user is the owner of the space.
    pub(super) is_owner: bool,
}

/// Checks that the cluster authenticates the credential as the expected user, and that this user can create a
/// Deployment in the space (dry run). Returns false if the Deployment is forbidden.
///
/// If `is_owner` is false, a forbidden Deployment is only a warning, since the role of a member may not allow it. An
/// owner must also be able to renew the space. If that fails, a warning is printed, with the commands for an
/// administrator if the request is forbidden.
pub(super) async fn verify(
    document: &Value,
    namespace: &str,
    expected: ExpectedUser<'_>,
    progress: &mut Progress,
) -> anyhow::Result<bool> {
    let ExpectedUser { name: user, is_owner } = expected;
    progress.step("checking the kubeconfig");
    let clock = Arc::new(ServerCheckedClock::for_a_command());
    let client = client_for(document, clock.clone()).await?;
    let found = whoami(&client).await.context("the new credential does not work")?.username.unwrap_or_default();
    ensure!(
        found == user,
        "the cluster authenticates the new credential as user {found:?} instead of {user:?}; nothing was written"
    );
    let can_create = match try_create_deployment(&client, namespace).await {
        Ok(()) => true,
        Err(kube::Error::Api(status)) if status.code == 403 && !is_owner => {
            progress.print(&format!("warning: {user} cannot create Deployments in {namespace}: {}", status.message));
            false
        }
        Err(error) => {
            bail!(
                "the new credential works, but {user} cannot create a Deployment in {namespace}: {}; nothing was written",
                error_message(&error)
            )
        }
    };
    if is_owner && let Err(error) = try_renew(&client, namespace, &clock).await {
        progress.print(&renewal_warning(user, namespace, &error));
    }
    Ok(can_create)
}

/// Reads the space and renews it as a dry run.
async fn try_renew(client: &Client, space: &str, clock: &ServerCheckedClock) -> Result<(), kube::Error> {
    let api: Api<WithoutManagedFields<DeveloperSpace>> = Api::all(client.clone());
    api.get(space).await?;
    let patch = json!({"spec": {"renewedAt": rfc3339(clock.now())}});
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    api.patch(space, &params, &Patch::Merge(patch)).await.map(drop)
}

/// The warning about an owner who cannot read and renew the DeveloperSpace. If that is forbidden, it contains the
/// commands for an administrator.
fn renewal_warning(user: &str, space: &str, error: &kube::Error) -> String {
    let lead = format!(
        "warning: {user} can work in namespace {space}, but cannot read and renew DeveloperSpace {space}: {}",
        error_message(error)
    );
    if !is_forbidden(error) {
        return format::one_line(&lead);
    }
    let binding = format!(
        "kubectl create clusterrolebinding developerspace-owner-{space} --clusterrole=developerspace-owner --user={}",
        format::shell_quoted(user)
    );
    format!(
        "{}\nAn administrator can grant this permission to all owners, \
        or to this owner only:\n    kubectl apply -k config/self-service\n    {}",
        format::one_line(&lead),
        binding
    )
}

async fn client_for(document: &Value, clock: Arc<ServerCheckedClock>) -> anyhow::Result<Client> {
    let kubeconfig: Kubeconfig = serde_json::from_value(document.clone())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| anyhow!("the new kubeconfig cannot be used: {error}"))?;
    Ok(client::for_config(config, Listeners { clock, ..Listeners::default() }, USER_AGENT)?)
}

/// Creates a Deployment as a dry run. Retries a 403 response, since a new RoleBinding takes effect with a delay.
async fn try_create_deployment(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let labels = json!({"app": "hello"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"generateName": "hello-", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "hello", "image": "nginx"}]}},
        },
    });
    let deployment: Deployment = serde_json::from_value(deployment).map_err(kube::Error::SerdeError)?;
    let begun = tokio::time::Instant::now();
    loop {
        match api.create(&params, &deployment).await {
            Err(kube::Error::Api(status)) if status.code == 403 && begun.elapsed() < ROLE_BINDING_DELAY_LIMIT => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            result => return result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{args::KubectlArgs, flags::Flags};

    #[test]
    fn the_warning_to_an_owner_who_cannot_renew_contains_commands_for_an_administrator() {
        let api = |code: u16, message: &str| {
            let status = json!({"status": "Failure", "code": code, "message": message, "reason": "x", "details": {"name": "orchid-lab"}});
            kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
        };
        let command = renewal_warning("nadia o'neill", "orchid-lab", &api(403, "developerspaces is forbidden"));
        let expected = "\
warning: nadia o'neill can work in namespace orchid-lab, but cannot read and renew DeveloperSpace orchid-lab: developerspaces is forbidden
An administrator can grant this permission to all owners, or to this owner only:
    kubectl apply -k config/self-service
    kubectl create clusterrolebinding developerspace-owner-orchid-lab --clusterrole=developerspace-owner --user='nadia o'\\''neill'";
        assert_eq!(command, expected);
        let caller =
            KubectlArgs { user: Some("omar".to_owned()), as_user: Some("petra".to_owned()), ..KubectlArgs::default() };
        assert_eq!(
            Flags::new(&caller).add_to(&command),
            expected,
            "the binding is for one user only, and an administrator creates it"
        );
        assert!(!renewal_warning("nadia", "orchid-lab", &api(422, "it is sealed")).contains("administrator"));
    }
}
