//! `tree`: prints the objects of a space.

use std::{collections::BTreeSet, fmt::Debug};

use clap::Args;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{LimitRange, Namespace, Pod, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::{RoleBinding, Subject},
    },
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    api_error::error_message,
    args::OutputArgs,
    class_in_force::ClassInForce,
    cluster::Cluster,
    format::one_line,
    output,
    pages::{PAGE_SIZE_OF_METADATA, list_all_pages},
    requests, spaces,
};
use crate::{
    api::{DeveloperSpace, names, without_managed_fields::WithoutManagedFields},
    desired::{Children, desire, resolve},
};

/// The metadata of an object, without its managed fields.
type Metadata<K> = WithoutManagedFields<PartialObjectMeta<K>>;

/// Arguments of `tree`.
#[derive(Clone, Debug, Args)]
pub struct TreeArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// An object and the objects that belong to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Node {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Self>,
}

impl Node {
    /// A node of one line. The names of subjects have no fixed format, and a line break in a name would look like
    /// another node.
    fn new(what: impl AsRef<str>, note: Option<&str>) -> Self {
        Self { what: one_line(what.as_ref()), note: note.map(one_line), children: vec![] }
    }

    fn is_missing(&self) -> bool {
        self.note.as_deref() == Some(MISSING)
    }
}

const MISSING: &str = "missing";
const UNREADABLE: &str = "forbidden";

pub(crate) async fn run(cluster: &Cluster, args: &TreeArgs) -> anyhow::Result<()> {
    let space = requests::get_space(cluster, &args.name).await?;
    let root = Box::pin(build(cluster, &space)).await;
    output::print_data(&args.output.output, &root, || draw(&root))
}

async fn build(cluster: &Cluster, space: &DeveloperSpace) -> Node {
    let name = space.name_any();
    let mut namespace = object_node(&Api::<Metadata<Namespace>>::all(cluster.client.clone()), &name).await;
    if !namespace.is_missing() {
        let (wanted, quota, limits, network, bindings, deployments, sets, pods) = tokio::join!(
            desired_children(cluster, space),
            child_node::<ResourceQuota>(cluster, &name, names::CHILD),
            child_node::<LimitRange>(cluster, &name, names::CHILD),
            child_node::<NetworkPolicy>(cluster, &name, names::NETWORK_POLICY),
            fetch_bindings(cluster, space),
            count_node::<Deployment>(cluster, &name, "Deployments"),
            count_node::<StatefulSet>(cluster, &name, "StatefulSets"),
            count_node::<Pod>(cluster, &name, "Pods"),
        );
        namespace.children = limit_nodes(wanted.as_ref(), [quota, limits, network]);
        namespace.children.extend(bindings);
        namespace.children.extend([deployments, sets, pods].into_iter().flatten());
    }
    let ready = spaces::ready(space).map(|(_, reason, _)| reason);
    Node { children: vec![namespace], ..Node::new(format!("DeveloperSpace {name}"), ready) }
}

/// The objects that the operator creates for a space; `None` if the class cannot be read or refuses the space.
async fn desired_children(cluster: &Cluster, space: &DeveloperSpace) -> Option<Children> {
    let name = space.status.as_ref()?.class_name.clone()?;
    let class = requests::find_class(cluster, &name).await.ok()??;
    let resolved = resolve(space, &name, ClassInForce::new(&class).spec).accepted().ok()?;
    Some(desire(space, &resolved, None).children)
}

/// Quota, limits and network policy. An object that is missing because the class has none is omitted.
fn limit_nodes(wanted: Option<&Children>, [quota, limits, network]: [Node; 3]) -> Vec<Node> {
    let is_wanted = |has: fn(&Children) -> bool| wanted.is_none_or(has);
    let rails = [
        (quota, is_wanted(|children| children.quota.is_some())),
        (limits, is_wanted(|children| children.limits.is_some())),
        (network, is_wanted(|children| children.network.is_some())),
    ];
    rails.into_iter().filter(|(node, wanted)| *wanted || !node.is_missing()).map(|(node, _)| node).collect()
}

async fn child_node<K>(cluster: &Cluster, namespace: &str, name: &str) -> Node
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    object_node(&Api::<Metadata<K>>::namespaced(cluster.client.clone(), namespace), name).await
}

async fn object_node<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned>(
    api: &Api<Metadata<K>>,
    name: &str,
) -> Node {
    let note = match api.get_opt(name).await {
        Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => Some("terminating".to_owned()),
        Ok(Some(_)) => None,
        Ok(None) => Some(MISSING.to_owned()),
        Err(error) => Some(error_note(&error)),
    };
    Node::new(format!("{} {name}", K::kind(&())), note.as_deref())
}

fn error_note(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => UNREADABLE.to_owned(),
        other => error_message(other),
    }
}

async fn fetch_bindings(cluster: &Cluster, space: &DeveloperSpace) -> Vec<Node> {
    let api: Api<WithoutManagedFields<RoleBinding>> = Api::namespaced(cluster.client.clone(), &space.name_any());
    match list_all_pages(&api, ListParams::default().labels(&names::managed_selector())).await {
        Ok(found) => binding_nodes(space, &found),
        Err(error) => vec![Node::new("RoleBindings", Some(&error_note(&error)))],
    }
}

/// The existing bindings, and the missing bindings of the owner and of the members' roles.
fn binding_nodes(space: &DeveloperSpace, found: &[RoleBinding]) -> Vec<Node> {
    let roles: BTreeSet<&str> = space.spec.members.iter().map(|member| member.role.as_str()).collect();
    let of_roles = roles.into_iter().map(|role| format!("{}{role}", names::BINDING_PREFIX));
    let expected = std::iter::once(names::OWNER_BINDING.to_owned()).chain(of_roles);
    let absent = expected.filter(|name| !found.iter().any(|binding| binding.name_any() == *name));
    let absent = absent.map(|name| Node::new(format!("RoleBinding {name}"), Some(MISSING)));
    let present = found.iter().map(|binding| {
        let subject = |subject: &Subject| {
            let place = subject.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            Node::new(format!("{} {place}{}", subject.kind, subject.name), None)
        };
        let children = binding.subjects.iter().flatten().map(subject).collect();
        Node { children, ..Node::new(format!("RoleBinding {}", binding.name_any()), Some(&binding.role_ref.name)) }
    });
    present.chain(absent).collect()
}

/// The number of objects; `None` if there are none.
async fn count_node<K>(cluster: &Cluster, namespace: &str, kinds: &str) -> Option<Node>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<Metadata<K>>::namespaced(cluster.client.clone(), namespace);
    match list_all_pages(&api, ListParams::default().limit(PAGE_SIZE_OF_METADATA)).await {
        Ok(found) => (!found.is_empty()).then(|| Node::new(format!("{kinds}: {}", found.len()), None)),
        Err(error) => Some(Node::new(kinds, Some(&error_note(&error)))),
    }
}

fn draw(root: &Node) -> String {
    let mut lines = vec![line(root)];
    branches(&root.children, "", &mut lines);
    lines.join("\n")
}

fn branches(nodes: &[Node], margin: &str, lines: &mut Vec<String>) {
    for (place, node) in nodes.iter().enumerate() {
        let last = place + 1 == nodes.len();
        lines.push(format!("{margin}{} {}", if last { "`--" } else { "|--" }, line(node)));
        branches(&node.children, &format!("{margin}{}", if last { "    " } else { "|   " }), lines);
    }
}

fn line(Node { what, note, .. }: &Node) -> String {
    note.as_ref().map_or_else(|| what.clone(), |note| format!("{what} ({note})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::fixtures::a_space;

    fn found() -> Vec<RoleBinding> {
        let binding = json!({
            "metadata": {"name": "developerspace-owner"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nadia@example.com"},
                {"kind": "ServiceAccount", "name": "gardener", "namespace": "shed"},
            ],
        });
        vec![serde_json::from_value(binding).unwrap()]
    }

    #[test]
    fn a_tree_is_drawn_with_ascii_characters() {
        let mut children = vec![
            Node::new("ResourceQuota developerspace", Some(MISSING)),
            Node::new("LimitRange developerspace", Some(UNREADABLE)),
        ];
        children.extend(binding_nodes(&a_space(), &found()));
        children.push(Node::new("Pods: 2", None));
        let namespace = Node { children, ..Node::new("Namespace orchid-lab", None) };
        let root = Node { children: vec![namespace], ..Node::new("DeveloperSpace orchid-lab", Some("Provisioned")) };
        let expected = "\
DeveloperSpace orchid-lab (Provisioned)
`-- Namespace orchid-lab
    |-- ResourceQuota developerspace (missing)
    |-- LimitRange developerspace (forbidden)
    |-- RoleBinding developerspace-owner (edit)
    |   |-- User nadia@example.com
    |   `-- ServiceAccount shed/gardener
    |-- RoleBinding developerspace-view (missing)
    `-- Pods: 2";
        assert_eq!(draw(&root), expected);
    }

    #[test]
    fn objects_that_the_class_does_not_have_are_not_missing() {
        let nodes = |note: Option<&str>| ["quota", "limits", "network"].map(|what| Node::new(what, note));
        let names = |nodes: Vec<Node>| nodes.into_iter().map(|node| node.what).collect::<Vec<_>>();
        let class = json!({"quota": {"hard": {"pods": "4"}}, "network": {"isolation": "None"}, "roles": [{"name": "view", "clusterRole": "view"}]});
        let resolved = resolve(&a_space(), "greenhouse", &serde_json::from_value(class).unwrap()).resolved;
        let wanted = desire(&a_space(), &resolved, None).children;
        assert_eq!(names(limit_nodes(Some(&wanted), nodes(Some(MISSING)))), ["quota"], "the class has no more");
        assert_eq!(
            names(limit_nodes(Some(&wanted), nodes(None))),
            ["quota", "limits", "network"],
            "existing objects are shown"
        );
        assert_eq!(
            names(limit_nodes(None, nodes(Some(MISSING)))),
            ["quota", "limits", "network"],
            "the class is unknown"
        );
    }
}
