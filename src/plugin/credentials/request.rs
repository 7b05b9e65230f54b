//! A request for a credential, and the authentication method that follows from it. All of it is known before the space
//! exists.

use anyhow::bail;
use kube::config::Cluster as Endpoint;
use serde_json::Value;

use super::{
    args::{Auth, IssueArgs},
    holder::Holder,
};
use crate::{
    access::{
        kubeconfig, oidc,
        token::{self, ACCOUNT},
    },
    api::{Access, AccessMethod, OidcAccess},
    desired::credential_lifetime::check_method,
    plugin::class_in_force::ClassInForce,
};

/// A request for a credential of a space.
#[derive(Clone, Copy)]
pub(crate) struct CredentialRequest<'a> {
    /// The name of the space.
    pub(crate) space: &'a str,
    /// The class of the space; `None` if it is not known.
    pub(crate) class: Option<ClassInForce<'a>>,
    /// The user that the credential is for.
    pub(crate) holder: &'a Holder,
    /// The arguments of the command.
    pub(crate) args: &'a IssueArgs,
}

impl<'a> CredentialRequest<'a> {
    /// The name of the class; empty if there is none.
    pub(super) fn class_name(&self) -> &'a str {
        self.class.map_or("", |class| class.name)
    }

    /// The settings of the class for access to its spaces.
    pub(super) fn access(&self) -> Option<&'a Access> {
        self.class.and_then(ClassInForce::access)
    }

    /// The method of --auth, or the first one that the class allows and that gives the holder access. A token belongs
    /// to the ServiceAccount of the space, so it is a default for the owner only.
    pub(super) fn method(&self) -> anyhow::Result<AccessMethod> {
        let (access, holder) = (self.access(), self.holder);
        let usable = |method| check_method("", access, method).is_ok();
        Ok(match self.args.auth {
            Some(Auth::Cert) => AccessMethod::Certificate,
            Some(Auth::Oidc) => AccessMethod::Oidc,
            Some(Auth::Token) => AccessMethod::Token,
            None if access.is_some_and(|access| access.oidc.is_some()) && usable(AccessMethod::Oidc) => {
                AccessMethod::Oidc
            }
            None if usable(AccessMethod::Certificate) && (holder.by_name || !usable(AccessMethod::Token)) => {
                AccessMethod::Certificate
            }
            None if holder.is_owner() || !usable(AccessMethod::Token) => AccessMethod::Token,
            None => {
                let subject = &holder.subject;
                let why = if usable(AccessMethod::Certificate) {
                    format!("{subject} has access only through a group, so no certificate can be issued")
                } else {
                    format!("SpaceClass {} allows access by token only", self.class_name())
                };
                bail!(
                    "{why}, and a token belongs to ServiceAccount {ACCOUNT} of the space, not to {subject}: to get one with the role of \
                    that member, set --auth token, and --role for another role, or ask the owner to run this command with --for"
                )
            }
        })
    }

    /// The parameters of a login at the identity provider.
    pub(super) fn oidc_parameters(&self) -> Result<OidcAccess, oidc::MissingOidcSettings> {
        oidc::parameters(
            self.class_name(),
            self.access().and_then(|access| access.oidc.as_ref()),
            &self.args.oidc_overrides(),
        )
    }

    /// The name by which the cluster knows the holder of the credential.
    pub(super) fn user_name(&self, method: AccessMethod) -> String {
        match method {
            AccessMethod::Token => token::user_name(self.space),
            AccessMethod::Certificate | AccessMethod::Oidc => self.holder.subject.name.clone(),
        }
    }

    pub(super) fn cluster_entry(&self, endpoint: &Endpoint) -> Result<Value, kubeconfig::Error> {
        kubeconfig::cluster_entry(endpoint, self.access().and_then(|access| access.server.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::SpaceClass,
        plugin::{
            credentials::args::issue_args,
            fixtures::{a_space, user},
        },
    };

    fn class(spec: Value) -> SpaceClass {
        SpaceClass::new("greenhouse", serde_json::from_value(spec).unwrap())
    }

    fn request<'a>(class: Option<ClassInForce<'a>>, holder: &'a Holder, args: &'a IssueArgs) -> CredentialRequest<'a> {
        CredentialRequest { space: "orchid-lab", class, holder, args }
    }

    #[test]
    fn a_token_is_the_default_of_the_owner_only() {
        let space = a_space();
        let owner = Holder::owner(space.spec.owner.clone());
        let member = Holder::named(&space, &space.spec.members[0].subject()).unwrap();
        let oidc = json!({"issuerURL": "https://login.example.com", "clientID": "kubectl"});
        for (access, asked, owners, members) in [
            (json!({"oidc": oidc}), "", Some(AccessMethod::Oidc), Some(AccessMethod::Oidc)),
            (json!({}), "", Some(AccessMethod::Certificate), Some(AccessMethod::Certificate)),
            (json!({"methods": ["Token"]}), "", Some(AccessMethod::Token), None),
            (json!({"methods": ["Token"]}), "--auth token", Some(AccessMethod::Token), Some(AccessMethod::Token)),
            (
                json!({"methods": ["Token"]}),
                "--auth cert",
                Some(AccessMethod::Certificate),
                Some(AccessMethod::Certificate),
            ),
        ] {
            let class = class(json!({"access": access}));
            let args = issue_args(&format!("{asked} -o -"));
            let chosen = |holder| request(Some(ClassInForce::new(&class)), holder, &args).method().ok();
            assert_eq!((chosen(&owner), chosen(&member)), (owners, members), "{access} {asked}");
        }
    }

    #[test]
    fn a_certificate_is_not_the_default_for_access_through_a_group() {
        let space = a_space();
        let mut member = Holder::named(&space, &space.spec.members[0].subject()).unwrap();
        let mut owner = Holder::owner(user("omar@example.com"));
        (member.by_name, owner.by_name) = (false, false);
        let oidc = json!({"issuerURL": "https://login.example.com", "clientID": "kubectl"});
        for (access, owners, members) in [
            (json!({"oidc": oidc}), Some(AccessMethod::Oidc), Some(AccessMethod::Oidc)),
            (json!({}), Some(AccessMethod::Token), None),
            // The error then reports that the access is through a group.
            (json!({"methods": ["Certificate"]}), Some(AccessMethod::Certificate), Some(AccessMethod::Certificate)),
        ] {
            let class = class(json!({"access": access}));
            let args = issue_args("-o -");
            let chosen = |holder| request(Some(ClassInForce::new(&class)), holder, &args).method().ok();
            assert_eq!((chosen(&owner), chosen(&member)), (owners, members), "{access}");
        }
        let error = request(None, &member, &issue_args("-o -")).method().unwrap_err().to_string();
        let expected = "Group:zoology has access only through a group, so no certificate can be issued, and a token belongs to \
            ServiceAccount ci of the space, not to Group:zoology: to get one with the role of that member, set --auth token, and --role \
            for another role, or ask the owner to run this command with --for";
        assert_eq!(error, expected);
    }
}
