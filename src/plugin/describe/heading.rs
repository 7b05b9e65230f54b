//! The part of the description that shows the spec of a space and its namespace, one field on each line.

use std::{collections::BTreeMap, fmt::Write as _};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

use crate::{
    api::{DeveloperSpace, SpaceClass},
    plugin::{format, namespace_finalizers::namespace_finalizers, protection},
};

/// The fields of the space that are set.
pub(super) fn heading(space: &DeveloperSpace, class: Option<&SpaceClass>, live: Option<&Namespace>) -> String {
    let spec = &space.spec;
    let status = space.status.clone().unwrap_or_default();
    let contact = spec.contact.clone().unwrap_or_default();
    let cost_center = contact.cost_center.map(|code| format!("cost centre {code}"));
    let contact: Vec<String> =
        [contact.team, contact.email, contact.chat, contact.url, cost_center].into_iter().flatten().collect();
    let members: Vec<String> =
        spec.members.iter().map(|member| format!("{} ({})", member.subject(), member.role)).collect();
    let pairs =
        |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    let lines = [
        ("Name", vec![space.name_any()]),
        ("Display name", spec.display_name.iter().cloned().collect()),
        ("Description", spec.description.iter().cloned().collect()),
        ("Owner", vec![spec.owner.to_string()]),
        ("Members", members),
        ("Class", status.class_name.or_else(|| spec.class_name.clone()).into_iter().collect()),
        ("Contact", contact),
        (
            "Namespace",
            status.namespace.map(|namespace| format!("{} ({})", namespace.name, namespace.uid)).into_iter().collect(),
        ),
        ("Blocked by", live.and_then(blocking_finalizers).into_iter().collect()),
        ("Labels", pairs(&spec.labels)),
        ("Annotations", pairs(&spec.annotations)),
        ("Protected", protection(space, class).into_iter().collect()),
    ];
    let mut text = String::new();
    for (title, values) in lines.into_iter().filter(|(_, values)| !values.is_empty()) {
        let title = format!("{title}:");
        let _ = writeln!(text, "{title:<14} {}", format::one_line(&values.join(", ")));
    }
    text.trim_end().to_owned()
}

/// The protection, if the spec requests it.
fn protection(space: &DeveloperSpace, class: Option<&SpaceClass>) -> Option<String> {
    let class = class.map(|class| class.in_force().unwrap_or(&class.spec));
    let text = if protection::is_endless(space, class) {
        "yes: it never expires and cannot be deleted"
    } else {
        "requested, but not in force; it takes effect when the operator accepts the spec"
    };
    space.spec.protected.then(|| text.to_owned())
}

/// The finalizers on a Namespace that is being deleted.
fn blocking_finalizers(namespace: &Namespace) -> Option<String> {
    namespace.metadata.deletion_timestamp.as_ref()?;
    let finalizers = namespace_finalizers(namespace);
    (!finalizers.is_empty())
        .then(|| format!("the namespace is terminating and still has the finalizer {}", finalizers.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::fixtures::{a_class, a_space};

    #[test]
    fn a_protection_that_is_not_in_force_is_shown_as_requested() {
        let line = |space: &DeveloperSpace, class: &SpaceClass| {
            let shown = heading(space, Some(class), None);
            shown.lines().find_map(|line| line.strip_prefix("Protected:")).map(|text| text.trim().to_owned())
        };
        let (mut space, mut class) = (a_space(), a_class());
        class.spec.lifetime.as_mut().unwrap().allow_protected = true;
        assert_eq!(line(&space, &class), None);
        space.spec.protected = true;
        let requested =
            Some("requested, but not in force; it takes effect when the operator accepts the spec".to_owned());
        assert_eq!(line(&space, &class), requested, "it has an end");
        space.status.as_mut().unwrap().expires_at = None;
        assert_eq!(line(&space, &class).as_deref(), Some("yes: it never expires and cannot be deleted"));
        assert_eq!(line(&space, &a_class()), requested, "the class does not allow it");
    }

    #[test]
    fn finalizers_of_a_terminating_namespace_are_shown() {
        let mut namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "orchid-lab", "finalizers": ["example.com/ledger"]}}))
                .unwrap();
        assert_eq!(blocking_finalizers(&namespace), None);
        namespace.metadata.deletion_timestamp = serde_json::from_value("2026-11-24T08:00:00Z".into()).unwrap();
        let shown = heading(&a_space(), None, Some(&namespace));
        let line = "Blocked by:    the namespace is terminating and still has the finalizer example.com/ledger";
        assert!(shown.lines().any(|found| found == line), "{shown}");
    }
}
