//! The owner of an existing namespace, and the sentence for a namespace that is not the space's.
//!
//! UIDs decide. The claim annotation only repairs a crash between the creation of a namespace and the record of its
//! UID.

use chrono::TimeDelta;

use super::{
    lifetime::inputs::{created, is_sealed},
    seen_namespace::{ReleaseMarks, SeenNamespace},
    uid::Uid,
};
use crate::api::{DeveloperSpace, names};

/// The tolerance for a namespace that looks older than the space it was created for: clocks of API servers differ.
const CREATION_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The owner of the namespace that has a space's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The space: its UID is recorded, or it was created for the space and a crash prevented the record.
    Ours,
    /// An administrator hands it over.
    Offered,
    /// Another owner, or none.
    Foreign,
}

/// Returns the owner of the namespace. Labels prove nothing. A release is final, although the space still records the
/// UID.
pub fn ownership(space: &DeveloperSpace, seen: &SeenNamespace) -> Ownership {
    let is_recorded = recorded_uid(space).is_some_and(|recorded| seen.uid == *recorded);
    if (is_recorded && !is_released_from(space, seen)) || is_made_for(space, seen) {
        return Ownership::Ours;
    }
    if is_offered(space, seen) { Ownership::Offered } else { Ownership::Foreign }
}

/// Returns true if an adoption was not recorded because of a crash: the namespace has the operator's marks already.
pub(crate) fn is_half_adopted(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    ownership(space, seen) == Ownership::Offered && claims(space, seen)
}

/// Returns true if the deletion of this space has released the namespace. A space that is not being deleted has
/// released nothing, whatever the marks of the namespace.
pub(crate) fn is_released_from(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    let leaving = space.metadata.deletion_timestamp.as_ref().and(space.metadata.uid.as_deref());
    let from = seen.released.as_ref().zip(leaving);
    from.is_some_and(|(released, uid)| released.uid == *uid)
}

/// Returns true if the namespace has the claim of another space, which adopted it.
pub(crate) fn is_claimed_by_another(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    seen.claim.is_some() && !claims(space, seen)
}

/// The UID in status.
pub(crate) fn recorded_uid(space: &DeveloperSpace) -> Option<&str> {
    space.status.as_ref()?.namespace.as_ref().map(|namespace| namespace.uid.as_str())
}

/// Returns true if the namespace was created for the space. The claim holds for a space that is not sealed and has
/// recorded no UID, or that still records the UID that the namespace replaces: the seal may have come before the new
/// UID was recorded. Any other namespace with the same claim is a copy, restored from a backup or created by another
/// client.
fn is_made_for(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    let holds = match recorded_uid(space) {
        None => !is_sealed(space),
        Some(recorded) => seen.replaces.as_ref().is_some_and(|replaced| **replaced == *recorded),
    };
    claims(space, seen) && holds && seen.released.is_none() && seen.created + CREATION_SKEW >= created(space)
}

fn claims(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    seen.claim.as_ref().zip(space.metadata.uid.as_deref()).is_some_and(|(claim, uid)| *claim == *uid)
}

/// Returns true if the offer names this space by UID, or its name and owner. A name alone is not enough, since any user
/// may create a space of that name.
pub(crate) fn is_offered(space: &DeveloperSpace, seen: &SeenNamespace) -> bool {
    let Some((name, to)) = seen.adopt.as_deref().and_then(|offer| offer.split_once('/')) else { return false };
    space.metadata.name.as_deref() == Some(name)
        && (space.metadata.uid.as_deref() == Some(to) || space.spec.owner.to_string() == to)
}

/// The sentence about a namespace that is left alone: its origin, and how it can become the space's.
pub fn conflict(space: &DeveloperSpace, seen: &SeenNamespace) -> String {
    let name = space.metadata.name.as_deref().unwrap_or_default();
    let uid = space.metadata.uid.as_deref().unwrap_or_default();
    let overwrite = if seen.adopt.is_some() { " --overwrite" } else { "" };
    format!(
        "namespace {name} exists and does not belong to this DeveloperSpace, so it is left unchanged{}: choose another name, or have \
         an administrator offer it to {} with: kubectl annotate namespace {name} {}={name}/{uid}{overwrite}",
        origin_and_offer(space, seen),
        space.spec.owner,
        names::ANNOTATION_ADOPT,
    )
}

/// The origin of the namespace and the mistake in its offer, as far as its marks show them.
fn origin_and_offer(space: &DeveloperSpace, seen: &SeenNamespace) -> String {
    let origin = match (&seen.released, &seen.claim) {
        (Some(released), _) => format!(" (it was released from {})", origin(released)),
        (None, Some(_)) if claims(space, seen) => {
            " (it has the marks of this DeveloperSpace but was not created for it: it was restored or copied)"
                .to_owned()
        }
        (None, Some(claim)) => format!(" (it was left by an earlier DeveloperSpace of that name, UID {claim})"),
        (None, None) => String::new(),
    };
    let going = seen.terminating.as_ref().map(|blocked| format!("; it is being deleted{}", because(blocked)));
    let name = space.metadata.name.as_deref().unwrap_or_default();
    let offer = seen.adopt.as_deref().map(|offer| match offer {
        offer if offer == name => {
            format!("; its annotation {} contains no UID, and a name alone is not an offer", names::ANNOTATION_ADOPT)
        }
        other => format!(
            "; its annotation {} offers it to {other:?}, which is not this DeveloperSpace",
            names::ANNOTATION_ADOPT
        ),
    });
    [Some(origin), going, offer].into_iter().flatten().collect()
}

fn origin(ReleaseMarks { space, uid, owner, .. }: &ReleaseMarks) -> String {
    format!("DeveloperSpace {space:?}, UID {uid}, of {owner:?}")
}

/// A colon and the cause, or an empty text.
pub fn because(blocked: &str) -> String {
    if blocked.is_empty() { String::new() } else { format!(": {blocked}") }
}

/// The value of [`names::ANNOTATION_REPLACES`] for a namespace that is created again.
pub fn replaced(space: &DeveloperSpace) -> Option<Uid> {
    recorded_uid(space).map(Uid::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A space that was created at 8:00, with one of the statuses below.
    fn space(status: &str) -> DeveloperSpace {
        let namespace = json!({"name": "orchid-lab", "uid": "uid-recorded"});
        let expired = json!([{"type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": "2026-03-09T08:00:00Z"}]);
        let status = match status {
            "fresh" => json!({}),
            "recorded" => json!({"namespace": namespace}),
            "sealed" => json!({"namespace": namespace, "conditions": expired}),
            "sealed and gone" => json!({"conditions": expired}),
            other => panic!("no status is called {other}"),
        };
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "orchid-lab", "uid": "uid-of-the-space", "creationTimestamp": "2026-03-02T08:00:00Z"},
            "spec": {"owner": {"kind": "ServiceAccount", "namespace": "robots", "name": "ada"}}, "status": status,
        }))
        .unwrap()
    }

    fn seen(uid: &str, created: &str, annotations: &Value) -> SeenNamespace {
        let metadata =
            json!({"name": "orchid-lab", "uid": uid, "creationTimestamp": created, "annotations": annotations});
        SeenNamespace::from_namespace(&serde_json::from_value(json!({"metadata": metadata})).unwrap())
    }

    #[test]
    fn a_claim_counts_only_if_a_crash_can_have_prevented_the_record_of_the_uid() {
        use Ownership::{Foreign, Ours};
        let (before, after) = ("2026-03-02T07:58:59Z", "2026-03-02T07:59:01Z");
        let claim = json!({"developerspace.dev/space-uid": "uid-of-the-space"});
        let another = json!({"developerspace.dev/space-uid": "uid-of-an-earlier-space"});
        let again =
            json!({"developerspace.dev/space-uid": "uid-of-the-space", "developerspace.dev/replaces": "uid-recorded"});
        let older =
            json!({"developerspace.dev/space-uid": "uid-of-the-space", "developerspace.dev/replaces": "uid-before"});
        for (status, uid, created, annotations, expected) in [
            ("recorded", "uid-recorded", before, &json!({}), Ours),
            ("sealed", "uid-recorded", before, &json!({}), Ours),
            ("fresh", "uid-new", after, &json!({}), Foreign),
            ("fresh", "uid-new", after, &claim, Ours),
            ("fresh", "uid-new", before, &claim, Foreign),
            ("fresh", "uid-new", after, &another, Foreign),
            // Row 24: a restored namespace has the claim, and no annotation that it replaces the recorded namespace.
            ("recorded", "uid-new", after, &claim, Foreign),
            ("recorded", "uid-new", after, &older, Foreign),
            ("recorded", "uid-new", after, &again, Ours),
            ("recorded", "uid-new", before, &again, Foreign),
            ("sealed", "uid-new", after, &claim, Foreign),
            ("sealed", "uid-new", after, &older, Foreign),
            ("sealed", "uid-new", after, &again, Ours),
            ("sealed and gone", "uid-new", after, &again, Foreign),
            ("sealed and gone", "uid-new", after, &claim, Foreign),
        ] {
            assert_eq!(
                ownership(&space(status), &seen(uid, created, annotations)),
                expected,
                "{status}, {uid}, {created}: {annotations}"
            );
        }
    }

    #[test]
    fn a_release_is_final() {
        let released = |uid: &str| {
            let (space, owner) = ("orchid-lab".into(), "ServiceAccount:robots/ada".into());
            let mut seen = seen("uid-recorded", "2026-03-02T08:00:01Z", &json!({}));
            seen.released = Some(Box::new(ReleaseMarks { space, uid: uid.into(), owner, class: "greenhouse".into() }));
            seen
        };
        let leaving = |status: &str| {
            let mut space = space(status);
            space.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-03-08T08:00:00Z")).unwrap());
            space
        };
        for status in ["recorded", "sealed"] {
            assert_eq!(ownership(&leaving(status), &released("uid-of-the-space")), Ownership::Foreign, "{status}");
            assert_eq!(
                ownership(&leaving(status), &released("uid-before")),
                Ownership::Ours,
                "released by another, and adopted: {status}"
            );
            assert_eq!(
                ownership(&space(status), &released("uid-of-the-space")),
                Ownership::Ours,
                "the marks are forged: {status}"
            );
        }
        let offered =
            SeenNamespace { adopt: Some("orchid-lab/uid-of-the-space".into()), ..released("uid-of-the-space") };
        assert_eq!(ownership(&leaving("recorded"), &offered), Ownership::Offered);
    }

    #[test]
    fn an_offer_contains_the_uid_of_the_space_or_its_owner() {
        let offered = |value: &str| {
            let mut seen = seen("uid-legacy", "2025-01-01T00:00:00Z", &json!({"developerspace.dev/adopt": value}));
            let first = ownership(&space("fresh"), &seen);
            // With the operator's marks, as a crash leaves it.
            seen.claim = Some("uid-of-the-space".into());
            (first, is_half_adopted(&space("fresh"), &seen))
        };
        for (value, accepted) in [
            ("orchid-lab/uid-of-the-space", true),
            ("orchid-lab/ServiceAccount:robots/ada", true),
            ("orchid-lab", false),
            ("orchid-lab/", false),
            ("orchid-lab/uid-of-an-earlier-space", false),
            ("orchid-lab/User:ada", false),
            ("orchid-lab/ServiceAccount:robots", false),
            ("fern-lab/uid-of-the-space", false),
        ] {
            let expected = if accepted { Ownership::Offered } else { Ownership::Foreign };
            assert_eq!(offered(value), (expected, accepted), "{value}");
        }
    }

    #[test]
    fn a_conflict_contains_the_origin_of_the_namespace_and_the_whole_command() {
        let message = |change: fn(&mut SeenNamespace)| {
            let mut seen = seen("uid-legacy", "2025-01-01T00:00:00Z", &json!({}));
            change(&mut seen);
            conflict(&space("recorded"), &seen)
        };
        let sentence = |middle: &str, end: &str| {
            format!(
                "namespace orchid-lab exists and does not belong to this DeveloperSpace, so it is left unchanged{middle}: choose another name, or \
                 have an administrator offer it to ServiceAccount:robots/ada with: kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab/uid-of-the-space{end}"
            )
        };
        assert_eq!(message(|_| {}), sentence("", ""));
        assert_eq!(
            message(|seen| seen.claim = Some("uid-before".into())),
            sentence(" (it was left by an earlier DeveloperSpace of that name, UID uid-before)", "")
        );
        assert_eq!(
            message(|seen| seen.claim = Some("uid-of-the-space".into())),
            sentence(
                " (it has the marks of this DeveloperSpace but was not created for it: it was restored or copied)",
                ""
            )
        );
        let released = |seen: &mut SeenNamespace| {
            let (space, owner) = ("orchid-lab".into(), "User:bea@example.com".into());
            seen.released =
                Some(Box::new(ReleaseMarks { space, uid: "uid-before".into(), owner, class: "greenhouse".into() }));
        };
        assert_eq!(
            message(released),
            sentence(
                r#" (it was released from DeveloperSpace "orchid-lab", UID uid-before, of "User:bea@example.com")"#,
                ""
            )
        );
        assert_eq!(
            message(|seen| seen.adopt = Some("orchid-lab".into())),
            sentence(
                "; its annotation developerspace.dev/adopt contains no UID, and a name alone is not an offer",
                " --overwrite"
            )
        );
        assert_eq!(
            message(|seen| {
                seen.adopt = Some("orchid-lab/uid-before".into());
                seen.terminating = Some("a pod".into());
            }),
            sentence(
                r#"; it is being deleted: a pod; its annotation developerspace.dev/adopt offers it to "orchid-lab/uid-before", which is not this DeveloperSpace"#,
                " --overwrite"
            )
        );
    }
}
