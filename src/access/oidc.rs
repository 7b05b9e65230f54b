//! A login at the identity provider that the API server trusts: kubectl runs `kubectl oidc-login`, with PKCE and
//! without a secret, see
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>.

use serde_json::{Value, json};

use super::encoding::base64;
use crate::api::{OidcAccess, Subject, SubjectKind};

/// The error if the issuer or the client is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "SpaceClass {class} does not set spec.access.oidc: set --oidc-issuer-url and --oidc-client-id, or ask an administrator to set spec.access.oidc"
)]
pub(crate) struct MissingOidcSettings {
    pub class: String,
}

/// Parameters from the command line, which override those of the class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub issuer_url: Option<String>,
    pub client_id: Option<String>,
    /// The prefix of user names.
    pub username_prefix: Option<String>,
    /// The prefix of group names.
    pub groups_prefix: Option<String>,
}

/// The parameters of the class, with the overrides from the command line.
pub(crate) fn parameters(
    class: &str,
    access: Option<&OidcAccess>,
    overrides: &Overrides,
) -> Result<OidcAccess, MissingOidcSettings> {
    let pick = |own: &Option<String>, theirs: Option<&String>| own.clone().or_else(|| theirs.cloned());
    let Overrides { issuer_url, client_id, username_prefix, groups_prefix } = overrides;
    let issuer_url = pick(issuer_url, access.map(|access| &access.issuer_url));
    let client_id = pick(client_id, access.map(|access| &access.client_id));
    let (Some(issuer_url), Some(client_id)) = (issuer_url, client_id) else {
        return Err(MissingOidcSettings { class: class.to_owned() });
    };
    Ok(OidcAccess {
        issuer_url,
        client_id,
        username_prefix: pick(username_prefix, access.and_then(|access| access.username_prefix.as_ref())),
        groups_prefix: pick(groups_prefix, access.and_then(|access| access.groups_prefix.as_ref())),
        // The authority of the class's issuer is not used for another issuer.
        certificate_authority: access
            .filter(|_| overrides.issuer_url.is_none())
            .and_then(|access| access.certificate_authority.clone()),
        extra_scopes: access.map(|access| access.extra_scopes.clone()).unwrap_or_default(),
    })
}

/// The `exec` entry of a kubeconfig's user.
pub(crate) fn exec_entry(oidc: &OidcAccess) -> Value {
    let OidcAccess { issuer_url, client_id, username_prefix: _, groups_prefix: _, certificate_authority, extra_scopes } =
        oidc;
    let mut args = vec![
        "oidc-login".to_owned(),
        "get-token".to_owned(),
        format!("--oidc-issuer-url={issuer_url}"),
        format!("--oidc-client-id={client_id}"),
        "--oidc-pkce-method=S256".to_owned(),
    ];
    args.extend(
        certificate_authority.iter().map(|pem| format!("--certificate-authority-data={}", base64(pem.as_bytes()))),
    );
    args.extend(extra_scopes.iter().map(|scope| format!("--oidc-extra-scope={scope}")));
    json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "kubectl",
        "args": args,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": false,
        "installHint": "kubectl oidc-login is needed to log in: kubectl krew install oidc-login (https://github.com/int128/kubelogin)",
    })
}

/// A warning about a subject that no login matches. A missing prefix is the most common mistake.
pub(crate) fn subject_warning(subject: &Subject, oidc: &OidcAccess) -> Option<String> {
    let (prefix, field) = match subject.kind {
        SubjectKind::User => (oidc.username_prefix.as_deref(), "usernamePrefix"),
        SubjectKind::Group => (oidc.groups_prefix.as_deref(), "groupsPrefix"),
        SubjectKind::ServiceAccount => {
            return Some(format!("{subject} is a ServiceAccount, which cannot log in: use --auth token"));
        }
    };
    let prefix = prefix.filter(|prefix| !prefix.is_empty())?;
    (!subject.name.starts_with(prefix)).then(|| {
        let name = &subject.name;
        format!(
            "the API server adds the prefix {prefix:?} to names from {} ({field}), but this space is bound to {name:?}: the login will have no access; the subject should be {prefix}{name}",
            oidc.issuer_url
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc() -> OidcAccess {
        OidcAccess {
            issuer_url: "https://login.example.com".into(),
            client_id: "kubectl".into(),
            username_prefix: Some("oidc:".into()),
            groups_prefix: Some("grp:".into()),
            certificate_authority: None,
            extra_scopes: vec!["email".into()],
        }
    }

    #[test]
    fn flags_override_the_parameters_of_the_class() {
        let overrides = Overrides { client_id: Some("cli".into()), ..Overrides::default() };
        let expected = OidcAccess { client_id: "cli".into(), ..oidc() };
        assert_eq!(parameters("standard", Some(&oidc()), &overrides), Ok(expected));
        assert_eq!(parameters("standard", None, &overrides), Err(MissingOidcSettings { class: "standard".into() }));
    }

    #[test]
    fn a_login_has_pkce_and_no_secret() {
        let entry = exec_entry(&oidc());
        let expected = [
            "oidc-login",
            "get-token",
            "--oidc-issuer-url=https://login.example.com",
            "--oidc-client-id=kubectl",
            "--oidc-pkce-method=S256",
            "--oidc-extra-scope=email",
        ];
        assert_eq!(entry["args"], json!(expected));
        assert!(!entry.to_string().contains("secret"));
    }

    #[test]
    fn the_certificate_authority_of_the_class_is_used_for_its_issuer_only() {
        let private = OidcAccess { certificate_authority: Some("PEM".into()), ..oidc() };
        let args = exec_entry(&parameters("standard", Some(&private), &Overrides::default()).unwrap())["args"].clone();
        assert!(args.as_array().unwrap().contains(&json!("--certificate-authority-data=UEVN")), "{args}");
        let other = Overrides { issuer_url: Some("https://other.example.com".into()), ..Overrides::default() };
        assert_eq!(parameters("standard", Some(&private), &other).unwrap().certificate_authority, None);
    }

    #[test]
    fn a_missing_prefix_is_a_warning() {
        let subject = |kind, name: &str| Subject { kind, name: name.into(), namespace: None };
        assert_eq!(subject_warning(&subject(SubjectKind::User, "oidc:nadia@example.com"), &oidc()), None);
        assert_eq!(subject_warning(&subject(SubjectKind::Group, "grp:botany"), &oidc()), None);
        let warning = subject_warning(&subject(SubjectKind::User, "nadia@example.com"), &oidc()).unwrap();
        assert!(warning.contains("should be oidc:nadia@example.com"), "{warning}");
        assert!(subject_warning(&subject(SubjectKind::Group, "botany"), &oidc()).is_some());
        assert!(subject_warning(&subject(SubjectKind::ServiceAccount, "robot"), &oidc()).is_some());
        let bare = OidcAccess { username_prefix: None, ..oidc() };
        assert_eq!(subject_warning(&subject(SubjectKind::User, "nadia@example.com"), &bare), None);
    }
}
