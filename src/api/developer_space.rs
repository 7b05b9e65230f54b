//! The `DeveloperSpace` kind: the spec that a user writes, and the status that the operator reports.
//!
//! `kubectl explain dspace.spec` shows the doc comments of fields, so they are written for its users.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    quantity::Quantity,
    space_class::LimitRangeItem,
    space_status::DeveloperSpaceStatus,
    subject::{Member, Subject},
};

/// The CEL rule of a text that is one line without control characters.
const ONE_LINE: &str = r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]')";

/// Desired state of the space.
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
    doc = "A DeveloperSpace provides a namespace of the same name on a shared cluster. Its owner and members get access to the namespace, its SpaceClass sets the limits, the isolation and the lifetime, and the operator deletes the namespace when the space expires.",
    selectable = ".spec.className",
    selectable = ".spec.owner.name",
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner.name", description = "Owner of the space"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.className", description = "SpaceClass in force"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether the namespace and everything that belongs to it match the spec"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Reason of the Ready condition"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt", description = "Time at which the namespace is deleted; empty if the space does not expire"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Team", type_ = "string", json_path = ".spec.contact.team", priority = 1),
    printcolumn(name = "Namespace UID", type_ = "string", json_path = ".status.namespace.uid", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1),
    validation = Rule::new("oldSelf.hasValue() || (self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))")
        .message("metadata.name must be a valid namespace name: at most 63 lower-case letters, digits and dashes, beginning and ending with a letter or digit, for example alice-payments")
        .optional_old_self(true),
    validation = Rule::new("oldSelf.hasValue() || (self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-') && !self.metadata.name.startsWith('openshift-'))")
        .message("metadata.name must not be default, kube-* or openshift-*, which belong to the cluster: choose another name, for example alice-payments")
        .optional_old_self(true),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.conditions) || !oldSelf.status.conditions.exists(c, c.type == 'Expired' && c.status == 'True') || self.spec == oldSelf.spec")
        .message("this DeveloperSpace has expired (see status.expiresAt) and can no longer be changed or renewed: create a new one")
            .field_path(".spec")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.ttl) && has(self.expiresAt))").message("set ttl or expiresAt, not both"))]
pub struct DeveloperSpaceSpec {
    /// Name of the SpaceClass, which sets the roles, quota, limits, isolation and lifetime of the space. Default: the
    /// cluster's default class. It can be changed later; status.className is the class in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self != ''").message("className is empty: set it to the name of a SpaceClass (kubectl get spaceclasses), or omit it to use the default class"))]
    pub class_name: Option<String>,

    /// The subject that is accountable for the space. It gets the class's ownerRole in the namespace. The owner can
    /// change this field only if the class sets allowTransfer, and only after the space has got its namespace.
    pub owner: Subject,

    /// Other subjects with access to the namespace, each with a role of the class. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub members: Vec<Member>,

    /// Human-readable name of the space, at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(ONE_LINE).message("displayName must be one line of text without control characters"))]
    pub display_name: Option<String>,

    /// The purpose of the space, at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Contact for questions about this space. The operator writes it to annotations of the namespace. The class's
    /// metadata.requiredContact lists the fields that a new space must set.
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

    /// Time to live of the space, counted from its creation or its last renewal: whole numbers with the units w, d, h,
    /// m and s, largest first, for example 30m, 7d, 1d12h or 2w (a day has 24 hours). `never` is allowed only if the
    /// class sets lifetime.allowNever. Default: the class's lifetime.defaultTTL. status.expiresAt contains the
    /// resulting time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::ttl")]
    pub ttl: Option<String>,

    /// Time at which the space expires, in RFC 3339 format, for example 2026-12-01T00:00:00Z. Set either this field or
    /// ttl. The class's maxTTL and maxLifetime also apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::TIME))]
    pub expires_at: Option<DateTime<Utc>>,

    /// Renews the space: set it to the current time, and the ttl counts from this time. A time before the last renewal
    /// has no effect. A time more than 60 seconds in the future is refused, and has no effect until it is at most 60
    /// seconds in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = super::schema::TIME))]
    pub renewed_at: Option<DateTime<Utc>>,

    /// Overrides of the class's quota by resource name, up to the class's maximum, for example {requests.cpu: "4"}. At
    /// most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::resource_list")]
    pub quota: BTreeMap<String, Quantity>,

    /// Limits and defaults of containers, pods and volume claims, within the class's bounds. The class's max, min and
    /// maxLimitRequestRatio always apply. Default: the class's limitRange. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub limit_range: Vec<LimitRangeItem>,

    /// If true, the space does not expire and cannot be deleted until this field is set to false. Requires
    /// lifetime.allowProtected of the class; without it, this field has no effect and the spec is refused. Default:
    /// false.
    #[serde(default)]
    pub protected: bool,

    /// Delete: when this DeveloperSpace is deleted, its namespace is deleted with everything in it. Retain: the
    /// namespace is released instead. It keeps its contents, Pod Security labels, quota, limits and isolation, and
    /// loses the RoleBindings of the owner and the members. Retain requires allowRetain of the class; without it, the
    /// deletion waits. When the space expires, the namespace is always deleted. Default: Delete.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Contact for questions about a space.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Name of the team. If it is a valid label value, it is also the label developerspace.dev/team of the namespace,
    /// for example for cost reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(ONE_LINE).message("team must be one line of text without control characters"))]
    pub team: Option<String>,

    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^@\\s\\p{Cc}\\p{Cf}]+@[^@\\s\\p{Cc}\\p{Cf}]+$')").message("write an e-mail address, for example payments@example.com"))]
    pub email: Option<String>,

    /// A chat channel, for example "#payments".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(ONE_LINE).message("chat must be one line of text without control characters"))]
    pub chat: Option<String>,

    /// A web page about the team or the project, for example `https://wiki.example.com/payments`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(r"!self.matches('[\\p{Cc}\\p{Zl}\\p{Zp}]') && (!self.matches('^ *[A-Za-z][-+.A-Za-z0-9]*:') || self.matches('^[Hh][Tt][Tt][Pp][Ss]?://'))").message("write a web address, for example https://wiki.example.com/payments"))]
    pub url: Option<String>,

    /// Cost center of the space. If it is a valid label value, it is also the label developerspace.dev/cost-center of
    /// the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(ONE_LINE).message("costCenter must be one line of text without control characters"))]
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
