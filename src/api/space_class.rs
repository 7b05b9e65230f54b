//! The `SpaceClass` kind: the rules that an administrator sets for spaces.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    access::Access,
    class_metadata::{ClassMetadata, NameRules},
    conditions, names,
    quantity::Quantity,
};

/// Rules for the spaces of this class.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, kube(cel))]
#[kube(
    group = "developerspace.dev",
    version = "v1alpha1",
    kind = "SpaceClass",
    plural = "spaceclasses",
    singular = "spaceclass",
    shortname = "spclass",
    status = "SpaceClassStatus",
    derive = "PartialEq",
    doc = "A SpaceClass defines what an administrator allows for DeveloperSpaces: roles, quota, limits, isolation and lifetime. The annotation developerspace.dev/is-default-class: \"true\" makes it the default class, for spaces that set no className. A change of the class applies to all its spaces.",
    printcolumn(
        name = "Default",
        type_ = "string",
        json_path = r".metadata.annotations.developerspace\.dev/is-default-class",
        description = "Whether this is the default class"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#,
        description = "Whether spaces can use this class"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#),
    printcolumn(name = "TTL", type_ = "string", json_path = ".spec.lifetime.defaultTTL"),
    printcolumn(name = "Max TTL", type_ = "string", json_path = ".spec.lifetime.maxTTL"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SpaceClassSpec {
    /// Purpose of the class, at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// Role of the owner of a space: the name of an entry of roles, or otherwise the name of a ClusterRole. Default:
    /// edit.
    #[serde(default = "default_owner_role")]
    #[schemars(length(min = 1, max = 253))]
    pub owner_role: String,

    /// Roles that members can have. The operator must be allowed to bind each ClusterRole (by default edit, view and
    /// admin). At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<Role>,

    /// Limits on the total resource usage of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<ClassQuota>,

    /// Limits and defaults of containers, pods and volume claims. If the quota limits cpu or memory, the operator adds
    /// the defaults that are missing here, so that a plain `kubectl create deployment` is admitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub limit_range: Vec<LimitRangeItem>,

    /// Network isolation of a space from other namespaces.
    #[serde(default)]
    pub network: Network,

    /// Pod Security levels of the namespace. Default: no level is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,

    /// Lifetime of the spaces of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,

    /// Labels and annotations of the namespaces, and required contacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ClassMetadata>,

    /// Names that spaces of this class may have. Default: any name with a dash. Existing spaces keep their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NameRules>,

    /// Maximum number of spaces of this class for each owner. A space counts until its namespace is deleted; an expired
    /// space that is only kept for reading does not count. A namespace that was released by Retain also counts.
    /// Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_spaces_per_owner: Option<i32>,

    /// Allows owners to transfer their spaces to another owner by changing spec.owner (requires the policies in
    /// config/policy). Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_transfer: bool,

    /// Allows owners to set deletionPolicy: Retain, which keeps the namespace when its DeveloperSpace is deleted.
    /// Without it, such a deletion waits. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_retain: bool,

    /// Access of users to spaces of this class: the credentials that `kubectl dspace onboard` can issue, and the
    /// settings that it writes to kubeconfigs. Default: all three methods, each with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

impl SpaceClass {
    /// The spec in force: the current one once it is accepted in its generation, until then the one last accepted.
    /// `None` if none was ever accepted. A ClusterRole that does not exist affects only the bindings to it.
    pub fn in_force(&self) -> Option<&SpaceClassSpec> {
        let status = self.status.as_ref()?;
        let accepted = conditions::find(&status.conditions, conditions::types::ACCEPTED);
        let present = accepted.is_some_and(|accepted| {
            accepted.observed_generation == self.metadata.generation
                && (accepted.status == "True" || accepted.reason == conditions::accepted::ROLE_NOT_FOUND)
        });
        if present { Some(&self.spec) } else { status.accepted.as_ref() }
    }
}

impl SpaceClassSpec {
    /// The organizations that the class allows in certificates.
    pub fn certificate_organizations(&self) -> &[String] {
        let terms = self.access.as_ref().and_then(|access| access.certificate.as_ref());
        terms.map(|terms| terms.organizations.as_slice()).unwrap_or_default()
    }
}

/// Returns true if the metadata of a SpaceClass mark it as the default, for spaces that set no className.
pub fn is_default_class(metadata: &ObjectMeta) -> bool {
    let annotation =
        metadata.annotations.as_ref().and_then(|annotations| annotations.get(names::ANNOTATION_DEFAULT_CLASS));
    annotation.is_some_and(|value| value == "true")
}

fn default_owner_role() -> String {
    "edit".to_owned()
}

/// A role of members, and its ClusterRole.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Name of the role in spec.members[].role of a space, for example view. It becomes part of the name of the
    /// RoleBinding.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("a role's name must consist of lower-case letters, digits and dashes, and begin and end with a letter or digit, for example view"))]
    #[x_kube(validation = Rule::new("self != 'owner'").message("the name owner is reserved for the RoleBinding of the owner; set the owner's role in ownerRole, and choose another name here"))]
    pub name: String,
    /// ClusterRole that the members get, in the namespace of their space only.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_role: String,
}

/// Limits on the total resource usage of a namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassQuota {
    /// Limits of each space, as in a ResourceQuota, for example {requests.cpu: "10", requests.memory: 100Gi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::resource_list")]
    pub hard: BTreeMap<String, Quantity>,
    /// Maximum values that a space can set in spec.quota, by resource. Only resources that hard contains. Default: the
    /// value in hard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::resource_list")]
    pub max: BTreeMap<String, Quantity>,
}

/// Limits and defaults for one type of object, as in a Kubernetes LimitRange.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRangeItem {
    /// Container, Pod or PersistentVolumeClaim.
    #[serde(rename = "type")]
    pub type_: LimitType,
    /// Limits of a container that sets none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub default: BTreeMap<String, Quantity>,
    /// Requests of a container that sets none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub default_request: BTreeMap<String, Quantity>,
    /// Maximum for each object, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub max: BTreeMap<String, Quantity>,
    /// Minimum for each object, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub min: BTreeMap<String, Quantity>,
    /// Maximum ratio of the limit to the request of each object, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub max_limit_request_ratio: BTreeMap<String, Quantity>,
}

/// The kind of object that a `LimitRangeItem` limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum LimitType {
    /// Each container of a pod.
    Container,
    /// A pod, its containers added up.
    Pod,
    /// A claim for storage.
    PersistentVolumeClaim,
}

/// Network isolation of a space from other namespaces.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enforced || self.isolation == 'Namespace'").message("enforced: true requires isolation: Namespace"))]
pub struct Network {
    /// Namespace: pods accept traffic only from their own namespace and from allowFromNamespaces. None: pods accept
    /// traffic from everywhere. Default: Namespace.
    #[serde(default)]
    pub isolation: Isolation,
    /// If true, the owner of a space cannot allow further traffic with a NetworkPolicy of their own (requires the
    /// policies in config/policy). Default: false.
    #[serde(default)]
    pub enforced: bool,
    /// Namespaces whose pods can reach the space, selected by label, for example the namespace of the ingress
    /// controller. At most 32 selectors. Ignored if isolation is None. The selectors must not use labels that owners of
    /// spaces can set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::selectors")]
    pub allow_from_namespaces: Vec<LabelSelector>,
}

/// The isolation of a space in the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Isolation {
    /// Not at all.
    None,
    /// From other namespaces.
    #[default]
    Namespace,
}

/// Pod Security levels, see <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// Pods below this level are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce: Option<PodSecurityLevel>,
    /// Pods below this level are recorded in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<PodSecurityLevel>,
    /// Pods below this level are admitted with a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<PodSecurityLevel>,
}

/// A Pod Security level.
// In order: each level is stricter than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// A description here would replace that of each field in the schema, because the fields are optional.
#[schemars(description = "")]
pub enum PodSecurityLevel {
    /// Everything is allowed.
    Privileged,
    /// Known ways to break out are refused.
    Baseline,
    /// Hardened pods only.
    Restricted,
}

/// Lifetime of the spaces of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// The ttl of spaces that set none, for example 7d. Default: maxTTL. If neither is set, such spaces expire only by
    /// maxLifetime.
    #[serde(rename = "defaultTTL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::ttl")]
    pub default_ttl: Option<String>,
    /// Maximum ttl, counted from the creation or the last renewal of a space, for example 30d. Default: no limit.
    #[serde(rename = "maxTTL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_ttl: Option<String>,
    /// Maximum lifetime of a space, counted from its creation regardless of renewals, for example 180d. It also limits
    /// spaces with ttl: never. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_lifetime: Option<String>,
    /// Allows owners to set ttl: never. Default: false.
    #[serde(default)]
    pub allow_never: bool,
    /// Allows owners to set protected: true, which prevents the expiry and the deletion of a space. When this is
    /// withdrawn, protected spaces get a notice of the longest warnBefore, and of at least 7 days. Default: false.
    #[serde(default)]
    pub allow_protected: bool,
    /// Times before the expiry of a space at which its users are warned, for example [2d, 12h, 1h]. Default: no
    /// warnings. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::durations")]
    pub warn_before: Vec<String>,
    /// Time for which an expired DeveloperSpace is kept for reading after its namespace was deleted. Default: 7d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub retain_expired: Option<String>,
}

/// The state of a class as the operator last reported it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceClassStatus {
    /// The metadata.generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: whether spaces can use the current spec of the class, and the reason if not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The last accepted spec. While the current spec is refused, this one applies to the spaces of this class,
    /// including new ones.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::any_object")]
    pub accepted: Option<SpaceClassSpec>,
}

/// A spec that an older version accepted and this one cannot read counts as none, so that the class itself can be read.
fn readable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SpaceClassSpec>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
