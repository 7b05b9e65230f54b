//! Events about issued certificates: certificates cannot be revoked, and the cluster keeps no list of them.

use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
use kube::{
    Api, Resource as _,
    api::{ObjectMeta, PostParams},
};

use crate::{
    api::DeveloperSpace,
    plugin::{cluster::Cluster, events::CLUSTER_EVENT_NAMESPACE, requests},
};

/// Creates an Event about the space that records a certificate.
pub(super) async fn record_certificate(
    cluster: &Cluster,
    space: &DeveloperSpace,
    note: &str,
) -> Result<(), kube::Error> {
    let at = cluster.now();
    let event = Event {
        metadata: ObjectMeta { generate_name: Some("dspace-certificate-".to_owned()), ..ObjectMeta::default() },
        action: Some("Onboard".to_owned()),
        event_time: Some(MicroTime(Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or_default())),
        note: Some(note.to_owned()),
        reason: Some("CertificateIssued".to_owned()),
        regarding: Some(space.object_ref(&())),
        reporting_controller: Some(requests::FIELD_MANAGER.to_owned()),
        reporting_instance: Some(requests::FIELD_MANAGER.to_owned()),
        type_: Some("Normal".to_owned()),
        ..Event::default()
    };
    Api::<Event>::namespaced(cluster.client.clone(), CLUSTER_EVENT_NAMESPACE)
        .create(&PostParams::default(), &event)
        .await
        .map(drop)
}
