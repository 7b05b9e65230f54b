//! Kubernetes Events (events.k8s.io/v1). One POST a transition; transitions are rare, so nothing is aggregated.
//!
//! Events about a space live in `default`, the only place that the server accepts for a cluster-scoped object.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, api::PostParams};

use crate::{
    api::{DeveloperSpace, NamespaceRef, names},
    desired::status::Note,
};

/// The longest note that the server takes, see `NoteLengthLimit` in `k8s.io/kubernetes/pkg/apis/core/validation/events.go`.
const LONGEST_NOTE: usize = 1_024;

/// Writes Events. A lost Event never fails a reconcile.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    instance: String,
    count: std::sync::Arc<AtomicU32>,
}

impl Recorder {
    /// A recorder that signs with `instance`, usually the pod's name.
    pub fn new(client: Client, instance: &str) -> Self {
        Self { client, instance: instance.chars().take(128).collect(), count: std::sync::Arc::default() }
    }

    /// Tells `notes` of `space`, and those meant for its people inside its namespace too.
    pub async fn publish(
        &self,
        space: &DeveloperSpace,
        namespace: Option<&NamespaceRef>,
        notes: &[Note],
        now: chrono::DateTime<chrono::Utc>,
    ) {
        for note in notes {
            self.post(note, space.object_ref(&()), now).await;
            if let Some(NamespaceRef { name, uid }) = namespace.filter(|_| note.in_namespace) {
                let regarding = ObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Namespace".into()),
                    name: Some(name.clone()),
                    namespace: Some(name.clone()),
                    uid: Some(uid.clone()),
                    ..ObjectReference::default()
                };
                self.post(note, regarding, now).await;
            }
        }
    }

    async fn post(&self, note: &Note, regarding: ObjectReference, now: chrono::DateTime<chrono::Utc>) {
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let stamp = Timestamp::from_microsecond(now.timestamp_micros()).unwrap_or_default();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{:x}.{number:x}", regarding.name.as_deref().unwrap_or_default(), now.timestamp_micros());
        let event = Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(stamp)),
            note: Some(shorten(&note.message)),
            reason: Some(note.reason.clone()),
            regarding: Some(regarding),
            reporting_controller: Some(names::OPERATOR.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        if let Err(error) = Api::<Event>::namespaced(self.client.clone(), &namespace).create(&params, &event).await {
            tracing::warn!(namespace, reason = note.reason, %error, "an Event was lost");
        }
    }
}

fn shorten(message: &str) -> String {
    let end = (0..=message.len().min(LONGEST_NOTE)).rev().find(|at| message.is_char_boundary(*at));
    message[..end.unwrap_or_default()].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        let cut = shorten(&"é".repeat(1_000));
        assert!(cut.len() <= LONGEST_NOTE && cut.chars().all(|c| c == 'é'));
    }
}
