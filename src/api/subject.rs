//! Subjects of a space: its owner and its members, as RBAC names them.
//!
//! `kubectl explain dspace.spec` shows the doc comments of fields, so they are written for its users.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// The CEL rules that `Subject` and `Member` share, each with its message unless the message differs.

/// The namespace belongs to a ServiceAccount only.
const NAMESPACE_OF_SERVICE_ACCOUNT: (&str, &str) = (
    "self.kind == 'ServiceAccount' ? has(self.__namespace__) : !has(self.__namespace__)",
    "namespace is required for a ServiceAccount, and not allowed for a User or a Group",
);

/// Names of Kubernetes itself are refused.
const NO_SYSTEM_NAME: (&str, &str) = (
    "!self.name.startsWith('system:')",
    "names that begin with system: belong to Kubernetes; use a user or a group of your identity provider, or use kind ServiceAccount with name and namespace",
);

/// The name of a ServiceAccount is a DNS subdomain.
const NAME_OF_SERVICE_ACCOUNT: (&str, &str) = (
    "self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "a ServiceAccount's name must consist of lower-case letters, digits, dashes and dots, begin and end with a letter or digit, and have a letter or digit on both sides of each dot",
);

/// The name of a namespace is a DNS label.
const NAMESPACE_NAME: (&str, &str) = (
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "namespace must be a valid namespace name: lower-case letters, digits and dashes",
);

/// A name has no control characters, no invisible ones, and no spaces around it.
const VISIBLE_NAME: &str =
    r"self.matches('^[^\\p{Cc}\\p{Cf}\\p{Z}]([^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]*[^\\p{Cc}\\p{Cf}\\p{Z}])?$')";

/// A User, Group or ServiceAccount.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = NAMESPACE_OF_SERVICE_ACCOUNT)]
#[x_kube(validation = NO_SYSTEM_NAME)]
#[x_kube(validation = NAME_OF_SERVICE_ACCOUNT)]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// Name of the subject as the API server authenticates it, with the prefix of your identity provider if it has one,
    /// for example alice@example.com or oidc:alice@example.com.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(VISIBLE_NAME).message("write the name without control or invisible characters and without spaces around it, for example alice@example.com"))]
    pub name: String,

    /// Namespace of the ServiceAccount. Not allowed for users and groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = NAMESPACE_NAME)]
    pub namespace: Option<String>,
}

/// A subject with access to the namespace, and its role.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = NAMESPACE_OF_SERVICE_ACCOUNT)]
#[x_kube(validation = NO_SYSTEM_NAME)]
#[x_kube(validation = NAME_OF_SERVICE_ACCOUNT)]
pub struct Member {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// Name of the subject as the API server authenticates it, with the prefix of your identity provider if it has one.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(VISIBLE_NAME).message("write the name without control or invisible characters and without spaces around it, for example payments"))]
    pub name: String,

    /// Namespace of the ServiceAccount. Not allowed for users and groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = NAMESPACE_NAME)]
    pub namespace: Option<String>,

    /// Name of an entry of the class's roles, for example view.
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
}

impl Member {
    /// The subject that gets the role.
    pub fn subject(&self) -> Subject {
        Subject { kind: self.kind, name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// Kinds of subject that RBAC knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum SubjectKind {
    /// A person, as the cluster's authentication names them.
    User,
    /// A group, as the cluster's authentication names it.
    Group,
    /// A ServiceAccount in some namespace.
    ServiceAccount,
}

impl SubjectKind {
    /// The kind as RBAC spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServiceAccount => "ServiceAccount",
        }
    }
}

/// `User:alice@example.com`, `Group:payments`, `ServiceAccount:ns/name`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}:{namespace}/{}", self.kind.as_str(), self.name),
            None => write!(f, "{}:{}", self.kind.as_str(), self.name),
        }
    }
}
