//! The `DeveloperSpace` kind: the spec that a user writes, and the status that the operator reports.
//!
//! `kubectl explain dspace.spec` shows the doc comments of fields, so they are written for its users.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{quantity::Quantity, space_class::LimitRangeItem, space_status::DeveloperSpaceStatus};

/// The space as its owner wants it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "developerspace.dev",
    version = "v1alpha1",
    kind = "DeveloperSpace",
    plural = "developerspaces",
    singular = "developerspace",
    shortname = "dspace",
    status = "DeveloperSpaceStatus",
    derive = "PartialEq",
    doc = "A DeveloperSpace is a place to work on a shared cluster: a namespace of the same name, bound to its owner and members, limited by its SpaceClass, isolated, and deleted when the space expires.",
    selectable = ".spec.className",
    selectable = ".spec.owner.name",
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner.name", description = "The accountable subject"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.className", description = "The class in force"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the namespace and its guard rails are in place"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why it is ready or not"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt", description = "When the namespace is deleted; empty means never"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Team", type_ = "string", json_path = ".spec.contact.team", priority = 1),
    printcolumn(name = "Namespace UID", type_ = "string", json_path = ".status.namespace.uid", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1),
    validation = Rule::new("oldSelf.hasValue() || (self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
        .message("metadata.name becomes the namespace's name: at most 63 lower-case letters, digits and dashes, beginning and ending with a letter or digit, for example alice-payments")
        .optional_old_self(true),
    validation = Rule::new("oldSelf.hasValue() || (self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-') && !self.metadata.name.startsWith('openshift-'))")
        .message("default, kube-* and openshift-* belong to the cluster: choose another name, for example alice-payments")
        .optional_old_self(true),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.conditions) || !oldSelf.status.conditions.exists(c, c.type == 'Expired' && c.status == 'True') || self.spec == oldSelf.spec")
        .message("this DeveloperSpace has expired (see status.expiresAt) and can no longer be changed or renewed: create a new one")
            .field_path(".spec")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.ttl) && has(self.expiresAt))").message("set ttl or expiresAt, not both"))]
pub struct DeveloperSpaceSpec {
    /// Name of the SpaceClass, which defines what the space may have. Default: the cluster's default class. It may be changed later; status.className is the class in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self != ''").message("className is empty: name a SpaceClass (kubectl get spaceclasses), or leave className out for the default class"))]
    pub class_name: Option<String>,

    /// The one accountable subject: it gets the class's ownerRole in the namespace. Its owner may change it only where the class sets allowTransfer, and once the space has its namespace.
    pub owner: Subject,

    /// Others with access to the namespace, each with a role of the class. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub members: Vec<Member>,

    /// A name for people, at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]')").message("displayName is one line of text without control characters"))]
    pub display_name: Option<String>,

    /// What the space is for, at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Contact for questions about this space. The operator writes it onto the namespace. The class's metadata.requiredContact lists the fields that a new space must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,

    /// Extra labels of the namespace. Only keys that the class's metadata.allowedKeys allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::label_map")]
    pub labels: BTreeMap<String, String>,

    /// Extra annotations of the namespace. Only keys that the class's metadata.allowedKeys allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::annotation_map")]
    pub annotations: BTreeMap<String, String>,

    /// How long the space lives, counted from its creation or the last renewal: whole numbers with the units w, d, h, m and s, largest first,
    /// such as 30m, 7d, 1d12h or 2w (a day is 24 hours). `never` only where the class sets lifetime.allowNever. Default: the class's lifetime.defaultTTL.
    /// status.expiresAt shows the resulting time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::ttl")]
    pub ttl: Option<String>,

    /// When the space ends, as an RFC 3339 time such as 2026-12-01T00:00:00Z. Set either this or ttl. The class's maxTTL and maxLifetime still cap it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::TIME))]
    pub expires_at: Option<DateTime<Utc>>,

    /// Renews the space: set it to the present time, and the ttl counts from then. A time before the last renewal changes nothing. A time more than 60 seconds ahead is refused and
    /// does not count until it is at most 60 seconds ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::TIME))]
    pub renewed_at: Option<DateTime<Utc>>,

    /// Overrides of the class's quota, by resource name, within the class's maximum: {requests.cpu: "4"}. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::resource_list")]
    pub quota: BTreeMap<String, Quantity>,

    /// Defaults of containers, pods and volume claims within the class's bounds. The class's max, min and maxLimitRequestRatio always hold. Default: the class's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub limit_range: Vec<LimitRangeItem>,

    /// True: the space does not expire, and it cannot be deleted until this is set back to false. Only where the class sets lifetime.allowProtected; elsewhere it has no effect and
    /// the spec is refused.
    #[serde(default)]
    pub protected: bool,

    /// Delete: when this DeveloperSpace is deleted, its namespace is deleted with everything in it. Retain: the namespace is released instead. It keeps its contents, Pod Security
    /// labels, quota, limits and isolation, and loses the RoleBindings of owner and members. Only where the class sets allowRetain; elsewhere the deletion waits. Expiry always deletes
    /// the namespace.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A User, Group or ServiceAccount.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind == 'ServiceAccount' ? has(self.__namespace__) : !has(self.__namespace__)").message("a ServiceAccount needs its namespace; a User or a Group has none"))]
#[x_kube(validation = Rule::new("!self.name.startsWith('system:')").message("names that begin with system: belong to Kubernetes; name a person or a group of your identity provider, or use kind ServiceAccount with name and namespace"))]
#[x_kube(validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("a ServiceAccount's name has lower-case letters, digits, dashes and dots only, and a letter or digit on both sides of each dot"))]
pub struct Subject {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// The name as the cluster knows it, with the prefix of your identity provider if it has one: alice@example.com, oidc:alice@example.com.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\p{Cc}\\p{Cf}\\p{Z}]([^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]*[^\\p{Cc}\\p{Cf}\\p{Z}])?$')").message("write the name without control or invisible characters and without spaces around it, for example alice@example.com"))]
    pub name: String,

    /// The namespace of a ServiceAccount. Not for users and groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("namespace is the name of a namespace: lower-case letters, digits and dashes"))]
    pub namespace: Option<String>,
}

/// Somebody else with access, and the role.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind == 'ServiceAccount' ? has(self.__namespace__) : !has(self.__namespace__)").message("a ServiceAccount needs its namespace; a User or a Group has none"))]
#[x_kube(validation = Rule::new("!self.name.startsWith('system:')").message("names that begin with system: belong to Kubernetes; name a person or a group of your identity provider, or use kind ServiceAccount with name and namespace"))]
#[x_kube(validation = Rule::new("self.kind != 'ServiceAccount' || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("a ServiceAccount's name has lower-case letters, digits, dashes and dots only, and a letter or digit on both sides of each dot"))]
pub struct Member {
    /// User, Group or ServiceAccount.
    pub kind: SubjectKind,

    /// The name as the cluster knows it, with the prefix of your identity provider if it has one.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\p{Cc}\\p{Cf}\\p{Z}]([^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]*[^\\p{Cc}\\p{Cf}\\p{Z}])?$')").message("write the name without control or invisible characters and without spaces around it, for example payments"))]
    pub name: String,

    /// The namespace of a ServiceAccount. Not for users and groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("namespace is the name of a namespace: lower-case letters, digits and dashes"))]
    pub namespace: Option<String>,

    /// The name of a role in the class's roles, for example view.
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
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

/// Contact for questions about a space.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The team. Where it is a valid label value it becomes the label developerspace.dev/team of the namespace, which cost tools read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]')").message("team is one line of text without control characters"))]
    pub team: Option<String>,

    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^@\\s\\p{Cc}\\p{Cf}]+@[^@\\s\\p{Cc}\\p{Cf}]+$')").message("write an e-mail address, for example payments@example.com"))]
    pub email: Option<String>,

    /// A chat channel, for example "#payments".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]')").message("chat is one line of text without control characters"))]
    pub chat: Option<String>,

    /// A page about the team or the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]') && (!self.matches('^ *[A-Za-z][-+.A-Za-z0-9]*:') || self.matches('^[Hh][Tt][Tt][Pp][Ss]?://'))").message("write a web address, for example https://wiki.example.com/payments"))]
    pub url: Option<String>,

    /// Where the cost goes. Where it is a valid label value it becomes the label developerspace.dev/cost-center of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]')").message("costCenter is one line of text without control characters"))]
    pub cost_center: Option<String>,
}

/// The fate of the namespace when its space is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The namespace is deleted with everything in it.
    #[default]
    Delete,
    /// The namespace stays, without the operator's RoleBindings and ownership marks.
    Retain,
}

impl Member {
    /// The subject that gets the role.
    pub fn subject(&self) -> Subject {
        Subject { kind: self.kind, name: self.name.clone(), namespace: self.namespace.clone() }
    }
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
