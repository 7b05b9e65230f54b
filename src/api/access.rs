//! `spec.access` of a `SpaceClass`: the ways in which users get access to spaces of the class.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How people get into spaces of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.methods) || !('OIDC' in self.methods) || has(self.oidc)").message("methods names OIDC: say which issuer and client in oidc, or leave OIDC out"))]
pub struct Access {
    /// The ways that are allowed: Certificate, OIDC, Token. Left out or empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub methods: Vec<AccessMethod>,
    /// Client certificates. They cannot be revoked: keep them short-lived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateAccess>,
    /// The identity provider that the API server trusts. Without it OIDC needs the issuer and the client on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcAccess>,
    /// Tokens of a ServiceAccount in the space, for CI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenAccess>,
    /// How the API server is reached. Left out: as in the kubeconfig of whoever issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerAccess>,
}

/// A way into a space.
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

/// Client certificates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAccess {
    /// The longest that one is valid, at least 10m. Left out: 24h. It never outlives the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_duration: Option<String>,
    /// Groups that a certificate may name (its organizations). Left out: none, which is best: nobody can leave such a group before the certificate ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    #[x_kube(validation = Rule::new("self.all(group, !group.startsWith('system:'))").message("groups that begin with system: belong to Kubernetes and are never put into a certificate"))]
    pub organizations: Vec<String>,
}

/// An identity provider, see <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens>.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcAccess {
    /// The issuer's address, as the API server is configured with it.
    #[serde(rename = "issuerURL")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("issuerURL begins with https://"))]
    pub issuer_url: String,
    /// The public client at the issuer that kubectl logs in with. It has no secret: PKCE takes its place.
    #[serde(rename = "clientID")]
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// What the API server puts before user names, for example oidc:. It must stand in spec.owner.name too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub username_prefix: Option<String>,
    /// What the API server puts before group names, for example oidc:.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub groups_prefix: Option<String>,
    /// The authority that signed the issuer's certificate, as PEM. Default: the authorities that the developer's machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.startsWith('-----BEGIN CERTIFICATE-----')").message("certificateAuthority is a certificate in PEM: it begins with -----BEGIN CERTIFICATE-----"))]
    pub certificate_authority: Option<String>,
    /// Scopes to ask for beside openid, for example email or groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)))]
    pub extra_scopes: Vec<String>,
}

/// Tokens of a ServiceAccount.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenAccess {
    /// The longest that one is valid, at least 10m. Left out: 24h. It never outlives the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_duration: Option<String>,
}

/// How the API server is reached.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerAccess {
    /// The address that developers use: https, a name, and a port if it is not 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('https://')").message("url begins with https://"))]
    pub url: Option<String>,
    /// The authority that signed the server's certificate, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.startsWith('-----BEGIN CERTIFICATE-----')").message("certificateAuthority is a certificate in PEM: it begins with -----BEGIN CERTIFICATE-----"))]
    pub certificate_authority: Option<String>,
    /// The name in the server's certificate, where it is not the one in url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
}
