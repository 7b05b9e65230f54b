//! The users who run commands and the users who log in, with the rights of each.

use e2e::{User, fixtures::cluster_role, oidc::Person};
use serde_json::{Value, json};

/// The public client at the issuer.
pub(crate) const CLIENT: &str = "kubectl-login";
/// The prefix that the API server adds to names from the issuer.
pub(crate) const PREFIX: &str = "oidc:";
/// Creates spaces for others, requests certificates and approves them: a help desk.
pub(crate) const RITA: &str = "rita@example.com";
/// Creates spaces for others and requests certificates, which another user has to approve: a portal.
pub(crate) const SVEN: &str = "sven@example.com";
/// Creates spaces for others and gets tokens of ServiceAccounts: the team that runs the pipelines.
pub(crate) const TILDA: &str = "tilda@example.com";
/// Has self-service for spaces of the class `standard`, and may request certificates for himself.
pub(crate) const UWE: &str = "uwe@example.com";
/// Has self-service for spaces of the class `standard`, and may request certificates for herself.
pub(crate) const VERA: &str = "vera@example.com";
/// Has no rights.
pub(crate) const WALT: &str = "walt@example.com";
/// A space of an owner who is none of these users.
pub(crate) const FOREIGN: &str = "zither-hall";

/// Erin at the issuer.
pub(crate) const ERIN: &str = "uid-31";
/// Frida at the issuer.
pub(crate) const FRIDA: &str = "uid-32";
/// Gerda at the issuer, whose address is not verified.
pub(crate) const GERDA: &str = "uid-33";

/// The users who can log in at the issuer.
pub(crate) fn login_users() -> Vec<Person> {
    vec![
        Person::new(ERIN, "erin@example.com", &["astronomers"]),
        Person::new(FRIDA, "frida@example.com", &["florists"]),
        Person { email_verified: false, ..Person::new(GERDA, "gerda@example.com", &["astronomers"]) },
    ]
}

/// The users who have a token.
pub(crate) fn token_users() -> Vec<User> {
    vec![
        User::new(RITA, &["help-desk"]),
        User::new(SVEN, &["portal"]),
        User::new(TILDA, &["pipelines"]),
        User::new(UWE, &["weavers"]),
        User::new(VERA, &["potters"]),
        User::new(WALT, &["strollers"]),
    ]
}

/// The ClusterRoles of the users.
pub(crate) fn role_assignments() -> [(&'static str, &'static str); 10] {
    [
        (RITA, "developerspace-editor"),
        (RITA, "certifies"),
        (SVEN, "developerspace-editor"),
        (SVEN, "developerspace-certificate-requester"),
        (TILDA, "developerspace-editor"),
        (TILDA, "issues-tokens"),
        (UWE, "developerspace-self-service"),
        (UWE, "developerspace-certificate-requester"),
        (VERA, "developerspace-self-service"),
        (VERA, "developerspace-certificate-requester"),
    ]
}

/// The ClusterRoles that are not shipped, which grant far less than an administrator has.
pub(crate) fn roles() -> [Value; 2] {
    let certificates = "certificates.k8s.io";
    [
        cluster_role(
            "certifies",
            &json!([
                {"apiGroups": [certificates], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "delete"]},
                {"apiGroups": [certificates], "resources": ["certificatesigningrequests/approval"], "verbs": ["update", "patch"]},
                {"apiGroups": [certificates], "resources": ["signers"], "resourceNames": ["kubernetes.io/kube-apiserver-client"], "verbs": ["approve"]},
                {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
            ]),
        ),
        cluster_role(
            "issues-tokens",
            &json!([{"apiGroups": [""], "resources": ["serviceaccounts", "serviceaccounts/token"], "verbs": ["create"]}]),
        ),
    ]
}

/// The spec of a class with the given `access`.
pub(crate) fn class_spec(access: &Value) -> Value {
    json!({
        "ownerRole": "edit",
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"requests.cpu": "4", "pods": "20"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "200m", "memory": "128Mi"}, "defaultRequest": {"cpu": "20m", "memory": "32Mi"}}],
        "lifetime": {"defaultTTL": "2d", "maxTTL": "7d"},
        "access": access,
    })
}
