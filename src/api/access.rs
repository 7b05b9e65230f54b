//! `spec.access` of a `SpaceClass`: the ways in which users get access to spaces of the class.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CEL rule of a certificate, with its message.
const PEM: (&str, &str) = (
    "self.startsWith('-----BEGIN CERTIFICATE-----')",
    "certificateAuthority must be a certificate in PEM format, which begins with -----BEGIN CERTIFICATE-----",
);

/// Access of users to spaces of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.methods) || !('OIDC' in self.methods) || has(self.oidc)").message("methods contains OIDC: set the issuer and the client in oidc, or remove OIDC from methods"))]
pub struct Access {
    /// Allowed access methods: Certificate, OIDC, Token. Default, also if the list is empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub methods: Vec<AccessMethod>,
    /// Client certificates. They cannot be revoked, so keep their validity short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateAccess>,
    /// The identity provider that the API server trusts. If it is omitted, access by OIDC requires the issuer and the
    /// client on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcAccess>,
    /// Tokens of a ServiceAccount in the space, for CI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenAccess>,
    /// Connection to the API server in the kubeconfigs that are issued. Default: as in the kubeconfig of the user who
    /// issues them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerAccess>,
}

/// A method by which users authenticate to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum AccessMethod {
    /// A client certificate of the cluster's own authority.
    Certificate,
    /// A login at the identity provider that the API server trusts.
    #[serde(rename = "OIDC")]
    Oidc,
    /// An expiring token of a ServiceAccount in the space.
    Token,
}

impl AccessMethod {
    /// All methods, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::Oidc, Self::Token];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certificate => "cert",
            Self::Oidc => "oidc",
            Self::Token => "token",
        }
    }
}

/// Client certificates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAccess {
    /// Maximum validity of a certificate, at least 10m, for example 8h. Default: 24h. A certificate is not valid beyond
    /// the expiry of the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_duration: Option<String>,
    /// Groups that every certificate for a space of this class contains (its organizations). Warning: each user with
    /// such a certificate is in all of these groups, in the whole cluster, and cannot be removed from them before the
    /// certificate expires. Default: none, which is recommended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(group, !group.startsWith('system:'))").message("groups that begin with system: belong to Kubernetes and are not allowed in certificates"))]
    pub organizations: Vec<String>,
}

/// An identity provider, see
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens>.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcAccess {
    /// URL of the issuer, as in the configuration of the API server, for example `https://login.example.com`.
    #[serde(rename = "issuerURL")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("issuerURL must begin with https://"))]
    pub issuer_url: String,
    /// ID of the public client at the issuer with which kubectl logs in. The client has no secret; kubectl uses PKCE
    /// instead.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// Prefix that the API server adds to user names, for example oidc:. spec.owner.name must contain it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub username_prefix: Option<String>,
    /// Prefix that the API server adds to group names, for example oidc:.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub groups_prefix: Option<String>,
    /// The certificate authority that signed the issuer's certificate, in PEM format. Default: the authorities that the
    /// developer's machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = PEM)]
    pub certificate_authority: Option<String>,
    /// Scopes to request in addition to openid, for example email or groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)))]
    pub extra_scopes: Vec<String>,
}

/// Tokens of a ServiceAccount.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenAccess {
    /// Maximum validity of a token, at least 10m, for example 8h. Default: 24h. A token is not valid beyond the expiry
    /// of the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_duration: Option<String>,
}

/// Connection to the API server.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerAccess {
    /// URL of the API server for developers: https, a host name, and a port if it is not 443, for example
    /// `https://api.example.com:6443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("url must begin with https://"))]
    pub url: Option<String>,
    /// The certificate authority that signed the server's certificate, in PEM format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = PEM)]
    pub certificate_authority: Option<String>,
    /// The name in the server's certificate, if it differs from the host name in url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
}
