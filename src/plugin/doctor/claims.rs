//! What to do where somebody else has what a space asks for: its name, or the last place that its owner may have.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    findings::{listed, patch},
    looks::Observed,
    refusals::Advice,
};
use crate::{
    api::{DeveloperSpace, conditions::types, names, time::from_k8s},
    plugin::{human, spaces},
};

pub(super) fn conflict(seen: &Observed, space: &DeveloperSpace, message: &str, now: DateTime<Utc>) -> Advice {
    let name = space.name_any();
    let owner = human::shell(&space.spec.owner.to_string());
    let another = [format!("kubectl dspace delete {name}"), format!("kubectl dspace create OTHER-NAME --owner {owner}")];
    // The operator's own word, see `check_name` in `desired::resolve`.
    if message.contains(" is protected on this cluster") {
        return ("No space can have that name.".to_owned(), another.into());
    }
    let whose = match (seen.namespace.found(), seen.namespace.is_absent()) {
        (Some(namespace), _) => whose(namespace, now),
        (None, true) => format!("Namespace {name} is gone meanwhile, so this may mend itself."),
        (None, false) => "Whose namespace it is could not be looked at.".to_owned(),
    };
    let adopt = format!("kubectl annotate namespace {name} {}={name}", names::ANNOTATION_ADOPT);
    let advice = format!(
        "{whose} An administrator hands it over by the first command, and then it ends with the space; or take another name by the others."
    );
    (advice, std::iter::once(adopt).chain(another).collect())
}

/// What a namespace says of whom it belongs to.
fn whose(namespace: &Namespace, now: DateTime<Utc>) -> String {
    let name = namespace.name_any();
    let made = namespace.metadata.creation_timestamp.as_ref().and_then(from_k8s);
    let made = made.map(|at| format!(" was made {} and", human::from_now(now, at))).unwrap_or_default();
    let mark = |map: Option<&BTreeMap<String, String>>, key: &str| map.and_then(|map| map.get(key)).map(|value| format!("{key}={value}"));
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
        return format!("Namespace {name}{made} does not say whose it is.");
    }
    format!("Namespace {name}{made} is marked {}.", listed(&marks))
}

pub(super) fn owner_limit(seen: &Observed, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let owner = &space.spec.owner;
    let other_class = patch(&name, &json!({"spec": {"className": "OTHER-CLASS"}}));
    let classes = "kubectl dspace classes".to_owned();
    let class = seen.class().map(kube::ResourceExt::name_any).or_else(|| space.spec.class_name.clone()).unwrap_or_default();
    let limit = seen.class().and_then(|class| class.spec.max_spaces_per_owner);
    if limit == Some(0) {
        return (format!("SpaceClass {class} lets nobody have a space: choose another."), vec![classes, other_class]);
    }
    let counts = |other: &&DeveloperSpace| {
        let theirs = other.status.as_ref().and_then(|status| status.class_name.as_ref());
        other.spec.owner == *owner
            && other.name_any() != name
            && other.metadata.deletion_timestamp.is_none()
            && !spaces::is_true(other, types::EXPIRED)
            && theirs.is_some_and(|theirs| *theirs == class)
    };
    let others: Vec<String> = seen.spaces.all().iter().filter(counts).map(kube::ResourceExt::name_any).collect();
    let limit = limit.map(|limit| format!(", which allows {limit}")).unwrap_or_default();
    let has = match others.as_slice() {
        [] => "Which spaces the owner has could not be seen.".to_owned(),
        [only] => format!("{owner} has one space of class {class}{limit}: {only}."),
        others => format!("{owner} has {} spaces of class {class}{limit}: {}.", others.len(), listed(others)),
    };
    let delete = match others.as_slice() {
        [only] => format!("kubectl dspace delete {only}"),
        _ => "kubectl dspace delete ONE-OF-THEM".to_owned(),
    };
    let advice =
        format!("{has} Delete one that nobody needs, or let one expire, and {name} goes ahead by itself; or choose another class.");
    (advice, vec![delete, classes, other_class])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plugin::doctor::{
        fixtures::{advised as judged, class, ill, now, read, space, well},
        looks::Look,
    };

    #[test]
    fn names_that_others_have() {
        let others = |metadata: Value| Look::Seen(Some(read(json!({"metadata": metadata}))));
        let mut seen = ill("NamespaceConflict", |_| {});
        seen.namespace = others(json!({
            "name": "orchid-lab", "uid": "ns-1", "creationTimestamp": "2026-11-21T05:00:00Z",
            "annotations": {"openshift.io/requester": "omar@example.com"}, "labels": {"app.kubernetes.io/managed-by": "helm"},
        }));
        let expected = [
            "Namespace orchid-lab was made 3d4h ago and is marked openshift.io/requester=omar@example.com and app.kubernetes.io/managed-by=helm. \
            An administrator hands it over by the first command, and then it ends with the space; or take another name by the others.",
            "  kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab",
            "  kubectl dspace delete orchid-lab",
            "  kubectl dspace create OTHER-NAME --owner User:nadia@example.com",
        ];
        assert_eq!(judged(&seen), expected);
        for (namespace, begins) in [
            (others(json!({"name": "orchid-lab"})), "Namespace orchid-lab does not say whose it is. An administrator"),
            (Look::Seen(None), "Namespace orchid-lab is gone meanwhile, so this may mend itself. An administrator"),
            (Look::Needless, "Whose namespace it is could not be looked at. An administrator"),
        ] {
            seen.namespace = namespace;
            assert!(judged(&seen)[0].starts_with(begins), "{:?}", judged(&seen));
        }
        let message = "namespace orchid-lab is protected on this cluster: delete this DeveloperSpace and choose another name";
        let (advice, commands) = conflict(&well(), &space(), message, now());
        assert_eq!((advice.as_str(), commands.len()), ("No space can have that name.", 2));
    }

    #[test]
    fn owners_with_too_many_spaces() {
        let named = |name: &str, change: fn(&mut DeveloperSpace)| {
            let mut other = space();
            other.metadata.name = Some(name.to_owned());
            change(&mut other);
            other
        };
        let mut seen = ill("OwnerLimitExceeded", |_| {});
        let away = |space: &mut DeveloperSpace| space.metadata.deletion_timestamp = read("2026-11-24T08:00:00Z".into());
        let elsewhere = |space: &mut DeveloperSpace| space.status.as_mut().unwrap().class_name = Some("meadow".to_owned());
        let of_others = |space: &mut DeveloperSpace| space.spec.owner.name = "omar@example.com".into();
        seen.spaces = Look::Seen(vec![
            space(),
            named("fern-lab", |_| {}),
            named("moss-lab", |_| {}),
            named("gone-lab", away),
            named("meadow-lab", elsewhere),
            named("omars-lab", of_others),
        ]);
        let commands =
            ["  kubectl dspace classes", r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"className":"OTHER-CLASS"}}'"#];
        let expected = [
            "User:nadia@example.com has 2 spaces of class greenhouse, which allows 2: fern-lab and moss-lab. \
            Delete one that nobody needs, or let one expire, and orchid-lab goes ahead by itself; or choose another class.",
            "  kubectl dspace delete ONE-OF-THEM",
        ];
        assert_eq!(judged(&seen), [&expected[..], &commands[..]].concat());
        seen.spaces = Look::Seen(vec![named("fern-lab", |_| {})]);
        assert_eq!(judged(&seen)[1], "  kubectl dspace delete fern-lab");
        let mut none = class();
        none.spec.max_spaces_per_owner = Some(0);
        seen.classes = Look::Seen(vec![none]);
        let expected = ["SpaceClass greenhouse lets nobody have a space: choose another."];
        assert_eq!(judged(&seen), [&expected[..], &commands[..]].concat());
    }
}
