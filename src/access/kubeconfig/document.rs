//! A kubeconfig with one cluster, one user, and one context whose namespace is that of a space,
//! see <https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/>.

use serde_json::{Value, json};

use super::error::Error;
use crate::{access::encoding::base64, api::names};

/// The credential of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Credential {
    /// A client certificate and its key, PEM.
    Certificate { certificate: String, key: String },
    /// A bearer token.
    Token(String),
    /// A credential plugin that kubectl runs, as in `users[].user.exec`.
    Exec(Value),
}

/// The space and the user of a kubeconfig.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpaceUser<'a> {
    /// The space, which is the context's name and its namespace.
    pub space: &'a str,
    /// The user's name as the cluster knows it.
    pub user: &'a str,
}

/// A whole kubeconfig.
pub(crate) fn document(space_user: SpaceUser<'_>, cluster: &Value, credential: &Credential) -> Value {
    let SpaceUser { space, user } = space_user;
    let user_entry = match credential {
        Credential::Certificate { certificate, key } => {
            json!({"client-certificate-data": base64(certificate.as_bytes()), "client-key-data": base64(key.as_bytes())})
        }
        Credential::Token(token) => json!({"token": token}),
        Credential::Exec(exec) => json!({"exec": exec}),
    };
    let server = cluster["server"].as_str().unwrap_or_default();
    let address = server.split_once("://").map_or(server, |(_, address)| address).trim_end_matches('/');
    let (cluster_name, user_name) = (format!("{space}@{address}"), format!("{space}/{user}"));
    // Identifies the entries that the plugin wrote.
    let mark = json!([{"name": names::GROUP, "extension": {"space": space, "server": server}}]);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user_name, "user": user_entry}],
        "contexts": [{"name": space, "context": {"cluster": cluster_name, "user": user_name, "namespace": space, "extensions": mark}}],
        "current-context": space,
    })
}

/// The text of a kubeconfig.
pub(crate) fn to_yaml(document: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(document).map_err(|error| Error::Yaml(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_has_the_namespace() {
        let extensions = json!([{"name": "developerspace.dev", "extension": {"space": "orchid-lab", "server": "https://127.0.0.1:6443"}}]);
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "orchid-lab@127.0.0.1:6443", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="}}],
            "users": [{"name": "orchid-lab/nadia@example.com", "user": {"token": "secret-7"}}],
            "contexts": [{"name": "orchid-lab", "context": {
                "cluster": "orchid-lab@127.0.0.1:6443", "user": "orchid-lab/nadia@example.com", "namespace": "orchid-lab", "extensions": extensions,
            }}],
            "current-context": "orchid-lab",
        });
        let cluster = json!({"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="});
        let space_user = SpaceUser { space: "orchid-lab", user: "nadia@example.com" };
        assert_eq!(document(space_user, &cluster, &Credential::Token("secret-7".into())), expected);
    }
}
