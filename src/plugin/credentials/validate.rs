//! Checks of a request for a credential that are made before any object is created and any credential is issued.

use anyhow::ensure;
use kube::config::Cluster as Endpoint;

use super::{request::CredentialRequest, service_account};
use crate::{
    access::kubeconfig::{self, Credential},
    api::{AccessMethod, duration::Period},
    desired::credential_lifetime::{MIN_LIFETIME, check_method},
};

/// Returns the authentication method of the request, or an error if the class does not allow it, if it gives the holder
/// no access, or if the file cannot be written.
pub(crate) fn validate(request: &CredentialRequest<'_>, endpoint: &Endpoint) -> anyhow::Result<AccessMethod> {
    let args = request.args;
    let method = request.method()?;
    check_method(request.class_name(), request.access(), method)?;
    match method {
        AccessMethod::Certificate => request.holder.can_use_a_certificate(request.space)?,
        AccessMethod::Oidc => drop(request.oidc_parameters()?),
        AccessMethod::Token => drop(service_account::role(request)?),
    }
    let shortest = MIN_LIFETIME.to_std().unwrap_or_default();
    ensure!(
        args.duration.is_none_or(|Period(wanted)| wanted >= shortest),
        "--duration is less than 10m, the minimum that the API server issues"
    );
    if let Some(file) = args.file() {
        let entry = request.cluster_entry(endpoint)?;
        let user = request.user_name(method);
        let space_user = kubeconfig::SpaceUser { space: request.space, user: &user };
        let blank = kubeconfig::document(space_user, &entry, &Credential::Token(String::new()));
        kubeconfig::compose(file, &blank, args.existing())?;
        kubeconfig::check_writable(file)?;
    }
    Ok(method)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::{
        credentials::{args::issue_args, holder::Holder},
        fixtures::user,
    };

    #[test]
    fn a_user_entry_for_another_server_is_found_before_a_credential_is_issued() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let elsewhere = json!({"server": "https://10.0.0.9:6443"});
        let space_user = kubeconfig::SpaceUser { space: "fern-lab", user: "omar@example.com" };
        let mut other = kubeconfig::document(space_user, &elsewhere, &Credential::Token("secret-9".to_owned()));
        other["contexts"][0]["name"] = "renamed".into();
        kubeconfig::write(&file, &other).unwrap();
        let endpoint = Endpoint { server: Some("https://10.0.0.1:6443".to_owned()), ..Endpoint::default() };
        let args = issue_args(&format!("--auth cert --merge -o {}", file.display()));
        let validated = |name: &str| {
            let holder = Holder::owner(user(name));
            validate(&CredentialRequest { space: "fern-lab", class: None, holder: &holder, args: &args }, &endpoint)
        };
        let error = validated("omar@example.com").unwrap_err().to_string();
        assert!(error.contains(r#"already contains a different user "fern-lab/omar@example.com""#), "{error}");
        assert!(validated("petra@example.com").is_ok());
    }

    #[test]
    fn access_through_a_group_gives_no_certificate() {
        let mut owner = Holder::owner(user("omar@example.com"));
        owner.by_name = false;
        let endpoint = Endpoint { server: Some("https://10.0.0.1:6443".to_owned()), ..Endpoint::default() };
        let args = issue_args("--auth cert -o -");
        let request = CredentialRequest { space: "orchid-lab", class: None, holder: &owner, args: &args };
        let error = validate(&request, &endpoint).unwrap_err().to_string();
        assert!(
            error.starts_with("User:omar@example.com has access to DeveloperSpace orchid-lab only through a group"),
            "{error}"
        );
    }
}
