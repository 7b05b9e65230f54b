//! All spaces at once: violations of the rules of their classes, for example after an upgrade, and namespaces that wait
//! to be handed over.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::ListParams};

use super::{
    conflicts::{left_behind, offer_command},
    diagnosis::{Diagnosis, with_period},
    fetch::fetch_classes,
    fetched::{Fetched, Unreadable},
    noncompliance,
};
use crate::{
    api::{DeveloperSpace, SpaceClass, names, without_managed_fields::WithoutManagedFields},
    desired::{ownership::recorded_uid, standing::standing},
    plugin::{
        api_error::error_message,
        class_in_force::default_class,
        cluster::Cluster,
        pages::list_all_pages,
        visible_spaces::{self, VisibleSpaces},
    },
};

/// All objects that the caller may read.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) spaces: Vec<DeveloperSpace>,
    /// True if the caller may not list spaces: `spaces` contains only the space of the current namespace.
    pub(super) is_partial: bool,
    pub(super) classes: Vec<SpaceClass>,
    /// The error, if the classes could not be read.
    pub(super) classes_unread: Option<String>,
    pub(super) namespaces: Fetched<Vec<Namespace>>,
}

/// Reads all spaces, or the space of the current namespace if the caller may not list spaces.
pub(super) async fn fetch(cluster: &Cluster) -> anyhow::Result<Survey> {
    let VisibleSpaces { spaces, is_complete } = visible_spaces::list(cluster, None).await?;
    let (classes, classes_unread) = match fetch_classes(cluster, spaces.first().filter(|_| !is_complete)).await {
        Ok(classes) => (classes, None),
        Err(error) => (vec![], Some(format!("failed to list SpaceClasses: {}", error_message(&error)))),
    };
    let namespaces =
        list_all_pages(&Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone()), ListParams::default())
            .await;
    let namespaces = Fetched::from_result(namespaces, "list", "namespaces".to_owned(), None);
    Ok(Survey { spaces, is_partial: !is_complete, classes, classes_unread, namespaces })
}

/// The diagnoses, the most severe first. A space is checked against its class in force, or against the class that it
/// requests if none is in force.
pub(super) fn diagnose(survey: &Survey, now: DateTime<Utc>) -> Vec<Diagnosis> {
    let class_of = |space: &DeveloperSpace| {
        let in_force = standing(space).map(|standing| standing.class_name);
        match in_force.or_else(|| space.spec.class_name.clone()) {
            Some(name) => survey.classes.iter().find(|class| class.name_any() == name),
            None => default_class(&survey.classes),
        }
    };
    let violations =
        survey.spaces.iter().flat_map(|space| noncompliance::violations(space, class_of(space), &survey.classes, now));
    let namespaces = survey.namespaces.items().iter().filter_map(|namespace| {
        let space = survey.spaces.iter().find(|space| space.name_any() == namespace.name_any());
        // A namespace without a known space may belong to a space that the caller cannot list.
        let is_checked = space.is_some() || !survey.is_partial;
        is_checked
            .then(|| offer_without_uid(namespace, space).or_else(|| left_over_namespace(namespace, space)))
            .flatten()
    });
    let without_classes = survey.classes_unread.iter().map(|error| {
        Diagnosis::problem(format!(
            "The SpaceClasses could not be read, so protection, ttl never, Retain, names and contacts were not checked: {error}"
        ))
    });
    let gaps = unreadable_namespaces(survey).into_iter().chain(unchecked_namespaces(survey)).chain(without_classes);
    let mut diagnoses: Vec<Diagnosis> = violations.chain(namespaces).chain(gaps).collect();
    diagnoses.sort_by_key(|diagnosis| diagnosis.severity);
    diagnoses
}

/// The diagnosis that the namespaces could not be listed.
fn unreadable_namespaces(survey: &Survey) -> Option<Diagnosis> {
    let gap = survey.namespaces.unreadable()?;
    let sentence = with_period(&format!(
        "The namespaces could not be listed, so adoption offers and namespaces of earlier spaces are not reported: {}",
        gap.reason()
    ));
    Some(if is_required(survey, gap) { Diagnosis::problem(sentence) } else { Diagnosis::note(sentence) })
}

/// The note that most namespaces were not checked, because the caller may list namespaces but not spaces.
fn unchecked_namespaces(survey: &Survey) -> Option<Diagnosis> {
    let is_gap = survey.is_partial && survey.namespaces.value().is_some();
    is_gap.then(|| {
        Diagnosis::note("You cannot list DeveloperSpaces, so the namespaces of other spaces were not checked.")
    })
}

/// Returns false for a user who may list neither spaces nor namespaces: the result is about their own space.
fn is_required(survey: &Survey, gap: &Unreadable) -> bool {
    !survey.is_partial || gap.error.is_some()
}

/// The kinds that could not be read and without which the result is incomplete.
pub(super) fn unread_kinds(survey: &Survey) -> Vec<String> {
    let namespaces = survey.namespaces.unreadable().filter(|gap| is_required(survey, gap)).map(|gap| gap.what.clone());
    let classes = survey.classes_unread.as_ref().map(|_| "spaceclasses".to_owned());
    namespaces.into_iter().chain(classes).collect()
}

/// The diagnosis about an adoption offer that names a space but no UID. Only earlier versions accepted such an offer;
/// one that was accepted needs nothing.
fn offer_without_uid(namespace: &Namespace, space: Option<&DeveloperSpace>) -> Option<Diagnosis> {
    let key = names::ANNOTATION_ADOPT;
    let value = namespace.annotations().get(key).filter(|value| !value.contains('/'))?;
    let name = namespace.name_any();
    let lead = format!(
        "Namespace {name} has the annotation {key}={value}, which contains no UID; the name alone is no longer a valid offer."
    );
    let remove = format!("kubectl annotate namespace {name} {key}-");
    let Some(space) = space else { return Some(Diagnosis::warning(lead).with_commands([remove])) };
    if recorded_uid(space).is_some_and(|uid| namespace.metadata.uid.as_deref() == Some(uid)) {
        return None;
    }
    let sentence = format!(
        "{lead} The first command offers the namespace, with everything in it, to the space of {}; it is then deleted together with the \
        space. Run the command only if that is intended. Otherwise, remove the annotation with the second command.",
        space.spec.owner
    );
    Some(Diagnosis::warning(sentence).with_commands([offer_command(namespace, space), remove]))
}

/// The diagnosis about a namespace that has the operator's annotations but no space.
fn left_over_namespace(namespace: &Namespace, space: Option<&DeveloperSpace>) -> Option<Diagnosis> {
    let left = left_behind(namespace).filter(|_| space.is_none())?;
    let name = namespace.name_any();
    let sentence = format!("{left} An administrator can delete it, or offer it to a new space with this name.");
    Some(Diagnosis::warning(sentence).with_commands([format!("kubectl get namespace {name} -o yaml")]))
}

/// The leading line of the human-readable output.
pub(super) fn headline(survey: &Survey, diagnoses: &[Diagnosis]) -> String {
    let (spaces, found) = (survey.spaces.len(), diagnoses.len());
    if found == 0 {
        return format!(
            "No findings in {spaces} DeveloperSpaces. `kubectl dspace doctor NAME` checks one of them in detail."
        );
    }
    format!("{found} findings in {spaces} DeveloperSpaces. `kubectl dspace doctor NAME` checks one of them in detail.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::fixtures::{class, lines, named_space, namespace, now, parse, space};

    #[test]
    fn spaces_and_namespaces_that_violate_rules_are_reported() {
        let marks = json!({"developerspace.dev/space-uid": "space-1", "developerspace.dev/owner": "Group:moss"});
        let of_omar = |space: &mut DeveloperSpace| space.spec.owner.name = "omar@example.com".to_owned();
        let survey = Survey {
            spaces: vec![
                space(),
                named_space("fern-lab", |space| space.spec.protected = true),
                named_space("legacy-lab", of_omar),
            ],
            classes: vec![class()],
            namespaces: Fetched::Found(vec![
                namespace("legacy-lab", &json!({"developerspace.dev/adopt": "legacy-lab"})),
                namespace("lost-lab", &marks),
                namespace("fern-lab", &marks),
                namespace("kube-system", &json!({})),
            ]),
            ..Survey::default()
        };
        let found = diagnose(&survey, now());
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
        assert!(headline(&survey, &found).starts_with("3 findings in 3 DeveloperSpaces."));
        assert!(headline(&Survey::default(), &[]).starts_with("No findings in 0 DeveloperSpaces."));
    }

    #[test]
    fn an_accepted_adoption_offer_is_not_reported() {
        let offered = |uid: &str| {
            let mut offered = namespace("orchid-lab", &json!({"developerspace.dev/adopt": "orchid-lab"}));
            offered.metadata.uid = Some(uid.to_owned());
            offered
        };
        assert_eq!(offer_without_uid(&offered("ns-7"), Some(&space())), None, "the space has this namespace");
        let commands = |space: Option<&DeveloperSpace>| {
            offer_without_uid(&offered("ns-8"), space).map(|diagnosis| diagnosis.commands)
        };
        let offer =
            "kubectl annotate namespace orchid-lab developerspace.dev/adopt=orchid-lab/space-3 --overwrite".to_owned();
        let remove = "kubectl annotate namespace orchid-lab developerspace.dev/adopt-".to_owned();
        assert_eq!(commands(Some(&space())), Some(vec![offer, remove.clone()]));
        assert_eq!(commands(None), Some(vec![remove]));
    }

    #[test]
    fn a_space_that_requests_another_class_is_checked_against_the_class_in_force() {
        let protected = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.spec.class_name = Some("orchard".to_owned());
            let status = space.status.get_or_insert_default();
            status.class_name = Some("greenhouse".to_owned());
            status.owner = Some(parse(json!({"kind": "User", "name": "nadia@example.com"})));
        };
        let mut orchard = class();
        orchard.metadata.name = Some("orchard".to_owned());
        orchard.spec.lifetime.get_or_insert_default().allow_protected = true;
        let (spaces, classes) = (vec![named_space("fern-lab", protected)], vec![class(), orchard]);
        let survey = Survey { spaces, classes, namespaces: Fetched::Found(vec![]), ..Survey::default() };
        let found = lines(&diagnose(&survey, now()));
        assert!(found[0].contains("fern-lab is protected, and SpaceClass greenhouse does not allow that"), "{found:?}");
    }

    #[test]
    fn classes_that_could_not_be_read_are_a_problem() {
        let survey = Survey {
            classes_unread: Some("spaceclasses is forbidden".to_owned()),
            namespaces: Fetched::Found(vec![]),
            ..Survey::default()
        };
        let found = diagnose(&survey, now());
        assert_eq!(found.len(), 1);
        assert!(lines(&found)[0].starts_with("Problem: The SpaceClasses could not be read"), "{found:?}");
        assert_eq!(unread_kinds(&survey), ["spaceclasses"]);
        assert!(headline(&survey, &found).starts_with("1 findings"));
    }

    #[test]
    fn namespaces_that_could_not_be_listed_are_a_problem() {
        let lead =
            "The namespaces could not be listed, so adoption offers and namespaces of earlier spaces are not reported";
        let (forbidden, late) = ("you do not have permission to list them", "etcdserver: request timed out");
        for (error, is_partial, severity, why) in [
            (None, false, "Problem", forbidden),
            (Some(late), false, "Problem", late),
            (Some(late), true, "Problem", late),
            (None, true, "Note", forbidden),
        ] {
            let gap = Unreadable {
                verb: "list",
                what: "namespaces".to_owned(),
                namespace: None,
                error: error.map(ToOwned::to_owned),
            };
            let survey = Survey { is_partial, namespaces: Fetched::Unreadable(gap), ..Survey::default() };
            assert_eq!(lines(&diagnose(&survey, now())), [format!("{severity}: {lead}: {why}.")]);
            assert_eq!(unread_kinds(&survey).len(), usize::from(severity == "Problem"));
        }
    }

    #[test]
    fn namespaces_of_spaces_that_cannot_be_listed_are_not_reported() {
        let offer = |name: &str| namespace(name, &json!({"developerspace.dev/adopt": name}));
        let marks = json!({"developerspace.dev/space-uid": "space-9", "developerspace.dev/owner": "Group:moss"});
        let namespaces = Fetched::Found(vec![namespace("moss-lab", &marks), offer("fern-lab"), offer("orchid-lab")]);
        let survey =
            Survey { spaces: vec![space()], is_partial: true, classes: vec![class()], namespaces, ..Survey::default() };
        let found = lines(&diagnose(&survey, now()));
        assert!(
            found[0]
                .starts_with("Warning: Namespace orchid-lab has the annotation developerspace.dev/adopt=orchid-lab"),
            "{found:?}"
        );
        let note = "Note: You cannot list DeveloperSpaces, so the namespaces of other spaces were not checked.";
        // The warning has two commands.
        assert_eq!(found[3..], [note]);
        let alone = Survey {
            is_partial: true,
            namespaces: Fetched::Found(vec![namespace("moss-lab", &marks)]),
            ..Survey::default()
        };
        assert_eq!(lines(&diagnose(&alone, now())), [note]);
    }
}
