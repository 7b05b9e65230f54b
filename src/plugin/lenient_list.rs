//! Lists whose objects are parsed one by one, so that an object that cannot be parsed does not hide the others.
//!
//! Every client that may create an object may set times in it that [`k8s_openapi`] cannot parse: those of an Event, or
//! those in the metadata of a pod template. A list of typed objects fails if it contains one such object.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::{Deserialize as _, de::DeserializeOwned};
use serde_json::Value;

use super::{api_error::innermost_cause, cluster::Cluster, pages::list_all_pages};
use crate::api::without_managed_fields::WithoutManagedFields;

/// The objects of a list that can be parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LenientList<K> {
    /// These objects, in the order of the list.
    pub(crate) objects: Vec<K>,
    /// An error for each other object.
    pub(crate) errors: Vec<String>,
}

impl<K: Resource + DeserializeOwned> LenientList<K> {
    fn of(objects: Vec<DynamicObject>) -> Self {
        let mut found = Self { objects: Vec::new(), errors: Vec::new() };
        for object in objects {
            match without_unreadable_times(object).try_parse() {
                Ok(object) => found.objects.push(object),
                Err(error) => found.errors.push(innermost_cause(&error)),
            }
        }
        found
    }
}

/// The objects in a namespace, or in all namespaces.
pub(crate) async fn list<K>(
    cluster: &Cluster,
    namespace: Option<&str>,
    params: ListParams,
) -> Result<LenientList<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let (client, resource) = (cluster.client.clone(), ApiResource::erase::<K>(&()));
    let api: Api<WithoutManagedFields<DynamicObject>> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    Ok(LenientList::of(list_all_pages(&api, params).await?))
}

/// The times of an Event, in both of its API groups, except that of its series.
const EVENT_TIME_FIELDS: [&str; 5] =
    ["eventTime", "firstTimestamp", "lastTimestamp", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"];

/// Removes the times of an Event that cannot be parsed. A series requires its time.
fn without_unreadable_times(mut object: DynamicObject) -> DynamicObject {
    if let Some(fields) = object.data.as_object_mut() {
        fields.retain(|key, value| match key.as_str() {
            "series" => is_time(&value["lastObservedTime"]),
            key => !EVENT_TIME_FIELDS.contains(&key) || value.is_null() || is_time(value),
        });
    }
    object
}

fn is_time(value: &Value) -> bool {
    MicroTime::deserialize(value).is_ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Event as CoreEvent, events::v1::Event};
    use kube::core::ObjectList;
    use serde_json::json;

    use super::*;

    /// A time that the API server stores and that the library cannot parse.
    const FAR: &str = "9999-12-31T23:59:59Z";

    fn listed<K: Resource + DeserializeOwned>(kind: &str, items: &Value) -> LenientList<K> {
        let list = json!({"apiVersion": "x/v1", "kind": format!("{kind}List"), "metadata": {}, "items": items});
        let list: ObjectList<WithoutManagedFields<DynamicObject>> = serde_json::from_value(list).unwrap();
        LenientList::of(list.items.into_iter().map(|WithoutManagedFields(object)| object).collect())
    }

    #[test]
    fn an_event_that_cannot_be_parsed_hides_no_other() {
        let metadata = |name: &str| json!({"name": name, "managedFields": [{"manager": "x", "time": FAR}]});
        let late = json!({"count": 2, "lastObservedTime": FAR});
        let found: LenientList<Event> = listed(
            "Event",
            &json!([
                {"metadata": metadata("broken"), "note": ["no text"]},
                {"metadata": metadata("late"), "deprecatedFirstTimestamp": FAR, "deprecatedLastTimestamp": FAR, "eventTime": null, "series": late},
                {"metadata": metadata("once"), "eventTime": "2026-11-24T08:00:00.000000Z", "series": {"count": 1, "lastObservedTime": null}},
            ]),
        );
        let expected = [
            json!({"metadata": {"name": "late"}}),
            json!({"metadata": {"name": "once"}, "eventTime": "2026-11-24T08:00:00.000000Z"}),
        ];
        assert_eq!(found.objects, expected.map(|event| serde_json::from_value::<Event>(event).unwrap()));
        assert_eq!(found.errors.len(), 1, "{found:?}");
    }

    #[test]
    fn an_event_keeps_the_times_that_can_be_parsed() {
        let series = json!({"count": 2, "lastObservedTime": "2026-11-24T08:30:00.000000Z"});
        let event = json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "firstTimestamp": "2026-11-24T08:00:00Z", "lastTimestamp": FAR, "series": series,
        });
        let expected: CoreEvent = serde_json::from_value(json!({
            "metadata": {"name": "e"}, "involvedObject": {}, "firstTimestamp": "2026-11-24T08:00:00Z", "series": series,
        }))
        .unwrap();
        assert_eq!(listed("Event", &json!([event])), LenientList { objects: vec![expected], errors: vec![] });
    }

    #[test]
    fn a_time_in_a_pod_template_hides_no_other_object() {
        let item = |name: &str, template: &Value| json!({"metadata": {"name": name, "namespace": "fern-lab"}, "spec": {"selector": {}, "template": template}});
        let items =
            json!([item("hostile", &json!({"metadata": {"creationTimestamp": FAR}})), item("plain", &json!({}))]);
        let found: LenientList<Deployment> = listed("Deployment", &items);
        assert_eq!(found.objects, [serde_json::from_value::<Deployment>(item("plain", &json!({}))).unwrap()]);
        assert_eq!(found.errors.len(), 1, "{found:?}");
    }
}
