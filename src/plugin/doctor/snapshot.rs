//! Reads a space and its namespace. Objects that the caller may not read are recorded and do not cause an error. Nothing is evaluated here.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Resource, ResourceExt as _, api::ListParams};
use serde::de::DeserializeOwned;

use crate::{
    api::{DeveloperSpace, SpaceClass, conditions::Reason, names, without_managed_fields::WithoutManagedFields},
    desired::standing::standing,
    plugin::{
        api_error::{ApiContext as _, is_forbidden, sentence},
        class_in_force::default_class,
        cluster::Cluster,
        readable::{self, Readable, pages},
        requests,
        spaces::ready,
    },
};

/// The result of reading an object or a list.
#[derive(Clone, Debug, Default)]
pub(super) enum Look<T> {
    /// It was not read, because it was not needed.
    #[default]
    Needless,
    /// It was read.
    Seen(T),
    /// A part of it was read.
    Partial(T, Unreadable),
    /// It could not be read.
    Unreadable(Unreadable),
}

/// An object, or a list or a part of one, that could not be read, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// `get` or `list`.
    pub(super) verb: &'static str,
    /// `Namespace orchid-lab`, `pods`.
    pub(super) what: String,
    /// The namespace of a list.
    pub(super) namespace: Option<String>,
    /// The error; `None` if the request was forbidden.
    pub(super) error: Option<String>,
}

impl Unreadable {
    /// The reason why a list could not be read.
    pub(super) fn reason(&self) -> String {
        self.error.clone().unwrap_or_else(|| format!("you do not have permission to {} them", self.verb))
    }
}

impl<T> Look<T> {
    /// The result, as far as it was read.
    pub(super) fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(seen) | Self::Partial(seen, _) => Some(seen),
            Self::Needless | Self::Unreadable(_) => None,
        }
    }

    /// The part that could not be read.
    pub(super) fn gap(&self) -> Option<&Unreadable> {
        match self {
            Self::Unreadable(gap) | Self::Partial(_, gap) => Some(gap),
            Self::Needless | Self::Seen(_) => None,
        }
    }

    pub(super) fn of(found: Result<T, kube::Error>, verb: &'static str, what: String, namespace: Option<&str>) -> Self {
        found.map_or_else(
            |error| {
                let why = (!is_forbidden(&error)).then(|| sentence(&error));
                Self::Unreadable(Unreadable { verb, what, namespace: namespace.map(ToOwned::to_owned), error: why })
            },
            Self::Seen,
        )
    }
}

impl<T> Look<Option<T>> {
    /// The object, if it was read and exists.
    pub(super) fn found(&self) -> Option<&T> {
        self.seen()?.as_ref()
    }

    /// Returns true if the object is known not to exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Seen(None))
    }
}

impl<T> Look<Vec<T>> {
    /// The objects of the list; empty if it was not read.
    pub(super) fn all(&self) -> &[T] {
        self.seen().map(Vec::as_slice).unwrap_or_default()
    }

    fn of_list(found: Result<Readable<T>, kube::Error>, what: String, namespace: &str) -> Self {
        let Readable { objects, errors } = match found {
            Ok(found) => found,
            Err(error) => return Self::of(Err(error), "list", what, Some(namespace)),
        };
        let Some(error) = errors.first() else { return Self::Seen(objects) };
        let what = format!("{} of {} {what}", errors.len(), errors.len() + objects.len());
        let gap = Unreadable { verb: "list", what, namespace: Some(namespace.to_owned()), error: Some(error.clone()) };
        Self::Partial(objects, gap)
    }
}

/// All objects that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// The requested name.
    pub(super) name: String,
    pub(super) space: Look<Option<DeveloperSpace>>,
    /// All spaces if there is none with that name; the owner's spaces if the space is refused because of the owner limit.
    pub(super) spaces: Look<Vec<DeveloperSpace>>,
    pub(super) classes: Look<Vec<SpaceClass>>,
    /// The Deployments that may be the operator's.
    pub(super) operator: Look<Vec<Deployment>>,
    pub(super) namespace: Look<Option<Namespace>>,
    pub(super) quotas: Look<Vec<ResourceQuota>>,
    pub(super) limits: Look<Vec<LimitRange>>,
    pub(super) policies: Look<Vec<NetworkPolicy>>,
    pub(super) bindings: Look<Vec<RoleBinding>>,
    pub(super) replica_sets: Look<Vec<ReplicaSet>>,
    pub(super) stateful_sets: Look<Vec<StatefulSet>>,
    pub(super) jobs: Look<Vec<Job>>,
    pub(super) pods: Look<Vec<Pod>>,
    /// The Events with the reason `FailedCreate`.
    pub(super) events: Look<Vec<Event>>,
}

impl Observed {
    /// The class that the spec names, else the class in the status, else the default class. A refusal of the spec is about this class.
    pub(super) fn class(&self) -> Option<&SpaceClass> {
        let space = self.space.found()?;
        let kept = || space.status.as_ref().and_then(|status| status.class_name.as_deref());
        match space.spec.class_name.as_deref().or_else(kept) {
            Some(name) => self.classes.all().iter().find(|class| class.name_any() == name),
            None => default_class(self.classes.all()),
        }
    }

    /// The class in force, which limits the lifetime and the namespace; before the space is admitted to a class, the class that it requests.
    pub(super) fn class_in_force(&self) -> Option<&SpaceClass> {
        match self.space.found().and_then(standing) {
            Some(standing) => self.classes.all().iter().find(|class| class.name_any() == standing.class_name),
            None => self.class(),
        }
    }

    /// Returns true if the namespace is terminating.
    pub(super) fn is_namespace_going(&self) -> bool {
        self.namespace.found().is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    }
}

/// Reads all objects about a space.
pub(super) async fn look(cluster: &Cluster, name: &str) -> anyhow::Result<Observed> {
    let found = requests::space_api(cluster).get_opt(name).await.map(|found| found.map(|WithoutManagedFields(space)| space));
    if found.as_ref().is_err_and(|error| !is_forbidden(error)) {
        return found.context_api(|| format!("read DeveloperSpace {name}")).map(|_| Observed::default());
    }
    let space = Look::of(found, "get", format!("DeveloperSpace {name}"), None);
    let spaces = if space.is_absent() {
        // This also distinguishes a cluster that does not know the kind from a cluster without this space.
        let all = pages(&requests::space_api(cluster), ListParams::default()).await;
        if all.as_ref().is_err_and(|error| !is_forbidden(error)) {
            return all.context_api(|| "list DeveloperSpaces".to_owned()).map(|_| Observed::default());
        }
        Look::of(all, "list", "developerspaces".to_owned(), None)
    } else {
        owners(cluster, space.found()).await
    };
    let mut seen = Observed { name: name.to_owned(), space, spaces, ..Observed::default() };
    Box::pin(around(cluster, &mut seen)).await;
    let reason = seen.space.found().and_then(ready).map(|(_, reason, _)| reason);
    // A namespace that does not belong to the space is not inspected.
    let is_foreign = seen.space.is_absent() || reason == Some(Reason::NamespaceConflict.as_str());
    if !seen.namespace.is_absent() && !is_foreign {
        Box::pin(inside(cluster, &mut seen)).await;
    }
    Ok(seen)
}

/// The spaces of the owner, if the space is refused because of the owner limit.
async fn owners(cluster: &Cluster, space: Option<&DeveloperSpace>) -> Look<Vec<DeveloperSpace>> {
    let too_many = |space: &&DeveloperSpace| ready(space).is_some_and(|(_, reason, _)| reason == Reason::OwnerLimitExceeded.as_str());
    let Some(space) = space.filter(too_many) else { return Look::Needless };
    let fields = format!("spec.owner.name={}", escaped(&space.spec.owner.name));
    Look::of(pages(&requests::space_api(cluster), ListParams::default().fields(&fields)).await, "list", "developerspaces".to_owned(), None)
}

/// Escapes a value for a field selector, see `EscapeValue` of `k8s.io/apimachinery/pkg/fields`.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=")
}

/// Reads the cluster-scoped objects and the operator's Deployment.
async fn around(cluster: &Cluster, seen: &mut Observed) {
    let namespaces = Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone());
    let (classes, namespace, operator) =
        tokio::join!(classes(cluster, seen.space.found()), namespaces.get_opt(&seen.name), operator(cluster));
    seen.classes = Look::of(classes, "list", "spaceclasses".to_owned(), None);
    let namespace = namespace.map(|found| found.map(|WithoutManagedFields(namespace)| namespace));
    seen.namespace = Look::of(namespace, "get", format!("Namespace {}", seen.name), None);
    seen.operator = operator;
}

/// All classes with their specs in force, or those of `space` if the caller may not list classes.
pub(super) async fn classes(cluster: &Cluster, space: Option<&DeveloperSpace>) -> Result<Vec<SpaceClass>, kube::Error> {
    let api = Api::<WithoutManagedFields<SpaceClass>>::all(cluster.client.clone());
    let found = match pages(&api, ListParams::default()).await {
        // An owner may be allowed to get the classes of their space but not to list classes.
        Err(error) if is_forbidden(&error) => by_name(&api, space).await.ok_or(error),
        found => found,
    };
    found.map(|classes| classes.into_iter().map(in_force).collect())
}

/// The class in force and the class that the spec names, as far as they can be read; `None` if there are none.
async fn by_name(classes: &Api<WithoutManagedFields<SpaceClass>>, space: Option<&DeveloperSpace>) -> Option<Vec<SpaceClass>> {
    let space = space?;
    let in_force = space.status.as_ref().and_then(|status| status.class_name.clone());
    let names: BTreeSet<String> = in_force.into_iter().chain(space.spec.class_name.clone()).collect();
    let mut found = Vec::new();
    for name in names {
        found.extend(classes.get_opt(&name).await.ok().flatten().map(|WithoutManagedFields(class)| class));
    }
    (!found.is_empty()).then_some(found)
}

/// A class with its spec in force.
fn in_force(class: SpaceClass) -> SpaceClass {
    let spec = class.in_force().unwrap_or(&class.spec).clone();
    SpaceClass { spec, ..class }
}

/// The Deployments in all namespaces that have the operator's labels, or the Deployment in the operator's default namespace if Deployments cannot
/// be listed in all namespaces.
async fn operator(cluster: &Cluster) -> Look<Vec<Deployment>> {
    let labels = format!("app.kubernetes.io/name={},app.kubernetes.io/component=controller", names::OPERATOR);
    // A Deployment that cannot be parsed was written by another user: the operator's Deployment has no such fields.
    if let Ok(found) = readable::list::<Deployment>(cluster, None, ListParams::default().labels(&labels)).await {
        // Every user who can create a Deployment can create many with these labels, so each namespace is read only once.
        let namespaces: BTreeSet<String> = found.objects.iter().map(home_of).collect();
        let mut homes = BTreeSet::new();
        for namespace in namespaces {
            if may_run_the_operator(cluster, &namespace).await {
                homes.insert(namespace);
            }
        }
        return Look::Seen(found.objects.into_iter().filter(|deployment| homes.contains(&home_of(deployment))).collect());
    }
    let home = Api::<WithoutManagedFields<Deployment>>::namespaced(cluster.client.clone(), names::DEFAULT_OPERATOR_NAMESPACE);
    let found =
        home.get_opt(names::OPERATOR).await.map(|found| found.into_iter().map(|WithoutManagedFields(deployment)| deployment).collect());
    Look::of(found, "get", format!("Deployment {}", names::OPERATOR), Some(names::DEFAULT_OPERATOR_NAMESPACE))
}

fn home_of(deployment: &Deployment) -> String {
    deployment.namespace().unwrap_or_default()
}

/// Returns true for the operator's default namespace, and for every other namespace that can be read and has no mark of a space.
async fn may_run_the_operator(cluster: &Cluster, namespace: &str) -> bool {
    if namespace == names::DEFAULT_OPERATOR_NAMESPACE {
        return true;
    }
    let found = Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone()).get_opt(namespace).await.ok().flatten();
    found.is_some_and(|found| !is_marked(&found.metadata))
}

/// Returns true if the namespace belongs to a space, or was released from one: its users could give any Deployment the operator's labels.
fn is_marked(namespace: &ObjectMeta) -> bool {
    let label = |key: &str| namespace.labels.as_ref().and_then(|labels| labels.get(key));
    let annotation = |key: &str| namespace.annotations.as_ref().and_then(|annotations| annotations.get(key));
    label(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::OPERATOR)
        || label(names::LABEL_RELEASED).is_some()
        || annotation(names::ANNOTATION_RELEASED_FROM).is_some()
        || annotation(names::ANNOTATION_SPACE_UID).is_some()
}

/// Reads the objects in the namespace.
async fn inside(cluster: &Cluster, seen: &mut Observed) {
    let name = &seen.name;
    let all = ListParams::default;
    (seen.quotas, seen.limits, seen.policies, seen.bindings) = tokio::join!(
        list::<ResourceQuota>(cluster, name, all()),
        list::<LimitRange>(cluster, name, all()),
        list::<NetworkPolicy>(cluster, name, all()),
        list::<RoleBinding>(cluster, name, all())
    );
    (seen.replica_sets, seen.stateful_sets, seen.jobs, seen.pods, seen.events) = tokio::join!(
        list::<ReplicaSet>(cluster, name, all()),
        list::<StatefulSet>(cluster, name, all()),
        list::<Job>(cluster, name, all()),
        list::<Pod>(cluster, name, all()),
        list::<Event>(cluster, name, all().fields("reason=FailedCreate"))
    );
}

async fn list<K>(cluster: &Cluster, namespace: &str, params: ListParams) -> Look<Vec<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    Look::of_list(readable::list(cluster, Some(namespace), params).await, K::plural(&()).into_owned(), namespace)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::plugin::cluster::fake_cluster;

    #[test]
    fn namespaces_with_a_mark_of_a_space_do_not_run_the_operator() {
        for (metadata, marked) in [
            (json!({"labels": {"app.kubernetes.io/managed-by": "developerspace-operator"}}), true),
            (json!({"annotations": {"developerspace.dev/space-uid": "space-1"}}), true),
            (json!({"labels": {"developerspace.dev/released": "true"}}), true),
            (json!({"annotations": {"developerspace.dev/released-from": "aaa-lab/space-1"}}), true),
            (json!({"labels": {"app.kubernetes.io/managed-by": "helm"}, "annotations": {"example.com/team": "platform"}}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_marked(&serde_json::from_value(metadata.clone()).unwrap()), marked, "{metadata}");
        }
    }

    #[tokio::test]
    async fn a_namespace_with_several_deployments_is_read_once() {
        let reads = Arc::new(Mutex::new(Vec::new()));
        let record = reads.clone();
        let deployment = |namespace: &str, name: &str| {
            let spec = json!({"selector": {}, "template": {}});
            json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})
        };
        let all = [("fern-lab", "a"), ("platform", "b"), ("fern-lab", "c"), ("platform", "d")];
        let items = all.map(|(namespace, name)| deployment(namespace, name));
        let cluster = fake_cluster(move |request| {
            let path = request.uri().path();
            if path.ends_with("/deployments") {
                return (200, json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": items}));
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            record.lock().unwrap().push(name.to_owned());
            let annotations = if name == "fern-lab" { json!({(names::ANNOTATION_SPACE_UID): "space-1"}) } else { json!({}) };
            (200, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}))
        });
        let found = operator(&cluster).await;
        let names: Vec<String> = found.all().iter().map(kube::ResourceExt::name_any).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(*reads.lock().unwrap(), ["fern-lab", "platform"]);
    }

    #[test]
    fn a_list_that_was_read_in_part_has_a_gap() {
        let read = |errors: &[&str]| {
            let errors = errors.iter().map(|error| (*error).to_owned()).collect();
            Look::of_list(Ok(Readable { objects: vec!["web", "db"], errors }), "replicasets".to_owned(), "orchid-lab")
        };
        let whole = read(&[]);
        assert_eq!((whole.all(), whole.gap()), (&["web", "db"][..], None));
        let partial = read(&["a time out of range"]);
        let gap = Unreadable {
            verb: "list",
            what: "1 of 3 replicasets".to_owned(),
            namespace: Some("orchid-lab".to_owned()),
            error: Some("a time out of range".to_owned()),
        };
        assert_eq!((partial.all(), partial.gap()), (&["web", "db"][..], Some(&gap)));
    }

    #[test]
    fn values_of_field_selectors_are_escaped() {
        assert_eq!(escaped(r"cn=nadia,ou=botany\x"), r"cn\=nadia\,ou\=botany\\x");
    }
}
