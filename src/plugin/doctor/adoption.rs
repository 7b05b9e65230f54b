//! `--adopt-all`: the commands that offer namespaces to the spaces that wait for them.

use anyhow::{bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

use super::{
    conflicts::{left_behind, offer_command},
    survey::Survey,
};
use crate::{
    api::{DeveloperSpace, conditions::Reason, names},
    desired::lifetime::inputs::is_sealed,
    plugin::{format, spaces::ready},
};

/// The shell commands that hand namespaces to the spaces that wait for them. A command that needs a review is commented
/// out. Returns an error if the spaces or the namespaces are not known.
pub(super) fn adoption_commands(survey: &Survey) -> anyhow::Result<Vec<String>> {
    if let Some(gap) = survey.namespaces.unreadable() {
        bail!("failed to list namespaces: {}", gap.reason());
    }
    ensure!(
        !survey.is_partial,
        "failed to list DeveloperSpaces: you do not have permission to list them, and --adopt-all needs all of them"
    );
    let waits = |space: &&DeveloperSpace| {
        let conflict = ready(space).is_none_or(|(_, reason, _)| {
            [Reason::NamespaceConflict.as_str(), Reason::Pending.as_str()].contains(&reason)
        });
        conflict && !is_sealed(space) && space.metadata.deletion_timestamp.is_none()
    };
    let pair = |space: &DeveloperSpace| {
        let is_meant = |namespace: &&Namespace| {
            namespace.name_any() == space.name_any() && namespace.metadata.deletion_timestamp.is_none()
        };
        survey.namespaces.items().iter().find(is_meant).map(|namespace| commands_to_adopt(namespace, space))
    };
    Ok(survey.spaces.iter().filter(waits).filter_map(pair).flatten().collect())
}

fn commands_to_adopt(namespace: &Namespace, space: &DeveloperSpace) -> Vec<String> {
    let command = offer_command(namespace, space);
    let owner = space.spec.owner.to_string();
    let annotations = namespace.annotations();
    let former = annotations.get(names::ANNOTATION_RELEASED_OWNER).or_else(|| annotations.get(names::ANNOTATION_OWNER));
    let comment = |text: String| format::one_line(&format!("# {text}"));
    match (left_behind(namespace), former) {
        (Some(left), Some(former)) if *former == owner => {
            vec![comment(format!("{left} It is offered to {owner}.")), command]
        }
        (Some(left), _) => {
            vec![comment(format!(
                "{left} The space that waits for it belongs to {owner}; check that this is intended: {command}"
            ))]
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
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::{
        fetched::{Fetched, Unreadable},
        fixtures::{named_space, namespace, set_unready},
    };

    #[test]
    fn spaces_and_namespaces_that_were_not_listed_are_an_error() {
        let (forbidden, late) = ("you do not have permission to list them", "etcdserver: request timed out");
        for (error, why) in [(None, forbidden), (Some(late), late)] {
            for is_partial in [false, true] {
                let gap = Unreadable {
                    verb: "list",
                    what: "namespaces".to_owned(),
                    namespace: None,
                    error: error.map(ToOwned::to_owned),
                };
                let survey = Survey { is_partial, namespaces: Fetched::Unreadable(gap), ..Survey::default() };
                assert_eq!(
                    adoption_commands(&survey).unwrap_err().to_string(),
                    format!("failed to list namespaces: {why}")
                );
            }
        }
        let one = Survey { is_partial: true, namespaces: Fetched::Found(vec![]), ..Survey::default() };
        let refused = "failed to list DeveloperSpaces: you do not have permission to list them, and --adopt-all needs all of them";
        assert_eq!(adoption_commands(&one).unwrap_err().to_string(), refused);
        assert_eq!(
            adoption_commands(&Survey { namespaces: Fetched::Found(vec![]), ..Survey::default() }).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn only_a_namespace_of_the_same_owner_is_offered_without_a_review() {
        let conflict =
            |space: &mut DeveloperSpace| set_unready(space, "NamespaceConflict", "namespace is not the space's");
        let released = |owner: &str| json!({"developerspace.dev/released-from": "x/space-1", "developerspace.dev/released-owner": owner});
        let survey = Survey {
            spaces: vec![
                named_space("fern-lab", conflict),
                named_space("moss-lab", conflict),
                named_space("prod-db", conflict),
                named_space("well-lab", |_| {}),
                named_space("nowhere-lab", conflict),
            ],
            namespaces: Fetched::Found(vec![
                namespace("fern-lab", &released("User:nadia@example.com")),
                namespace("moss-lab", &released("User:omar@example.com\nkubectl delete ns --all")),
                namespace("prod-db", &json!({})),
                namespace("well-lab", &released("User:nadia@example.com")),
            ]),
            ..Survey::default()
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
        assert_eq!(adoption_commands(&survey).unwrap(), expected);
    }
}
