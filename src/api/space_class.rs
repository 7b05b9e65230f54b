//! The `SpaceClass` kind: the rules that an administrator sets for spaces.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    access::Access,
    class_metadata::{ClassMetadata, NameRules},
    conditions,
    quantity::Quantity,
};

/// What spaces of this class have and may have.
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
    doc = "A SpaceClass is what an administrator lets DeveloperSpaces have: roles, quota, limits, isolation and lifetime. The annotation developerspace.dev/is-default-class: \"true\" makes it the class of spaces that name none. A change reaches all spaces of the class.",
    printcolumn(
        name = "Default",
        type_ = "string",
        json_path = r".metadata.annotations.developerspace\.dev/is-default-class",
        description = "Whether it is the class of spaces that name none"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#,
        description = "Whether spaces may use it"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#),
    printcolumn(name = "TTL", type_ = "string", json_path = ".spec.lifetime.defaultTTL"),
    printcolumn(name = "Max TTL", type_ = "string", json_path = ".spec.lifetime.maxTTL"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Accepted")].message"#, priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct SpaceClassSpec {
    /// What the class is for, in a line or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,

    /// The role of a space's owner: a name from roles, or else the name of a ClusterRole.
    #[serde(default = "default_owner_role")]
    #[schemars(length(min = 1, max = 253))]
    pub owner_role: String,

    /// The roles that members may have. The operator must be allowed to bind each ClusterRole (as shipped: edit, view, admin).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub roles: Vec<Role>,

    /// Limits on what a namespace may use in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<ClassQuota>,

    /// Limits and defaults of containers, pods and volume claims. Where the quota limits cpu or memory, defaults that are
    /// missing here are filled in, so that a plain `kubectl create deployment` is admitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub limit_range: Vec<LimitRangeItem>,

    /// Isolation of a space from its neighbours.
    #[serde(default)]
    pub network: Network,

    /// Pod Security levels of the namespace. Default: no level is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,

    /// How long spaces live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,

    /// Metadata of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ClassMetadata>,

    /// Names that spaces of this class may have. Default: any name with a dash. Existing spaces keep their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NameRules>,

    /// How many spaces of this class one owner may have. A space counts until its namespace is gone; an expired space that is only kept to be read does not. A namespace that was released by Retain counts too. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_spaces_per_owner: Option<i32>,

    /// Allows owners to hand their spaces to somebody else by changing spec.owner (needs the policies in config/policy).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_transfer: bool,

    /// Allows owners to set deletionPolicy: Retain, which keeps the namespace when its DeveloperSpace is deleted. Without it, such a deletion waits. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_retain: bool,

    /// How people get into spaces of this class: what `kubectl dspace onboard` may issue, and what it writes into kubeconfigs. Default: all
    /// three ways, with the defaults of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

impl SpaceClass {
    /// The spec in force: the current one once it is accepted in its generation, until then the one last accepted. `None` if none was ever accepted.
    /// A ClusterRole that does not exist affects only the bindings to it.
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

fn default_owner_role() -> String {
    "edit".to_owned()
}

/// A role by the name that people use, and what it is to Kubernetes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The name that members use. It becomes part of a RoleBinding's name.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("a role's name is lower-case letters, digits and dashes, for example view"))]
    #[x_kube(validation = Rule::new("self != 'owner'").message("the name owner is taken by the owner's own binding; use ownerRole for the owner's role, and another name here"))]
    pub name: String,
    /// The ClusterRole that members of this role are bound to, in their namespace only.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_role: String,
}

/// Limits on what a namespace may use in all.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassQuota {
    /// The limits of each space, as in a ResourceQuota: {requests.cpu: "10", requests.memory: 100Gi}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::resource_list")]
    pub hard: BTreeMap<String, Quantity>,
    /// The ceiling of a space's own quota, by resource. Only resources that hard limits. Default: the value in hard.
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
    /// The limits of a container that names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub default: BTreeMap<String, Quantity>,
    /// The requests of a container that names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub default_request: BTreeMap<String, Quantity>,
    /// The most that one object may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub max: BTreeMap<String, Quantity>,
    /// The least that one object must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub min: BTreeMap<String, Quantity>,
    /// How many times its request an object's limit may be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::limit_list")]
    pub max_limit_request_ratio: BTreeMap<String, Quantity>,
}

/// What a `LimitRangeItem` limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum LimitType {
    /// Each container of a pod.
    Container,
    /// A pod, its containers added up.
    Pod,
    /// A claim for storage.
    PersistentVolumeClaim,
}

/// Isolation of a space from its neighbours.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enforced || self.isolation == 'Namespace'").message("enforced: true needs isolation: Namespace"))]
pub struct Network {
    /// Namespace: pods accept traffic from their own namespace and from allowFromNamespaces only. None: from everywhere.
    #[serde(default)]
    pub isolation: Isolation,
    /// True: a space's owner cannot open it with a NetworkPolicy of their own (needs the policies in config/policy).
    #[serde(default)]
    pub enforced: bool,
    /// Namespaces whose pods may reach the space, by label; usually that of the ingress controller. At most 32. Ignored with isolation: None. They must not select by labels that owners of spaces write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::selectors")]
    pub allow_from_namespaces: Vec<LabelSelector>,
}

/// How far a space is shut off.
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
    /// Pods below this level are noted in the audit log.
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
pub enum PodSecurityLevel {
    /// Everything is allowed.
    Privileged,
    /// Known ways to break out are refused.
    Baseline,
    /// Hardened pods only.
    Restricted,
}

/// How long spaces live.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// The ttl of spaces that set none. Default: maxTTL; without either, such spaces end only by maxLifetime.
    #[serde(rename = "defaultTTL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::ttl")]
    pub default_ttl: Option<String>,
    /// The longest ttl, counted from creation or the last renewal. Default: no limit.
    #[serde(rename = "maxTTL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_ttl: Option<String>,
    /// The longest life of a space from its creation, whatever the renewals. It caps a ttl of never too. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::duration")]
    pub max_lifetime: Option<String>,
    /// Allows owners to set ttl: never. Default: false.
    #[serde(default)]
    pub allow_never: bool,
    /// Allows owners to set protected: true, which keeps a space from expiring and from being deleted. When it is withdrawn, protected spaces get the longest warnBefore, and at
    /// least 7 days of notice. Default: false.
    #[serde(default)]
    pub allow_protected: bool,
    /// How long before the end people are warned: [2d, 12h, 1h]. Default: no warnings. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::durations")]
    pub warn_before: Vec<String>,
    /// How long an expired DeveloperSpace can still be read after its namespace is gone. Default: 7d.
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
    /// Accepted: whether spaces may use the class as it is, and the reason if not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The spec that was accepted last. While the present spec is refused, the spaces of this class are maintained by this one, and new spaces are created by it.
    #[serde(default, deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::any_object")]
    pub accepted: Option<SpaceClassSpec>,
}

/// A spec that an older version accepted and this one cannot read counts as none, so that the class itself can be read.
fn readable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SpaceClassSpec>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
