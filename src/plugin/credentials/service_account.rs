//! A token of the ServiceAccount of a space, which is a member of the space.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow, bail, ensure};
use kube::ResourceExt as _;

use super::{
    issuance::{Issuance, IssuedCredential},
    request::CredentialRequest,
};
use crate::{
    access::{
        kubeconfig::Credential,
        token::{self, ACCOUNT},
    },
    api::{DeveloperSpace, SpaceClassSpec},
    desired::role_bindings::owner_role,
    plugin::{
        api_error::error_message, class_in_force::ClassInForce, format::shell_quoted, members, progress::Progress, wait,
    },
};

/// Creates the ServiceAccount, adds it to the members of the space, and gets a token of it.
pub(super) async fn issue(issuance: &Issuance<'_>, progress: &mut Progress) -> anyhow::Result<IssuedCredential> {
    let Issuance { cluster, space, request } = *issuance;
    let name = request.space;
    let max = request.access().and_then(|access| access.token.as_ref()?.max_duration.as_deref());
    // Checked before any object is created, and again when the token is issued.
    issuance.lifetime(max)?;
    let role = role(&request)?;
    ensure_no_other_role(space, &role)?;
    let api_message = |error: token::Error| anyhow!("failed to {}: {}", error.action(), error_message(&error.source));
    token::ensure_account(&cluster.client, name).await.map_err(api_message)?;
    if members::add(cluster, name, &token::member(name, &role)).await? {
        wait::until_ready(cluster, name, request.args.timeout.0, progress).await?;
    }
    let lifetime = issuance.lifetime(max)?;
    let token::IssuedToken { token, expires_at } =
        token::request_token(&cluster.client, name, lifetime, cluster.now()).await.map_err(api_message)?;
    progress.print(&format!("The credential is a token of ServiceAccount {ACCOUNT} with role {role}."));
    Ok(IssuedCredential { credential: Credential::Token(token), expires_at: Some(expires_at) })
}

/// The role of the ServiceAccount: the role in --role, or else the role of the holder. Returns an error if the class
/// does not have the role.
pub(super) fn role(request: &CredentialRequest<'_>) -> anyhow::Result<String> {
    let CredentialRequest { space, class, holder, args } = *request;
    let asked = match &args.role {
        Some(role) => Some(role.as_str()),
        None => holder.role()?,
    };
    let role = match (asked, class) {
        (Some(role), None) => return Ok(role.to_owned()),
        (Some(role), Some(_)) => role.to_owned(),
        (None, Some(ClassInForce { name: class, spec, .. })) => owner_role_name(class, spec)?,
        (None, None) => bail!(
            "the class of DeveloperSpace {space} cannot be found, so set the role of the ServiceAccount with --role"
        ),
    };
    if let Some(ClassInForce { name: class, spec, .. }) = class {
        ensure!(
            spec.roles.iter().any(|found| found.name == role),
            "SpaceClass {class} has no role {role}: set --role to one of its roles ({})",
            role_names(spec)
        );
    }
    Ok(role)
}

/// The member role that has the owner's ClusterRole. Returns an error if there is none: the order of the roles does not
/// show which of them the owner wants.
fn owner_role_name(class: &str, spec: &SpaceClassSpec) -> anyhow::Result<String> {
    ensure!(
        !spec.roles.is_empty(),
        "SpaceClass {class} has no roles for members, so a ServiceAccount cannot be bound: use --auth cert or --auth oidc"
    );
    let own = owner_role(spec);
    let same = spec.roles.iter().find(|role| role.cluster_role == own).map(|role| role.name.clone());
    same.with_context(|| {
        let roles = role_names(spec);
        format!("SpaceClass {class} has no role with the owner's ClusterRole {own}: set --role to one of its roles ({roles})")
    })
}

/// The names of the member roles of a class: `edit, view`.
fn role_names(class: &SpaceClassSpec) -> String {
    let names: Vec<&str> = class.roles.iter().map(|role| role.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Returns an error if the ServiceAccount has another role, which its token would have as well.
fn ensure_no_other_role(space: &DeveloperSpace, role: &str) -> anyhow::Result<()> {
    let name = space.name_any();
    let account = token::member(&name, role).subject();
    let held = space.spec.members.iter().filter(|member| member.subject() == account);
    let others: BTreeSet<&str> = held.map(|member| member.role.as_str()).filter(|held| *held != role).collect();
    let Some(other) = others.first() else { return Ok(()) };
    // The role of a member can be any text.
    let word = shell_quoted(other);
    bail!(
        "ServiceAccount {ACCOUNT} is already a member of DeveloperSpace {name} with role {other}, which its tokens have as well: set --role \
        {word}, or remove that role with `kubectl dspace members remove {name} {account} --role {word}`"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{Subject, SubjectKind},
        plugin::credentials::{args::issue_args, holder::Holder},
    };

    /// The space fern-lab of nadia, with omar as a member who may view, and with further members.
    fn space(further: &[Value]) -> DeveloperSpace {
        let omar = json!({"kind": "User", "name": "omar@example.com", "role": "view"});
        let members: Vec<&Value> = std::iter::once(&omar).chain(further).collect();
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "fern-lab"},
            "spec": {"owner": {"kind": "User", "name": "nadia@example.com"}, "members": members},
        }))
        .unwrap()
    }

    fn holder(name: &str) -> Holder {
        let subject = Subject { kind: SubjectKind::User, name: name.to_owned(), namespace: None };
        Holder::named(&space(&[]), &subject).unwrap()
    }

    #[test]
    fn a_token_has_the_role_of_its_holder() {
        let roles = json!([{"name": "view", "clusterRole": "view"}, {"name": "work", "clusterRole": "edit"}]);
        let class: SpaceClassSpec = serde_json::from_value(json!({"ownerRole": "edit", "roles": roles})).unwrap();
        let none = SpaceClassSpec { roles: vec![], ..class.clone() };
        let other = SpaceClassSpec { owner_role: "tend".to_owned(), ..class.clone() };
        let in_force = |name, spec| Some(ClassInForce { name, spec, current: spec });
        for (name, class, asked, expected) in [
            ("nadia@example.com", in_force("greenhouse", &class), "", Ok("work")),
            ("omar@example.com", in_force("greenhouse", &class), "", Ok("view")),
            ("omar@example.com", in_force("greenhouse", &class), "--role work", Ok("work")),
            ("omar@example.com", None, "", Ok("view")),
            (
                "nadia@example.com",
                in_force("greenhouse", &class),
                "--role wrok",
                Err("SpaceClass greenhouse has no role wrok: set --role to one of its roles (view, work)"),
            ),
            ("nadia@example.com", in_force("orchard", &other), "--role view", Ok("view")),
            (
                "nadia@example.com",
                in_force("orchard", &other),
                "",
                Err(
                    "SpaceClass orchard has no role with the owner's ClusterRole tend: set --role to one of its roles (view, work)",
                ),
            ),
            (
                "nadia@example.com",
                in_force("meadow", &none),
                "",
                Err(
                    "SpaceClass meadow has no roles for members, so a ServiceAccount cannot be bound: use --auth cert or --auth oidc",
                ),
            ),
            (
                "nadia@example.com",
                None,
                "",
                Err(
                    "the class of DeveloperSpace fern-lab cannot be found, so set the role of the ServiceAccount with --role",
                ),
            ),
        ] {
            let (holder, args) = (holder(name), issue_args(&format!("--auth token {asked} -o -")));
            let found = role(&CredentialRequest { space: "fern-lab", class, holder: &holder, args: &args });
            let found = found.map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name} {asked}");
        }
    }

    #[test]
    fn a_token_has_no_role_that_its_account_had_before() {
        let account =
            |namespace: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": "ci", "role": "work"});
        assert!(ensure_no_other_role(&space(&[]), "view").is_ok());
        assert!(ensure_no_other_role(&space(&[account("moss-lab")]), "view").is_ok());
        assert!(ensure_no_other_role(&space(&[account("fern-lab")]), "work").is_ok());
        let expected = "ServiceAccount ci is already a member of DeveloperSpace fern-lab with role work, which its tokens have as well: set \
            --role work, or remove that role with `kubectl dspace members remove fern-lab ServiceAccount:fern-lab/ci --role work`";
        assert_eq!(ensure_no_other_role(&space(&[account("fern-lab")]), "view").unwrap_err().to_string(), expected);
        let mut hostile = account("fern-lab");
        hostile["role"] = "x; touch pwned".into();
        let error = ensure_no_other_role(&space(&[hostile]), "view").unwrap_err().to_string();
        assert!(error.ends_with("ServiceAccount:fern-lab/ci --role 'x; touch pwned'`"), "{error}");
    }
}
