//! The CRD that is installed in the cluster. The API server drops fields that a CRD does not have, so an operator that is newer than its CRD would
//! lose its notices, see <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning>.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Resource as _,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};

use crate::api::{DeveloperSpace, crds, names, unmanaged::Unmanaged};

/// The time between two attempts.
const AGAIN: Duration = Duration::from_secs(2);

/// Waits until the cluster has the CRDs of this version, and logs what to do while it does not.
pub async fn await_crd(client: &Client) {
    // No stored object, readable or not, prevents the start of the operator.
    let spaces: Api<Unmanaged<DynamicObject>> = Api::all_with(client.clone(), &ApiResource::erase::<DeveloperSpace>(&()));
    while let Err(error) = spaces.list(&ListParams::default().limit(1)).await {
        match &error {
            kube::Error::Api(status) if status.is_not_found() => {
                tracing::warn!("the CRD of DeveloperSpace is not installed: run kubectl apply -k config/crd; retrying");
            }
            _ => tracing::warn!(%error, "failed to list DeveloperSpaces; retrying"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    let definitions: Api<Unmanaged<CustomResourceDefinition>> = Api::all(client.clone());
    // Without the permission to read it, which the shipped role has, the operator works nevertheless.
    while let Ok(Some(Unmanaged(stored))) = definitions.get_opt(names::SPACE_CRD).await {
        let missing = missing_fields(&stored);
        if missing.is_empty() {
            return;
        }
        let fields = missing.join(", ");
        tracing::warn!(
            fields,
            "the installed CRD of DeveloperSpace is older and lacks fields of status: run kubectl apply -k config/crd; retrying"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

/// The fields of status that this version writes, and that `stored` does not have.
fn missing_fields(stored: &CustomResourceDefinition) -> Vec<String> {
    let ours = crds().into_iter().find(|crd| crd.metadata.name.as_deref() == Some(names::SPACE_CRD));
    let (ours, theirs) = (ours.as_ref().map(status_fields).unwrap_or_default(), status_fields(stored));
    ours.difference(&theirs).cloned().collect()
}

fn status_fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let version = crd.spec.versions.iter().find(|version| version.name == DeveloperSpace::version(&()));
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status"));
    status.and_then(|status| status.properties.as_ref()).into_iter().flat_map(|fields| fields.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_crd_is_recognized_by_the_fields_that_it_lacks() {
        let mut stored = crds().into_iter().find(|crd| crd.metadata.name.as_deref() == Some(names::SPACE_CRD)).unwrap();
        assert_eq!(missing_fields(&stored), [""; 0]);
        let schema = stored.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
        let status = schema.properties.as_mut().unwrap().get_mut("status").unwrap();
        let fields = status.properties.as_mut().unwrap();
        assert!(fields.remove("postponed").is_some() && fields.remove("terms").is_some());
        assert_eq!(missing_fields(&stored), ["postponed", "terms"]);
    }
}
