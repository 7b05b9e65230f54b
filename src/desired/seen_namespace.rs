//! The part of an existing namespace that is kept in memory: enough to decide its owner, its missing marks and the
//! cause that holds up its deletion.
//!
//! There may be tens of thousands, so fields that few of them have are boxed.

use chrono::{DateTime, Utc};
use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{metadata::SeenMetadata, pod_security, resource_version::version, uid::Uid};
use crate::api::{
    PodSecurity, names,
    text::{shorten, some_of, start_of},
    time,
};

/// The most bytes of the message of one condition. Users of the namespace control its length: kube-controller-manager
/// lists every finalizer of the remaining objects.
const MAX_MESSAGE_BYTES: usize = 1_024;

/// The most bytes of an annotation's value that are read. No value of the operator's annotations is longer.
const MAX_VALUE_BYTES: usize = 2 * 1_024;

/// The number of finalizers of the Namespace that are named.
const MAX_NAMED_FINALIZERS: usize = 10;

/// The most bytes of the cause that holds up a deletion.
const MAX_CAUSE_BYTES: usize = 8 * 1_024;

/// The part of an existing namespace that is kept in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenNamespace {
    /// Its UID.
    pub uid: Uid,
    /// Its resourceVersion, as the number that it is in etcd.
    pub version: u64,
    /// Its creation.
    pub created: DateTime<Utc>,
    /// UID of the space that it was created for, by its annotation.
    pub claim: Option<Uid>,
    /// UID of the recorded namespace that it was created to replace, by its annotation.
    pub replaces: Option<Box<Uid>>,
    /// The offer of an administrator to hand it over, by its annotation.
    pub adopt: Option<Box<str>>,
    /// The space that it was released from, by its marks.
    pub released: Option<Box<ReleaseMarks>>,
    /// The Pod Security levels that it had at its adoption.
    pub adopted_security: PodSecurity,
    /// The cause that holds up its deletion, while it is terminating, cut to a few KiB; empty if nothing does.
    pub terminating: Option<String>,
    /// Its labels and annotations.
    pub metadata: SeenMetadata,
}

/// The marks of a released namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseMarks {
    /// Name of the space that it was released from.
    pub space: Box<str>,
    /// UID of that space.
    pub uid: Uid,
    /// The owner for whom it counts, as in `developerspace.dev/owner`; empty if there is none.
    pub owner: Box<str>,
    /// The class in which it counts.
    pub class: Box<str>,
}

impl SeenNamespace {
    /// Keeps the needed part of `namespace`, whose managed fields must still be present.
    pub(crate) fn from_namespace(namespace: &Namespace) -> Self {
        let metadata = &namespace.metadata;
        let uid = |key| annotation(metadata, key).map(Uid::from);
        Self {
            uid: Uid::from_metadata(metadata),
            version: version(metadata),
            created: metadata.creation_timestamp.as_ref().and_then(time::from_k8s).unwrap_or_default(),
            claim: uid(names::ANNOTATION_SPACE_UID),
            replaces: uid(names::ANNOTATION_REPLACES).map(Box::new),
            adopt: annotation(metadata, names::ANNOTATION_ADOPT).map(Into::into),
            released: released(metadata).map(Box::new),
            adopted_security: annotation(metadata, names::ANNOTATION_ADOPTED_POD_SECURITY)
                .map(pod_security::from_annotation)
                .unwrap_or_default(),
            terminating: metadata.deletion_timestamp.as_ref().map(|_| blocked_by(namespace)),
            metadata: SeenMetadata::from_metadata(metadata),
        }
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(|value| start_of(value, MAX_VALUE_BYTES))
}

fn released(metadata: &ObjectMeta) -> Option<ReleaseMarks> {
    let label = metadata.labels.as_ref()?.get(names::LABEL_RELEASED)?;
    let value = |key| annotation(metadata, key).unwrap_or_default();
    let (space, uid) = value(names::ANNOTATION_RELEASED_FROM).split_once('/').unwrap_or_default();
    (label == "true").then(|| ReleaseMarks {
        space: space.into(),
        uid: uid.into(),
        owner: value(names::ANNOTATION_RELEASED_OWNER).into(),
        class: value(names::ANNOTATION_RELEASED_CLASS).into(),
    })
}

/// The cause that holds up the deletion: the namespace controller's conditions about the contents, see
/// `NamespaceConditionType` in <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/>,
/// and the finalizers of the Namespace itself, which that controller does not report.
fn blocked_by(namespace: &Namespace) -> String {
    let conditions = namespace.status.iter().flat_map(|status: &NamespaceStatus| status.conditions.iter().flatten());
    let messages =
        conditions.filter(|condition| condition.status == "True").filter_map(|condition| condition.message.as_deref());
    let contents = messages.map(|message| shorten(message, MAX_MESSAGE_BYTES));
    let finalizers = namespace.metadata.finalizers.as_deref().unwrap_or_default();
    let own = (!finalizers.is_empty()).then(|| {
        let named = some_of(finalizers, MAX_NAMED_FINALIZERS, 0);
        format!(
            "the Namespace has the finalizers {named}; each one is removed by its controller, or by an administrator"
        )
    });
    shorten(&contents.chain(own).collect::<Vec<_>>().join("; "), MAX_CAUSE_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seen(namespace: &Value) -> SeenNamespace {
        SeenNamespace::from_namespace(&serde_json::from_value(namespace.clone()).unwrap())
    }

    #[test]
    fn the_cause_of_a_blocked_deletion_includes_the_finalizers_of_the_namespace() {
        let condition =
            |type_: &str, status: &str, message: &str| json!({"type": type_, "status": status, "message": message});
        let going = |finalizers: Value, conditions: Value| {
            let metadata =
                json!({"name": "orchid-lab", "deletionTimestamp": "2026-03-04T12:00:00Z", "finalizers": finalizers});
            seen(&json!({"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"conditions": conditions}})).terminating
        };
        let pods = condition("NamespaceContentRemaining", "True", "Some resources are remaining: pods.");
        let fine = condition("NamespaceDeletionDiscoveryFailure", "False", "All resources successfully discovered");
        let held = "the Namespace has the finalizers example.com/a, example.com/b; each one is removed by its controller, or by an administrator";
        for (finalizers, conditions, expected) in [
            (json!([]), json!([]), String::new()),
            (json!([]), json!([pods, fine]), "Some resources are remaining: pods.".to_owned()),
            (json!(["example.com/a", "example.com/b"]), json!([fine]), held.to_owned()),
            (
                json!(["example.com/a", "example.com/b"]),
                json!([pods]),
                format!("Some resources are remaining: pods.; {held}"),
            ),
        ] {
            assert_eq!(going(finalizers, conditions), Some(expected));
        }
        assert_eq!(
            seen(&json!({"metadata": {"name": "orchid-lab", "finalizers": ["example.com/a"]}})).terminating,
            None
        );
    }

    #[test]
    fn a_cause_of_any_length_is_cut_and_names_each_condition() {
        let condition = |type_: &str, message: &str| json!({"type": type_, "status": "True", "message": message});
        let one = "example.com/a in 1 resource instances, ";
        let remaining = format!("Some content in the namespace has finalizers remaining: {}", one.repeat(30_000));
        let finalizers: Vec<String> =
            (0..4_000).map(|number| format!("example.com/{}-{number}", "b".repeat(200))).collect();
        let namespace = json!({
            "metadata": {"name": "orchid-lab", "deletionTimestamp": "2026-03-04T12:00:00Z", "finalizers": finalizers},
            "status": {"conditions": [
                condition("NamespaceFinalizersRemaining", &remaining),
                condition("NamespaceContentRemaining", "Some resources are remaining: configmaps. has 1 resource instances"),
            ]},
        });
        let cause = seen(&namespace).terminating.unwrap();
        assert!(cause.len() <= 8 * 1_024, "{} bytes", cause.len());
        for part in [
            "Some content in the namespace has finalizers remaining: example.com/a in 1 resource instances",
            "; Some resources are remaining: configmaps. has 1 resource instances; the Namespace has the finalizers example.com/bbb",
            " and 3990 more; each one is removed by its controller, or by an administrator",
        ] {
            assert!(cause.contains(part), "{part} is missing in {cause}");
        }
        let many: Vec<Value> = (0..500).map(|number| condition(&format!("Of{number}"), &one.repeat(100))).collect();
        let namespace = json!({"metadata": namespace["metadata"], "status": {"conditions": many}});
        assert!(seen(&namespace).terminating.unwrap().len() <= 8 * 1_024);
    }

    #[test]
    fn the_marks_of_a_release_are_read() {
        let annotations = json!({
            "developerspace.dev/released-from": "orchid-lab/uid-of-the-space", "developerspace.dev/released-class": "greenhouse",
            "developerspace.dev/released-owner": "ServiceAccount:robots/ada", "developerspace.dev/released-at": "2026-03-04T12:00:00Z",
        });
        let released = |label: &str, annotations: &Value| {
            seen(&json!({"metadata": {"labels": {"developerspace.dev/released": label}, "annotations": annotations}}))
                .released
        };
        let expected = ReleaseMarks {
            space: "orchid-lab".into(),
            uid: "uid-of-the-space".into(),
            owner: "ServiceAccount:robots/ada".into(),
            class: "greenhouse".into(),
        };
        assert_eq!(released("true", &annotations).as_deref(), Some(&expected));
        assert_eq!(released("true", &json!({})).as_deref(), Some(&ReleaseMarks::default()));
        assert_eq!(released("false", &annotations), None);
        let long = json!({"developerspace.dev/released-owner": "x".repeat(200_000)});
        assert_eq!(released("true", &long).map(|released| released.owner.len()), Some(2 * 1_024));
    }
}
