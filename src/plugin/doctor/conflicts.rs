//! Advice if the name of a space is taken, or if its owner has reached the owner limit.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    diagnosis::{Advice, and_list, patch_command},
    snapshot::ClusterSnapshot,
};
use crate::{
    api::{DeveloperSpace, Subject, conditions::types, names, time::from_k8s},
    desired::space_name::RefusedName,
    plugin::{format, spaces},
};

pub(super) fn namespace_conflict(
    snapshot: &ClusterSnapshot,
    space: &DeveloperSpace,
    message: &str,
    now: DateTime<Utc>,
) -> Advice {
    let name = space.name_any();
    let owner = format::shell_quoted(&format::one_line(&space.spec.owner.to_string()));
    let another =
        [format!("kubectl dspace delete {name}"), format!("kubectl dspace create OTHER-NAME --owner {owner}")];
    match RefusedName::from_message(&name, message) {
        Some(RefusedName::Protected) => return ("No space can have that name.".to_owned(), another.into()),
        // The rules are for new namespaces: an administrator can offer one that exists.
        Some(RefusedName::Unavailable) if snapshot.namespace.object().is_none() => {
            let advice = format!(
                "The operator does not create namespace {name} while that reason applies. Choose another name."
            );
            return (advice, another.into());
        }
        Some(RefusedName::Unavailable) | None => {}
    }
    let Some(namespace) = snapshot.namespace.object() else {
        let gone =
            format!("Namespace {name} no longer exists; the operator creates it for this space at the next reconcile.");
        let unreadable =
            "You cannot read this namespace. Ask an administrator to offer it to this space, or choose another name."
                .to_owned();
        return (if snapshot.namespace.is_absent() { gone } else { unreadable }, another.into());
    };
    let offer = offer_command(namespace, space);
    let advice = format!(
        "{}{} The first command offers it, with everything in it, to the space of {}; it is then deleted together with the space. Only an \
        administrator can run this command; run it only if that is intended. Otherwise, choose another name with the other commands.",
        origin(namespace, now),
        stale_offer(namespace, space),
        space.spec.owner
    );
    (advice, std::iter::once(offer).chain(another).collect())
}

/// The command that offers a namespace to exactly one space for adoption.
pub(super) fn offer_command(namespace: &Namespace, space: &DeveloperSpace) -> String {
    let name = space.name_any();
    let uid = space.metadata.uid.as_deref().unwrap_or_default();
    let overwrite = if namespace.annotations().contains_key(names::ANNOTATION_ADOPT) { " --overwrite" } else { "" };
    format!("kubectl annotate namespace {name} {}={name}/{uid}{overwrite}", names::ANNOTATION_ADOPT)
}

/// Describes an adoption offer on the namespace that does not apply to this space; empty if there is none.
fn stale_offer(namespace: &Namespace, space: &DeveloperSpace) -> String {
    let Some(offer) = namespace.annotations().get(names::ANNOTATION_ADOPT) else { return String::new() };
    let (name, key) = (space.name_any(), names::ANNOTATION_ADOPT);
    let uid = space.metadata.uid.as_deref().unwrap_or_default();
    if *offer == name {
        return format!(" Its annotation {key}={offer} contains no UID; the name alone is not a valid offer.");
    }
    if *offer == format!("{name}/{uid}") || *offer == format!("{name}/{}", space.spec.owner) {
        return String::new();
    }
    format!(" Its annotation {key}={offer} is an offer to another space or owner.")
}

/// Describes a namespace that an earlier space left behind; `None` if the namespace does not have the operator's
/// annotations.
pub(super) fn left_behind(namespace: &Namespace) -> Option<String> {
    let name = namespace.name_any();
    if let Some(from) = namespace.annotations().get(names::ANNOTATION_RELEASED_FROM) {
        let owner = namespace
            .annotations()
            .get(names::ANNOTATION_RELEASED_OWNER)
            .map(|owner| format!(" of {owner}"))
            .unwrap_or_default();
        return Some(format!("Namespace {name} was released from DeveloperSpace {from}{owner}."));
    }
    let uid = namespace.annotations().get(names::ANNOTATION_SPACE_UID)?;
    let owner =
        namespace.annotations().get(names::ANNOTATION_OWNER).map(|owner| format!(" of {owner}")).unwrap_or_default();
    Some(format!(
        "Namespace {name} belonged to an earlier DeveloperSpace{owner} (UID {uid}); the operator does not delete it."
    ))
}

/// Describes the owner of a namespace, according to its labels and annotations.
fn origin(namespace: &Namespace, now: DateTime<Utc>) -> String {
    if let Some(left) = left_behind(namespace) {
        return left;
    }
    let name = namespace.name_any();
    let made = namespace.metadata.creation_timestamp.as_ref().and_then(from_k8s);
    let made = made.map(|at| format!(" was created {} and", format::from_now(now, at))).unwrap_or_default();
    let mark = |map: Option<&BTreeMap<String, String>>, key: &str| {
        map.and_then(|map| map.get(key)).map(|value| format!("{key}={value}"))
    };
    let (labels, annotations) = (namespace.metadata.labels.as_ref(), namespace.metadata.annotations.as_ref());
    let marks = [
        mark(annotations, names::ANNOTATION_OWNER),
        mark(annotations, names::ANNOTATION_OPENSHIFT_REQUESTER),
        mark(annotations, names::ANNOTATION_CONTACT_EMAIL),
        mark(labels, names::LABEL_SPACE),
        mark(labels, names::LABEL_MANAGED_BY),
    ];
    let marks: Vec<String> = marks.into_iter().flatten().collect();
    if marks.is_empty() {
        return format!("Namespace {name}{made} has no label or annotation that identifies its owner.");
    }
    format!("Namespace {name}{made} is marked {}.", and_list(&marks))
}

pub(super) fn owner_limit(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let owner = &space.spec.owner;
    let other_class = patch_command(&name, &json!({"spec": {"className": "OTHER-CLASS"}}));
    let classes = "kubectl dspace classes".to_owned();
    let class =
        snapshot.class().map(kube::ResourceExt::name_any).or_else(|| space.spec.class_name.clone()).unwrap_or_default();
    let limit = snapshot.class().and_then(|class| class.spec.max_spaces_per_owner);
    if limit == Some(0) {
        return (
            format!("SpaceClass {class} allows no spaces (maxSpacesPerOwner: 0); choose another class."),
            vec![classes, other_class],
        );
    }
    let counts = |other: &&DeveloperSpace| {
        let status = other.status.clone().unwrap_or_default();
        let theirs = status.owner.as_ref().map_or_else(|| other.spec.owner.clone(), Subject::from);
        // An expired space without a namespace does not count toward the owner limit. A space that is being deleted
        // counts until its namespace no longer exists.
        let is_remembered = spaces::is_true(other, types::EXPIRED) && status.namespace.is_none();
        theirs == *owner
            && other.name_any() != name
            && !is_remembered
            && status.class_name.is_some_and(|theirs| theirs == class)
    };
    let others: Vec<String> = snapshot.spaces.items().iter().filter(counts).map(kube::ResourceExt::name_any).collect();
    let limit = limit.map(|limit| format!(", which allows {limit}")).unwrap_or_default();
    let has = match others.as_slice() {
        [] => "The other spaces of the owner could not be determined.".to_owned(),
        [only] => format!("{owner} has one space of class {class}{limit}: {only}."),
        others => format!("{owner} has {} spaces of class {class}{limit}: {}.", others.len(), and_list(others)),
    };
    let delete = match others.as_slice() {
        [only] => format!("kubectl dspace delete {only}"),
        _ => "kubectl dspace delete ONE-OF-THEM".to_owned(),
    };
    let advice = format!(
        "{has} Delete a space that is no longer needed, or let one expire; the operator then provisions {name} automatically. \
        Or choose another class."
    );
    (advice, vec![delete, classes, other_class])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        api::{NameRules, protected_namespaces::ProtectedNamespaces},
        desired::space_name::{Reservation, check_name, refusal},
        plugin::doctor::{
            fetched::Fetched,
            fixtures::{advice_lines, class, healthy, now, parse, space, unready_with},
        },
    };

    #[test]
    fn a_name_conflict_is_explained_by_the_origin_of_the_namespace() {
        let others = |metadata: Value| Fetched::Found(Some(parse(json!({"metadata": metadata}))));
        let mut snapshot = unready_with("NamespaceConflict", |_| {});
        snapshot.namespace = others(json!({
            "name": "orchid-lab", "uid": "ns-1", "creationTimestamp": "2026-11-21T05:00:00Z",
            "annotations": {"openshift.io/requester": "omar@example.com"}, "labels": {"app.kubernetes.io/managed-by": "helm"},
        }));
        let expected = [
            "Namespace orchid-lab was created 3d4h ago and is marked openshift.io/requester=omar@example.com and \
            app.kubernetes.io/managed-by=helm. The first command offers it, with everything in it, to the space of User:nadia@example.com; \
            it is then deleted together with the space. Only an administrator can run this command; run it only if that is intended. \
            Otherwise, choose another name with the other commands.",
            "  kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab/space-3",
            "  kubectl dspace delete orchid-lab",
            "  kubectl dspace create OTHER-NAME --owner User:nadia@example.com",
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        let marks = |annotations: Value| others(json!({"name": "orchid-lab", "annotations": annotations}));
        for (namespace, begins) in [
            (
                others(json!({"name": "orchid-lab"})),
                "Namespace orchid-lab has no label or annotation that identifies its owner. The first",
            ),
            (
                marks(
                    json!({"developerspace.dev/space-uid": "space-1", "developerspace.dev/owner": "User:petra@example.com"}),
                ),
                "Namespace orchid-lab belonged to an earlier DeveloperSpace of User:petra@example.com (UID space-1); the operator does not \
                delete it. The",
            ),
            (
                marks(
                    json!({"developerspace.dev/released-from": "orchid-lab/space-1", "developerspace.dev/released-owner": "Group:moss"}),
                ),
                "Namespace orchid-lab was released from DeveloperSpace orchid-lab/space-1 of Group:moss. The",
            ),
            (
                marks(json!({"developerspace.dev/adopt": "orchid-lab"})),
                "Namespace orchid-lab has no label or annotation that identifies its owner. Its annotation \
                developerspace.dev/adopt=orchid-lab contains no UID; the name alone is not a valid offer. The",
            ),
            (
                marks(json!({"developerspace.dev/adopt": "orchid-lab/space-1"})),
                "Namespace orchid-lab has no label or annotation that identifies its owner. Its annotation \
                developerspace.dev/adopt=orchid-lab/space-1 is an offer to another",
            ),
            (Fetched::Found(None), "Namespace orchid-lab no longer exists"),
            (Fetched::NotNeeded, "You cannot read this namespace."),
        ] {
            snapshot.namespace = namespace;
            assert!(advice_lines(&snapshot)[0].starts_with(begins), "{:?}", advice_lines(&snapshot));
        }
        snapshot.namespace = marks(json!({"developerspace.dev/adopt": "orchid-lab"}));
        assert!(
            advice_lines(&snapshot)[1].ends_with("adopt=orchid-lab/space-3 --overwrite"),
            "{:?}",
            advice_lines(&snapshot)
        );
    }

    #[test]
    fn a_refused_name_is_not_promised_a_namespace() {
        let rules = NameRules { denied: vec!["orchid-*".into()], ..NameRules::default() };
        let account = Reservation::Account { space: "fern-lab".into() };
        let unavailable = [(Some(&rules), None), (None, Some(&account))]
            .map(|(rules, reservation)| refusal("orchid-lab", "greenhouse", rules, reservation).unwrap().message);
        let protected = check_name("orchid-lab", &ProtectedNamespaces::new("dspace-home", &["orchid-*".into()]))
            .unwrap_err()
            .message;
        let another =
            ["kubectl dspace delete orchid-lab", "kubectl dspace create OTHER-NAME --owner User:nadia@example.com"];
        let mut snapshot = healthy();
        let advice = |snapshot: &ClusterSnapshot, message: &str| namespace_conflict(snapshot, &space(), message, now());
        let never = ("No space can have that name.".to_owned(), another.map(ToOwned::to_owned).to_vec());
        assert_eq!(advice(&snapshot, &protected), never);
        for message in &unavailable {
            assert!(advice(&snapshot, message).1[0].starts_with("kubectl annotate namespace orchid-lab "), "{message}");
        }
        let waits = "The operator does not create namespace orchid-lab while that reason applies. Choose another name."
            .to_owned();
        for namespace in [Fetched::Found(None), Fetched::NotNeeded] {
            snapshot.namespace = namespace;
            assert_eq!(advice(&snapshot, &protected), never);
            for message in &unavailable {
                assert_eq!(advice(&snapshot, message), (waits.clone(), never.1.clone()), "{message}");
            }
        }
    }

    #[test]
    fn the_owner_limit_is_explained_by_the_spaces_that_count() {
        let named = |name: &str, change: fn(&mut DeveloperSpace)| {
            let mut other = space();
            other.metadata.name = Some(name.to_owned());
            change(&mut other);
            other
        };
        let mut snapshot = unready_with("OwnerLimitExceeded", |_| {});
        let away = |space: &mut DeveloperSpace| {
            let expired = json!({
                "type": "Expired", "status": "True", "reason": "Expired", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z",
            });
            let status = space.status.as_mut().unwrap();
            status.conditions.push(parse(expired));
            status.namespace = None;
        };
        let elsewhere =
            |space: &mut DeveloperSpace| space.status.as_mut().unwrap().class_name = Some("meadow".to_owned());
        let of_others = |space: &mut DeveloperSpace| space.spec.owner.name = "omar@example.com".into();
        // Its new owner is not admitted yet.
        let in_transfer = |space: &mut DeveloperSpace| {
            let status = space.status.as_mut().unwrap();
            status.owner = Some((&space.spec.owner).into());
            space.spec.owner.name = "omar@example.com".into();
        };
        snapshot.spaces = Fetched::Found(vec![
            space(),
            named("fern-lab", |_| {}),
            named("moss-lab", in_transfer),
            named("gone-lab", away),
            named("meadow-lab", elsewhere),
            named("omars-lab", of_others),
        ]);
        let commands = [
            "  kubectl dspace classes",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"className":"OTHER-CLASS"}}'"#,
        ];
        let expected = [
            "User:nadia@example.com has 2 spaces of class greenhouse, which allows 2: fern-lab and moss-lab. Delete a space that is no \
            longer needed, or let one expire; the operator then provisions orchid-lab automatically. Or choose another class.",
            "  kubectl dspace delete ONE-OF-THEM",
        ];
        assert_eq!(advice_lines(&snapshot), [&expected[..], &commands[..]].concat());
        snapshot.spaces = Fetched::Found(vec![named("fern-lab", |_| {})]);
        assert_eq!(advice_lines(&snapshot)[1], "  kubectl dspace delete fern-lab");
        let mut none = class();
        none.spec.max_spaces_per_owner = Some(0);
        snapshot.classes = Fetched::Found(vec![none]);
        let expected = ["SpaceClass greenhouse allows no spaces (maxSpacesPerOwner: 0); choose another class."];
        assert_eq!(advice_lines(&snapshot), [&expected[..], &commands[..]].concat());
    }
}
