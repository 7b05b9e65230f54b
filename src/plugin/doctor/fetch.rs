//! Reads the objects about a space. Objects that the caller may not read are recorded and do not cause an error.
//! Nothing is evaluated here.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, LimitRange, Pod, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Api, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use super::{fetched::Fetched, operator_deployment::fetch_operator_deployments, snapshot::ClusterSnapshot};
use crate::{
    api::{DeveloperSpace, SpaceClass, conditions::Reason, without_managed_fields::WithoutManagedFields},
    plugin::{
        api_error::{ApiContext as _, is_forbidden},
        cluster::Cluster,
        lenient_list,
        pages::{PAGE_SIZE_OF_SPACES, list_all_pages},
        requests,
        spaces::ready,
    },
};

/// Reads all objects about a space.
pub(super) async fn fetch(cluster: &Cluster, name: &str) -> anyhow::Result<ClusterSnapshot> {
    let found = requests::try_find_space(cluster, name).await;
    if found.as_ref().is_err_and(|error| !is_forbidden(error)) {
        return found.context_api(|| format!("read DeveloperSpace {name}")).map(|_| ClusterSnapshot::default());
    }
    let space = Fetched::from_result(found, "get", format!("DeveloperSpace {name}"), None);
    let spaces = if space.is_absent() {
        // This also distinguishes a cluster that does not know the kind from a cluster without this space.
        let all = list_all_pages(&requests::space_api(cluster), ListParams::default().limit(PAGE_SIZE_OF_SPACES)).await;
        if all.as_ref().is_err_and(|error| !is_forbidden(error)) {
            return all.context_api(|| "list DeveloperSpaces".to_owned()).map(|_| ClusterSnapshot::default());
        }
        Fetched::from_result(all, "list", "developerspaces".to_owned(), None)
    } else {
        fetch_spaces_of_owner(cluster, space.object()).await
    };
    let mut snapshot = ClusterSnapshot { name: name.to_owned(), space, spaces, ..ClusterSnapshot::default() };
    Box::pin(fetch_cluster_scoped(cluster, &mut snapshot)).await;
    let reason = snapshot.space.object().and_then(ready).map(|(_, reason, _)| reason);
    // A namespace that does not belong to the space is not inspected.
    let is_foreign = snapshot.space.is_absent() || reason == Some(Reason::NamespaceConflict.as_str());
    if !snapshot.namespace.is_absent() && !is_foreign {
        Box::pin(fetch_namespace(cluster, &mut snapshot)).await;
    }
    Ok(snapshot)
}

/// The spaces of the owner, if the space is refused because of the owner limit.
async fn fetch_spaces_of_owner(cluster: &Cluster, space: Option<&DeveloperSpace>) -> Fetched<Vec<DeveloperSpace>> {
    let too_many = |space: &&DeveloperSpace| {
        ready(space).is_some_and(|(_, reason, _)| reason == Reason::OwnerLimitExceeded.as_str())
    };
    let Some(space) = space.filter(too_many) else { return Fetched::NotNeeded };
    let params = ListParams::default()
        .fields(&format!("spec.owner.name={}", escaped(&space.spec.owner.name)))
        .limit(PAGE_SIZE_OF_SPACES);
    Fetched::from_result(
        list_all_pages(&requests::space_api(cluster), params).await,
        "list",
        "developerspaces".to_owned(),
        None,
    )
}

/// Escapes a value for a field selector, see `EscapeValue` of `k8s.io/apimachinery/pkg/fields`.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=")
}

/// Reads the cluster-scoped objects and the operator's Deployment.
async fn fetch_cluster_scoped(cluster: &Cluster, snapshot: &mut ClusterSnapshot) {
    let (classes, namespace, operator) = tokio::join!(
        fetch_classes(cluster, snapshot.space.object()),
        requests::find_namespace(cluster, &snapshot.name),
        fetch_operator_deployments(cluster)
    );
    snapshot.classes = Fetched::from_result(classes, "list", "spaceclasses".to_owned(), None);
    snapshot.namespace = Fetched::from_result(namespace, "get", format!("Namespace {}", snapshot.name), None);
    snapshot.operator = operator;
}

/// All classes with their specs in force, or those of `space` if the caller may not list classes.
pub(super) async fn fetch_classes(
    cluster: &Cluster,
    space: Option<&DeveloperSpace>,
) -> Result<Vec<SpaceClass>, kube::Error> {
    let api = Api::<WithoutManagedFields<SpaceClass>>::all(cluster.client.clone());
    let found = match list_all_pages(&api, ListParams::default()).await {
        // An owner may be allowed to get the classes of their space but not to list classes.
        Err(error) if is_forbidden(&error) => fetch_named_classes(&api, space).await.ok_or(error),
        found => found,
    };
    found.map(|classes| classes.into_iter().map(with_spec_in_force).collect())
}

/// The class in force and the class that the spec names, as far as they can be read; `None` if there are none.
async fn fetch_named_classes(
    classes: &Api<WithoutManagedFields<SpaceClass>>,
    space: Option<&DeveloperSpace>,
) -> Option<Vec<SpaceClass>> {
    let space = space?;
    let in_force = space.status.as_ref().and_then(|status| status.class_name.clone());
    let names: BTreeSet<String> = in_force.into_iter().chain(space.spec.class_name.clone()).collect();
    let mut found = Vec::new();
    for name in names {
        found.extend(classes.get_opt(&name).await.ok().flatten().map(|WithoutManagedFields(class)| class));
    }
    (!found.is_empty()).then_some(found)
}

fn with_spec_in_force(class: SpaceClass) -> SpaceClass {
    let spec = class.in_force().unwrap_or(&class.spec).clone();
    SpaceClass { spec, ..class }
}

/// Reads the objects in the namespace.
async fn fetch_namespace(cluster: &Cluster, snapshot: &mut ClusterSnapshot) {
    let name = &snapshot.name;
    let all = ListParams::default;
    (snapshot.quotas, snapshot.limits, snapshot.policies, snapshot.bindings) = tokio::join!(
        fetch_list::<ResourceQuota>(cluster, name, all()),
        fetch_list::<LimitRange>(cluster, name, all()),
        fetch_list::<NetworkPolicy>(cluster, name, all()),
        fetch_list::<RoleBinding>(cluster, name, all())
    );
    (snapshot.replica_sets, snapshot.stateful_sets, snapshot.jobs, snapshot.pods, snapshot.events) = tokio::join!(
        fetch_list::<ReplicaSet>(cluster, name, all()),
        fetch_list::<StatefulSet>(cluster, name, all()),
        fetch_list::<Job>(cluster, name, all()),
        fetch_list::<Pod>(cluster, name, all()),
        fetch_list::<Event>(cluster, name, all().fields("reason=FailedCreate"))
    );
}

async fn fetch_list<K>(cluster: &Cluster, namespace: &str, params: ListParams) -> Fetched<Vec<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    Fetched::from_list(
        lenient_list::list(cluster, Some(namespace), params).await,
        K::plural(&()).into_owned(),
        namespace,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_field_selectors_are_escaped() {
        assert_eq!(escaped(r"cn=nadia,ou=botany\x"), r"cn\=nadia\,ou\=botany\\x");
    }
}
