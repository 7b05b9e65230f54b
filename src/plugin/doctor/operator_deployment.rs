//! Reads the Deployments that may be the operator's. Every user who can create a Deployment can give it the operator's
//! labels.

use std::collections::BTreeSet;

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, ResourceExt as _, api::ListParams};

use super::fetched::Fetched;
use crate::{
    api::{names, without_managed_fields::WithoutManagedFields},
    plugin::{cluster::Cluster, lenient_list, requests},
};

/// The Deployments in all namespaces that have the operator's labels, or the Deployment in the operator's default
/// namespace if Deployments cannot be listed in all namespaces.
pub(super) async fn fetch_operator_deployments(cluster: &Cluster) -> Fetched<Vec<Deployment>> {
    let labels = format!("app.kubernetes.io/name={},app.kubernetes.io/component=controller", names::OPERATOR);
    // A Deployment that cannot be parsed was written by another user: the operator's Deployment has no such fields.
    if let Ok(found) = lenient_list::list::<Deployment>(cluster, None, ListParams::default().labels(&labels)).await {
        // Every user who can create a Deployment can create many with these labels, so each namespace is read only
        // once.
        let namespaces: BTreeSet<String> = found.objects.iter().map(namespace_of).collect();
        let mut homes = BTreeSet::new();
        for namespace in namespaces {
            if may_run_the_operator(cluster, &namespace).await {
                homes.insert(namespace);
            }
        }
        return Fetched::Found(
            found.objects.into_iter().filter(|deployment| homes.contains(&namespace_of(deployment))).collect(),
        );
    }
    let home =
        Api::<WithoutManagedFields<Deployment>>::namespaced(cluster.client.clone(), names::DEFAULT_OPERATOR_NAMESPACE);
    let found = home
        .get_opt(names::OPERATOR)
        .await
        .map(|found| found.into_iter().map(|WithoutManagedFields(deployment)| deployment).collect());
    Fetched::from_result(
        found,
        "get",
        format!("Deployment {}", names::OPERATOR),
        Some(names::DEFAULT_OPERATOR_NAMESPACE),
    )
}

fn namespace_of(deployment: &Deployment) -> String {
    deployment.namespace().unwrap_or_default()
}

/// Returns true for the operator's default namespace, and for every other namespace that can be read and has no mark of
/// a space.
async fn may_run_the_operator(cluster: &Cluster, namespace: &str) -> bool {
    if namespace == names::DEFAULT_OPERATOR_NAMESPACE {
        return true;
    }
    let found = requests::find_namespace(cluster, namespace).await.ok().flatten();
    found.is_some_and(|found| !is_marked(&found.metadata))
}

/// Returns true if the namespace belongs to a space, or was released from one: its users could give any Deployment the
/// operator's labels.
fn is_marked(namespace: &ObjectMeta) -> bool {
    let label = |key: &str| namespace.labels.as_ref().and_then(|labels| labels.get(key));
    let annotation = |key: &str| namespace.annotations.as_ref().and_then(|annotations| annotations.get(key));
    label(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::OPERATOR)
        || label(names::LABEL_RELEASED).is_some()
        || annotation(names::ANNOTATION_RELEASED_FROM).is_some()
        || annotation(names::ANNOTATION_SPACE_UID).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::plugin::cluster::fake_cluster;

    #[test]
    fn namespaces_with_marks_of_a_space_do_not_run_the_operator() {
        for (metadata, marked) in [
            (json!({"labels": {"app.kubernetes.io/managed-by": "developerspace-operator"}}), true),
            (json!({"annotations": {"developerspace.dev/space-uid": "space-1"}}), true),
            (json!({"labels": {"developerspace.dev/released": "true"}}), true),
            (json!({"annotations": {"developerspace.dev/released-from": "aaa-lab/space-1"}}), true),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "helm"}, "annotations": {"example.com/team": "platform"}}),
                false,
            ),
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
                return (
                    200,
                    json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": items}),
                );
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            record.lock().unwrap().push(name.to_owned());
            let annotations =
                if name == "fern-lab" { json!({(names::ANNOTATION_SPACE_UID): "space-1"}) } else { json!({}) };
            (
                200,
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}),
            )
        });
        let found = fetch_operator_deployments(&cluster).await;
        let names: Vec<String> = found.items().iter().map(kube::ResourceExt::name_any).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(*reads.lock().unwrap(), ["fern-lab", "platform"]);
    }
}
