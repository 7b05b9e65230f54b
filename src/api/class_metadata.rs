//! The rules of a `SpaceClass` for names, labels, annotations and contacts.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metadata of the namespaces of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassMetadata {
    /// Labels of every namespace of the class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::label_map")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of every namespace of the class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::annotation_map")]
    pub annotations: BTreeMap<String, String>,
    /// Keys that a space can set in spec.labels and spec.annotations: exact keys, or a prefix and a star, for example
    /// example.com/*. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 317)))]
    pub allowed_keys: Vec<String>,
    /// Fields of spec.contact that every new space must set, from team, email, chat, url and costCenter. An existing
    /// space that lacks one stays Ready, and its message asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required_contact: Vec<ContactField>,
}

/// A field of spec.contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContactField {
    /// contact.team.
    Team,
    /// contact.email.
    Email,
    /// contact.chat.
    Chat,
    /// contact.url.
    Url,
    /// contact.costCenter.
    CostCenter,
}

/// Names that spaces of a class may have.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRules {
    /// Names that are allowed; each * matches any sequence of characters. Default: any. A name without a dash, or one
    /// that begins with xn--, is allowed only if it is listed here literally, because it could resolve as a top-level
    /// domain in DNS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub allowed: Vec<String>,
    /// Names that are refused; each * matches any sequence of characters. A name that any class admits in
    /// network.allowFromNamespaces is refused as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub denied: Vec<String>,
}
