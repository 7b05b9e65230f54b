//! Gives a subject access to a space that is ready: issues a credential, composes a kubeconfig, and checks it with real
//! requests before the kubeconfig is written.

pub(crate) mod args;
mod certificate;
mod certificate_event;
mod first_commands;
pub(crate) mod holder;
mod issuance;
mod oidc_login;
pub(crate) mod request;
mod service_account;
pub(crate) mod validate;
mod verify;

use kube::ResourceExt as _;
use serde_json::Value;

use self::{
    args::IssueArgs, first_commands::first_commands, holder::Holder, issuance::Issuance, request::CredentialRequest,
    validate::validate, verify::ExpectedUser,
};
use super::{class_in_force::ClassInForce, cluster::Cluster, format, output, progress::Progress, requests};
use crate::{
    access::kubeconfig,
    api::{AccessMethod, DeveloperSpace, time::rfc3339},
};

/// Issues the credential, checks the kubeconfig, and writes it.
pub(crate) async fn issue(
    cluster: &Cluster,
    space: &DeveloperSpace,
    holder: &Holder,
    args: &IssueArgs,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let class_name = space.status.as_ref().and_then(|status| status.class_name.clone());
    let class = match &class_name {
        Some(name) => requests::find_class(cluster, name).await?,
        None => None,
    };
    let name = space.name_any();
    let request = CredentialRequest { space: &name, class: class.as_ref().map(ClassInForce::new), holder, args };
    let method = validate(&request, &cluster.endpoint)?;
    let issuance = Issuance { cluster, space, request };
    let issued = match method {
        AccessMethod::Certificate => certificate::issue(&issuance, progress).await?,
        AccessMethod::Oidc => oidc_login::issue(&issuance, progress)?,
        AccessMethod::Token => Box::pin(service_account::issue(&issuance, progress)).await?,
    };
    let entry = request.cluster_entry(&cluster.endpoint)?;
    if kubeconfig::is_loopback(&entry) {
        progress.print(&loopback_warning(&entry, class_name.as_deref()));
    }
    let user = request.user_name(method);
    let document =
        kubeconfig::document(kubeconfig::SpaceUser { space: &name, user: &user }, &entry, &issued.credential);
    let mut can_create = true;
    if args.check.unwrap_or(method != AccessMethod::Oidc) {
        let is_owner = method != AccessMethod::Token && space.spec.owner == holder.subject;
        can_create =
            Box::pin(verify::verify(&document, &name, ExpectedUser { name: &user, is_owner }, progress)).await?;
    }
    write(args, &document)?;
    if let Some(at) = issued.expires_at {
        progress.print(&format!("The credential expires {} ({}).", format::from_now(cluster.now(), at), rfc3339(at)));
    }
    args.file().map_or(Ok(()), |file| output::print(&first_commands(file, method, can_create)))
}

/// The warning that a kubeconfig works on this machine only.
fn loopback_warning(entry: &Value, class: Option<&str>) -> String {
    format!(
        "warning: server {} is reachable only from this machine; for access from other machines, an administrator must set \
        spec.access.server.url of SpaceClass {}",
        entry["server"].as_str().unwrap_or_default(),
        class.unwrap_or("CLASS")
    )
}

/// Writes the kubeconfig to the file, or prints it.
fn write(args: &IssueArgs, document: &Value) -> anyhow::Result<()> {
    match args.file() {
        Some(file) => Ok(kubeconfig::write(file, &kubeconfig::compose(file, document, args.existing())?)?),
        None => output::print_raw(&kubeconfig::to_yaml(document)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{args::issue_args, *};
    use crate::{
        api::SpaceClass,
        plugin::{
            cluster::fake_cluster,
            fixtures::{a_space, user},
        },
    };

    fn class(spec: Value) -> SpaceClass {
        SpaceClass::new("greenhouse", serde_json::from_value(spec).unwrap())
    }

    #[tokio::test]
    async fn the_spec_in_force_of_a_class_applies_while_a_new_spec_is_not_accepted() {
        let mut class = class(json!({"access": {"methods": ["Token"]}}));
        class.metadata.generation = Some(2);
        let refused = json!({
            "type": "Accepted", "status": "False", "reason": "InvalidClass", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z",
            "observedGeneration": 2,
        });
        let status = json!({"accepted": {"access": {"methods": ["Certificate", "OIDC"]}}, "conditions": [refused]});
        class.status = serde_json::from_value(status).unwrap();
        let class = serde_json::to_value(class).unwrap();
        let cluster = fake_cluster(move |_| (200, class.clone()));
        let owner = Holder::owner(user("nadia@example.com"));
        let error =
            issue(&cluster, &a_space(), &owner, &issue_args("--auth token -o -"), &mut Progress::new(&cluster.flags))
                .await;
        let expected = "SpaceClass greenhouse does not allow access by token: it allows cert, oidc";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}
