//! An expiring token of a ServiceAccount in the space, for CI,
//! see <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>.

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::api::{Member, SubjectKind, time::from_k8s};

/// Name of the ServiceAccount in the space.
pub(crate) const ACCOUNT: &str = "ci";

/// The reason why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}")]
pub(crate) struct Error {
    action: String,
    /// The error of the API server.
    #[source]
    pub source: Box<kube::Error>,
}

impl Error {
    fn failed_to(action: String) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self { action, source: Box::new(source) }
    }

    /// The action that failed.
    pub(crate) fn action(&self) -> &str {
        &self.action
    }
}

/// A token and its end.
#[derive(Clone, Debug)]
pub(crate) struct IssuedToken {
    /// The bearer token.
    pub token: String,
    /// The end of its validity, which the server may have set sooner than was asked for.
    pub expires_at: DateTime<Utc>,
}

/// The member by which the operator binds the account in the namespace `space`.
pub(crate) fn member(space: &str, role: &str) -> Member {
    Member {
        kind: SubjectKind::ServiceAccount,
        name: ACCOUNT.to_owned(),
        namespace: Some(space.to_owned()),
        role: role.to_owned(),
    }
}

/// The name by which the cluster knows the account in the namespace `space`.
pub(crate) fn user_name(space: &str) -> String {
    format!("system:serviceaccount:{space}:{ACCOUNT}")
}

/// Creates the ServiceAccount if it does not exist.
pub(crate) async fn ensure_account(client: &Client, space: &str) -> Result<(), Error> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), space);
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some(ACCOUNT.to_owned()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    match api.create(&PostParams::default(), &account).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(Error::failed_to(format!("create ServiceAccount {ACCOUNT} in namespace {space}"))(error)),
    }
}

/// Asks for a new token, which expires with its ServiceAccount at the latest.
pub(crate) async fn request_token(
    client: &Client,
    space: &str,
    lifetime: TimeDelta,
    now: DateTime<Utc>,
) -> Result<IssuedToken, Error> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), space);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(lifetime.num_seconds()),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let response = api.create_token_request(ACCOUNT, &PostParams::default(), &request).await;
    let status = response
        .map_err(Error::failed_to(format!("get a token of ServiceAccount {ACCOUNT} in namespace {space}")))?
        .status
        .unwrap_or_default();
    let expires_at = status.expiration_timestamp.as_ref().and_then(from_k8s).unwrap_or(now + lifetime);
    Ok(IssuedToken { token: status.token.unwrap_or_default(), expires_at })
}
