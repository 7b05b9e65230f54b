//! All spaces at once: violations of the rules of their classes, for example after an upgrade, and namespaces that wait to be handed over.

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::ListParams};

use super::{
    conflicts::{left_behind, offer},
    consent,
    fetch::classes,
    fetched::{Look, Unreadable},
    findings::{Finding, ended},
};
use crate::{
    api::{DeveloperSpace, SpaceClass, conditions::Reason, names, without_managed_fields::WithoutManagedFields},
    desired::{lifetime::inputs::is_sealed, ownership::recorded_uid, standing::standing},
    plugin::{api_error::sentence, class_in_force::default_class, cluster::Cluster, format, reach, readable::pages, spaces::ready},
};

/// All objects that the caller may read.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) spaces: Vec<DeveloperSpace>,
    /// True if the caller may not list spaces: `spaces` contains only the space of the current namespace.
    pub(super) is_partial: bool,
    pub(super) classes: Vec<SpaceClass>,
    /// The error, if the classes could not be read.
    pub(super) classes_unread: Option<String>,
    pub(super) namespaces: Look<Vec<Namespace>>,
}

/// Reads all spaces, or the space of the current namespace if the caller may not list spaces.
pub(super) async fn look(cluster: &Cluster) -> anyhow::Result<All> {
    let (spaces, is_all) = reach::extent(cluster, None).await?;
    let (classes, classes_unread) = match classes(cluster, spaces.first().filter(|_| !is_all)).await {
        Ok(classes) => (classes, None),
        Err(error) => (vec![], Some(format!("failed to list SpaceClasses: {}", sentence(&error)))),
    };
    let namespaces = pages(&Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone()), ListParams::default()).await;
    let namespaces = Look::of(namespaces, "list", "namespaces".to_owned(), None);
    Ok(All { spaces, is_partial: !is_all, classes, classes_unread, namespaces })
}

/// The findings, the most severe first. A space is checked against its class in force, or against the class that it requests if none is in
/// force.
pub(super) fn judge(all: &All, now: DateTime<Utc>) -> Vec<Finding> {
    let class_of = |space: &DeveloperSpace| {
        let in_force = standing(space).map(|standing| standing.class_name);
        match in_force.or_else(|| space.spec.class_name.clone()) {
            Some(name) => all.classes.iter().find(|class| class.name_any() == name),
            None => default_class(&all.classes),
        }
    };
    let touched = all.spaces.iter().flat_map(|space| consent::touched(space, class_of(space), &all.classes, now));
    let namespaces = all.namespaces.all().iter().filter_map(|namespace| {
        let space = all.spaces.iter().find(|space| space.name_any() == namespace.name_any());
        // A namespace without a known space may belong to a space that the caller cannot list.
        let is_judged = space.is_some() || !all.is_partial;
        is_judged.then(|| idle_offer(namespace, space).or_else(|| ownerless(namespace, space))).flatten()
    });
    let without_classes = all.classes_unread.iter().map(|error| {
        Finding::problem(format!(
            "The SpaceClasses could not be read, so protection, ttl never, Retain, names and contacts were not checked: {error}"
        ))
    });
    let gaps = unseen(all).into_iter().chain(unjudged(all)).chain(without_classes);
    let mut findings: Vec<Finding> = touched.chain(namespaces).chain(gaps).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The finding that the namespaces could not be listed.
fn unseen(all: &All) -> Option<Finding> {
    let gap = all.namespaces.gap()?;
    let sentence = ended(&format!(
        "The namespaces could not be listed, so adoption offers and namespaces of earlier spaces are not reported: {}",
        gap.reason()
    ));
    Some(if is_needed(all, gap) { Finding::problem(sentence) } else { Finding::note(sentence) })
}

/// The note that most namespaces were not checked, because the caller may list namespaces but not spaces.
fn unjudged(all: &All) -> Option<Finding> {
    let is_gap = all.is_partial && all.namespaces.seen().is_some();
    is_gap.then(|| Finding::note("You cannot list DeveloperSpaces, so the namespaces of other spaces were not checked."))
}

/// Returns false for a user who may list neither spaces nor namespaces: the result is about their own space.
fn is_needed(all: &All, gap: &Unreadable) -> bool {
    !all.is_partial || gap.error.is_some()
}

/// The kinds that could not be read and without which the result is incomplete.
pub(super) fn unread(all: &All) -> Vec<String> {
    let namespaces = all.namespaces.gap().filter(|gap| is_needed(all, gap)).map(|gap| gap.what.clone());
    let classes = all.classes_unread.as_ref().map(|_| "spaceclasses".to_owned());
    namespaces.into_iter().chain(classes).collect()
}

/// The finding about an adoption offer that names a space but no UID. Only earlier versions accepted such an offer; one that was accepted needs
/// nothing.
fn idle_offer(namespace: &Namespace, space: Option<&DeveloperSpace>) -> Option<Finding> {
    let key = names::ANNOTATION_ADOPT;
    let value = namespace.annotations().get(key).filter(|value| !value.contains('/'))?;
    let name = namespace.name_any();
    let lead =
        format!("Namespace {name} has the annotation {key}={value}, which contains no UID; the name alone is no longer a valid offer.");
    let remove = format!("kubectl annotate namespace {name} {key}-");
    let Some(space) = space else { return Some(Finding::warning(lead).mended_by([remove])) };
    if recorded_uid(space).is_some_and(|uid| namespace.metadata.uid.as_deref() == Some(uid)) {
        return None;
    }
    let sentence = format!(
        "{lead} The first command offers the namespace, with everything in it, to the space of {}; it is then deleted together with the \
        space. Run the command only if that is intended. Otherwise, remove the annotation with the second command.",
        space.spec.owner
    );
    Some(Finding::warning(sentence).mended_by([offer(namespace, space), remove]))
}

/// The finding about a namespace that has the operator's annotations but no space.
fn ownerless(namespace: &Namespace, space: Option<&DeveloperSpace>) -> Option<Finding> {
    let left = left_behind(namespace).filter(|_| space.is_none())?;
    let name = namespace.name_any();
    let sentence = format!("{left} An administrator can delete it, or offer it to a new space with this name.");
    Some(Finding::warning(sentence).mended_by([format!("kubectl get namespace {name} -o yaml")]))
}

/// The leading line of the human-readable output.
pub(super) fn lead(all: &All, findings: &[Finding]) -> String {
    let (spaces, found) = (all.spaces.len(), findings.len());
    if found == 0 {
        return format!("No findings in {spaces} DeveloperSpaces. `kubectl dspace doctor NAME` checks one of them in detail.");
    }
    format!("{found} findings in {spaces} DeveloperSpaces. `kubectl dspace doctor NAME` checks one of them in detail.")
}

/// The shell commands that hand namespaces to the spaces that wait for them. A command that needs a review is commented out. Returns an error if
/// the spaces or the namespaces are not known.
pub(super) fn adoptions(all: &All) -> anyhow::Result<Vec<String>> {
    if let Some(gap) = all.namespaces.gap() {
        bail!("failed to list namespaces: {}", gap.reason());
    }
    ensure!(!all.is_partial, "failed to list DeveloperSpaces: you do not have permission to list them, and --adopt-all needs all of them");
    let waits = |space: &&DeveloperSpace| {
        let conflict =
            ready(space).is_none_or(|(_, reason, _)| [Reason::NamespaceConflict.as_str(), Reason::Pending.as_str()].contains(&reason));
        conflict && !is_sealed(space) && space.metadata.deletion_timestamp.is_none()
    };
    let pair = |space: &DeveloperSpace| {
        let is_meant = |namespace: &&Namespace| namespace.name_any() == space.name_any() && namespace.metadata.deletion_timestamp.is_none();
        all.namespaces.all().iter().find(is_meant).map(|namespace| adoption(namespace, space))
    };
    Ok(all.spaces.iter().filter(waits).filter_map(pair).flatten().collect())
}

fn adoption(namespace: &Namespace, space: &DeveloperSpace) -> Vec<String> {
    let command = offer(namespace, space);
    let owner = space.spec.owner.to_string();
    let annotations = namespace.annotations();
    let former = annotations.get(names::ANNOTATION_RELEASED_OWNER).or_else(|| annotations.get(names::ANNOTATION_OWNER));
    let comment = |text: String| format::one_line(&format!("# {text}"));
    match (left_behind(namespace), former) {
        (Some(left), Some(former)) if *former == owner => vec![comment(format!("{left} It is offered to {owner}.")), command],
        (Some(left), _) => {
            vec![comment(format!("{left} The space that waits for it belongs to {owner}; check that this is intended: {command}"))]
        }
        (None, _) => {
            let name = namespace.name_any();
            vec![comment(format!(
                "Namespace {name} never belonged to a space; this command offers it, with everything in it, to {owner}: {command}"
            ))]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::fixtures::{class, lines, now, read, space, told};

    fn named(name: &str, change: impl FnOnce(&mut DeveloperSpace)) -> DeveloperSpace {
        let mut named = space();
        (named.metadata.name, named.metadata.uid) = (Some(name.to_owned()), Some(format!("uid-of-{name}")));
        change(&mut named);
        named
    }

    fn namespace(name: &str, annotations: &Value) -> Namespace {
        read(json!({"metadata": {"name": name, "annotations": annotations}}))
    }

    #[test]
    fn all_that_the_rules_touch_is_told() {
        let marks = json!({"developerspace.dev/space-uid": "space-1", "developerspace.dev/owner": "Group:moss"});
        let of_omar = |space: &mut DeveloperSpace| space.spec.owner.name = "omar@example.com".to_owned();
        let all = All {
            spaces: vec![space(), named("fern-lab", |space| space.spec.protected = true), named("legacy-lab", of_omar)],
            classes: vec![class()],
            namespaces: Look::Seen(vec![
                namespace("legacy-lab", &json!({"developerspace.dev/adopt": "legacy-lab"})),
                namespace("lost-lab", &marks),
                namespace("fern-lab", &marks),
                namespace("kube-system", &json!({})),
            ]),
            ..All::default()
        };
        let found = judge(&all, now());
        let expected = [
            "Warning: DeveloperSpace fern-lab is protected, and SpaceClass greenhouse does not allow that (lifetime.allowProtected): it \
            expires in 7d (2026-12-01T09:00:00Z). Remove this setting, or ask an administrator to allow it in the class.",
            r#"  kubectl patch dspace fern-lab --type=merge -p '{"spec":{"protected":false}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"lifetime":{"allowProtected":true}}}'"#,
            "Warning: Namespace legacy-lab has the annotation developerspace.dev/adopt=legacy-lab, which contains no UID; the name alone \
            is no longer a valid offer. The first command offers the namespace, with everything in it, to the space of \
            User:omar@example.com; it is then deleted together with the space. Run the command only if that is intended. Otherwise, \
            remove the annotation with the second command.",
            "  kubectl annotate namespace legacy-lab developerspace.dev/adopt=legacy-lab/uid-of-legacy-lab --overwrite",
            "  kubectl annotate namespace legacy-lab developerspace.dev/adopt-",
            "Warning: Namespace lost-lab belonged to an earlier DeveloperSpace of Group:moss (UID space-1); the operator does not delete \
            it. An administrator can delete it, or offer it to a new space with this name.",
            "  kubectl get namespace lost-lab -o yaml",
        ];
        assert_eq!(lines(&found), expected);
        assert!(lead(&all, &found).starts_with("3 findings in 3 DeveloperSpaces."));
        assert!(lead(&All::default(), &[]).starts_with("No findings in 0 DeveloperSpaces."));
    }

    #[test]
    fn an_offer_that_was_accepted_needs_nothing() {
        let offered = |uid: &str| {
            let mut offered = namespace("orchid-lab", &json!({"developerspace.dev/adopt": "orchid-lab"}));
            offered.metadata.uid = Some(uid.to_owned());
            offered
        };
        assert_eq!(idle_offer(&offered("ns-7"), Some(&space())), None, "the space has this namespace");
        let commands = |space: Option<&DeveloperSpace>| idle_offer(&offered("ns-8"), space).map(|finding| finding.commands);
        let offer = "kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab/space-3 --overwrite".to_owned();
        let remove = "kubectl annotate namespace orchid-lab developerspace.dev/adopt-".to_owned();
        assert_eq!(commands(Some(&space())), Some(vec![offer, remove.clone()]));
        assert_eq!(commands(None), Some(vec![remove]));
    }

    #[test]
    fn a_space_that_was_refused_elsewhere_is_judged_by_the_class_in_force() {
        let protected = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.spec.class_name = Some("orchard".to_owned());
            let status = space.status.get_or_insert_default();
            status.class_name = Some("greenhouse".to_owned());
            status.owner = Some(read(json!({"kind": "User", "name": "nadia@example.com"})));
        };
        let mut orchard = class();
        orchard.metadata.name = Some("orchard".to_owned());
        orchard.spec.lifetime.get_or_insert_default().allow_protected = true;
        let (spaces, classes) = (vec![named("fern-lab", protected)], vec![class(), orchard]);
        let all = All { spaces, classes, namespaces: Look::Seen(vec![]), ..All::default() };
        let found = lines(&judge(&all, now()));
        assert!(found[0].contains("fern-lab is protected, and SpaceClass greenhouse does not allow that"), "{found:?}");
    }

    #[test]
    fn classes_that_could_not_be_read_are_a_problem() {
        let all = All { classes_unread: Some("spaceclasses is forbidden".to_owned()), namespaces: Look::Seen(vec![]), ..All::default() };
        let found = judge(&all, now());
        assert_eq!(found.len(), 1);
        assert!(lines(&found)[0].starts_with("Problem: The SpaceClasses could not be read"), "{found:?}");
        assert_eq!(unread(&all), ["spaceclasses"]);
        assert!(lead(&all, &found).starts_with("1 findings"));
    }

    #[test]
    fn namespaces_that_could_not_be_listed_are_a_problem() {
        let lead = "The namespaces could not be listed, so adoption offers and namespaces of earlier spaces are not reported";
        let (forbidden, late) = ("you do not have permission to list them", "etcdserver: request timed out");
        for (error, is_partial, severity, why) in [
            (None, false, "Problem", forbidden),
            (Some(late), false, "Problem", late),
            (Some(late), true, "Problem", late),
            (None, true, "Note", forbidden),
        ] {
            let gap = Unreadable { verb: "list", what: "namespaces".to_owned(), namespace: None, error: error.map(ToOwned::to_owned) };
            let all = All { is_partial, namespaces: Look::Unreadable(gap), ..All::default() };
            assert_eq!(lines(&judge(&all, now())), [format!("{severity}: {lead}: {why}.")]);
            assert_eq!(unread(&all).len(), usize::from(severity == "Problem"));
            assert_eq!(adoptions(&all).unwrap_err().to_string(), format!("failed to list namespaces: {why}"));
        }
        let one = All { is_partial: true, namespaces: Look::Seen(vec![]), ..All::default() };
        let refused = "failed to list DeveloperSpaces: you do not have permission to list them, and --adopt-all needs all of them";
        assert_eq!(adoptions(&one).unwrap_err().to_string(), refused);
        assert_eq!(adoptions(&All { namespaces: Look::Seen(vec![]), ..All::default() }).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn namespaces_of_spaces_that_cannot_be_listed_are_not_left_over() {
        let offer = |name: &str| namespace(name, &json!({"developerspace.dev/adopt": name}));
        let marks = json!({"developerspace.dev/space-uid": "space-9", "developerspace.dev/owner": "Group:moss"});
        let namespaces = Look::Seen(vec![namespace("moss-lab", &marks), offer("fern-lab"), offer("orchid-lab")]);
        let all = All { spaces: vec![space()], is_partial: true, classes: vec![class()], namespaces, ..All::default() };
        let found = lines(&judge(&all, now()));
        assert!(found[0].starts_with("Warning: Namespace orchid-lab has the annotation developerspace.dev/adopt=orchid-lab"), "{found:?}");
        let note = "Note: You cannot list DeveloperSpaces, so the namespaces of other spaces were not checked.";
        // The warning has two commands.
        assert_eq!(found[3..], [note]);
        let alone = All { is_partial: true, namespaces: Look::Seen(vec![namespace("moss-lab", &marks)]), ..All::default() };
        assert_eq!(lines(&judge(&alone, now())), [note]);
    }

    #[test]
    fn only_what_was_the_owners_is_handed_over_without_a_look() {
        let conflict = |space: &mut DeveloperSpace| told(space, "NamespaceConflict", "namespace is not the space's");
        let released = |owner: &str| json!({"developerspace.dev/released-from": "x/space-1", "developerspace.dev/released-owner": owner});
        let all = All {
            spaces: vec![
                named("fern-lab", conflict),
                named("moss-lab", conflict),
                named("prod-db", conflict),
                named("well-lab", |_| {}),
                named("nowhere-lab", conflict),
            ],
            namespaces: Look::Seen(vec![
                namespace("fern-lab", &released("User:nadia@example.com")),
                namespace("moss-lab", &released("User:omar@example.com\nkubectl delete ns --all")),
                namespace("prod-db", &json!({})),
                namespace("well-lab", &released("User:nadia@example.com")),
            ]),
            ..All::default()
        };
        let expected = [
            "# Namespace fern-lab was released from DeveloperSpace x/space-1 of User:nadia@example.com. It is offered to \
            User:nadia@example.com.",
            "kubectl annotate namespace fern-lab developerspace.dev/adopt=fern-lab/uid-of-fern-lab",
            "# Namespace moss-lab was released from DeveloperSpace x/space-1 of User:omar@example.com kubectl delete ns --all. The space \
            that waits for it belongs to User:nadia@example.com; check that this is intended: kubectl annotate namespace moss-lab \
            developerspace.dev/adopt=moss-lab/uid-of-moss-lab",
            "# Namespace prod-db never belonged to a space; this command offers it, with everything in it, to User:nadia@example.com: \
            kubectl annotate namespace prod-db developerspace.dev/adopt=prod-db/uid-of-prod-db",
        ];
        assert_eq!(adoptions(&all).unwrap(), expected);
    }
}
