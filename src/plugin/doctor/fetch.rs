//! Reads the objects about a space. Objects that the caller may not read are recorded and do not cause an error. Nothing is evaluated here.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Api, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use super::{fetched::Look, operator_deployment::fetch_operator_deployments, snapshot::Observed};
use crate::{
    api::{DeveloperSpace, SpaceClass, conditions::Reason, without_managed_fields::WithoutManagedFields},
    plugin::{
        api_error::{ApiContext as _, is_forbidden},
        cluster::Cluster,
        readable::{self, pages},
        requests,
        spaces::ready,
    },
};

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
        tokio::join!(classes(cluster, seen.space.found()), namespaces.get_opt(&seen.name), fetch_operator_deployments(cluster));
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
    use super::*;

    #[test]
    fn values_of_field_selectors_are_escaped() {
        assert_eq!(escaped(r"cn=nadia,ou=botany\x"), r"cn\=nadia\,ou\=botany\\x");
    }
}
