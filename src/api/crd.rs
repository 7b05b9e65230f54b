//! The CustomResourceDefinitions that the derives generate, completed with everything that derives cannot express.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::{CustomResourceExt, ResourceExt};
use serde_json::json;

use super::{DeveloperSpace, SpaceClass, conditions::Reason, names};

/// Both CRDs, as in `crds/*.yaml`.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut space = DeveloperSpace::crd();
    let class = SpaceClass::crd();
    set_status_default(&mut space);
    [space, class].map(complete).into()
}

/// Sets a default status, so that a new space is not current before its first reconcile: kstatus treats an object
/// without a status as current.
fn set_status_default(crd: &mut CustomResourceDefinition) {
    let initial = json!({
        "observedGeneration": -1,
        "conditions": [{
            "type": "Ready",
            "status": "Unknown",
            "reason": Reason::Pending.as_str(),
            "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    });
    for_each_schema(crd, |schema| {
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(initial.clone()));
        }
    });
}

fn complete(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.labels_mut().insert("app.kubernetes.io/name".into(), names::OPERATOR.into());
    for_each_schema(&mut crd, set_maximums);
    crd
}

fn for_each_schema(crd: &mut CustomResourceDefinition, mut act: impl FnMut(&mut JSONSchemaProps)) {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            act(schema);
        }
    }
}

/// A time with nine digits of a second and an offset has 35 characters.
const MAX_TIME_LENGTH: i64 = 64;

/// Gives every string and list that still lacks one a maximum: embedded Kubernetes types bring none.
fn set_maximums(schema: &mut JSONSchemaProps) {
    match schema.type_.as_deref() {
        Some("string") if schema.max_length.is_none() && schema.enum_.is_none() && schema.format.is_none() => {
            schema.max_length = Some(32_768);
        }
        Some("string") if schema.max_length.is_none() && schema.format.is_some() => {
            schema.max_length = Some(MAX_TIME_LENGTH);
        }
        Some("array") if schema.max_items.is_none() => schema.max_items = Some(64),
        _ => {}
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        set_maximums(property);
    }
    if let Some(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(
        items,
    )) = schema.items.as_mut()
    {
        set_maximums(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crds_serialize_to_yaml() {
        for crd in crds() {
            println!("---\n{}", serde_saphyr::to_string(&crd).unwrap());
        }
    }
}
