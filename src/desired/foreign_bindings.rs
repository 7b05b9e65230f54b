//! The RoleBindings of other clients in a namespace, as a part of the message of an Event.

use k8s_openapi::{api::rbac::v1::Subject as K8sSubject, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::Deserialize;

use super::child::{ChildKind, is_operator_name};
use crate::api::{
    excerpt::{Excerpted, metadata},
    names,
    partial_read::Reading,
    text::{shorten, some_of},
};

/// The number of bindings that an Event names.
const MAX_NAMED_BINDINGS: usize = 10;

/// The number of subjects that an Event names of one binding.
const MAX_NAMED_SUBJECTS: usize = 3;

/// The most bytes of the description of one binding.
const MAX_DESCRIPTION_BYTES: usize = 512;

/// A RoleBinding, as an Event describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListedBinding {
    metadata: ObjectMeta,
    subjects: ListedSubjects,
}

/// The first subjects of a binding, and the number of the others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ListedSubjects {
    first: Vec<K8sSubject>,
    others: usize,
}

impl Excerpted for ListedBinding {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(metadata),
            "subjects" => Reading::Counted(MAX_NAMED_SUBJECTS),
            _ => Reading::Nothing,
        }
    }
}

/// The RoleBindings of other clients in one namespace: some are described, the others are counted. An `admin` of the
/// namespace can make any number of them, each as large as an object may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForeignBindings {
    described: Vec<String>,
    others: usize,
}

impl ForeignBindings {
    /// Adds a binding, unless the operator manages it.
    pub(crate) fn add(&mut self, binding: &ListedBinding) {
        if is_ours(&binding.metadata) {
            return;
        }
        if self.described.len() < MAX_NAMED_BINDINGS {
            self.described.push(shorten(&with_subjects(binding), MAX_DESCRIPTION_BYTES));
        } else {
            self.others = self.others.saturating_add(1);
        }
    }

    /// The end of the sentence about a release or a transfer, which leave these bindings in place: the subjects that
    /// still have access. Empty if there are none. `unread` further bindings were not read.
    pub(crate) fn still_bound(&self, namespace: &str, unread: usize) -> String {
        let others = self.others.saturating_add(unread);
        if self.described.is_empty() && others == 0 {
            return String::new();
        }
        let named = some_of(&self.described, MAX_NAMED_BINDINGS, others);
        format!(
            "; RoleBindings that the operator does not manage still grant access to it, see kubectl -n {namespace} get rolebindings: {named}"
        )
    }
}

/// Returns true if the binding is managed by the operator. After a release such a binding may still be terminating,
/// without subjects.
fn is_ours(binding: &ObjectMeta) -> bool {
    let is_managed = binding
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::LABEL_MANAGED_BY))
        .is_some_and(|by| by == names::OPERATOR);
    is_managed && binding.name.as_ref().is_some_and(|name| is_operator_name(ChildKind::Binding, name))
}

/// The binding as text, with its name escaped as those of its subjects are.
fn with_subjects(binding: &ListedBinding) -> String {
    let ListedSubjects { first, others } = &binding.subjects;
    let named: Vec<String> = first.iter().map(subject).collect();
    let name = binding.metadata.name.as_deref().unwrap_or_default().escape_debug();
    if named.is_empty() {
        return format!("{name} (no subjects)");
    }
    format!("{name} ({})", some_of(&named, MAX_NAMED_SUBJECTS, *others))
}

/// The subject as text. Control characters are escaped, since any user that may write RoleBindings chooses the names,
/// and an Event is printed in terminals.
fn subject(subject: &K8sSubject) -> String {
    let K8sSubject { kind, name, namespace, .. } = subject;
    let within = namespace.as_ref().map_or_else(String::new, |namespace| format!("{}/", namespace.escape_debug()));
    format!("{}:{within}{}", kind.escape_debug(), name.escape_debug())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::excerpt::Excerpt;

    fn binding(name: &str, labels: &Value, subjects: &[Value]) -> ListedBinding {
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
        let binding = json!({"metadata": {"name": name, "labels": labels}, "roleRef": role, "subjects": subjects});
        let Excerpt(read) = serde_json::from_value(binding).unwrap();
        read
    }

    #[test]
    fn the_event_names_ten_bindings_and_counts_the_others() {
        fn still_bound(namespace: &str, bindings: &[ListedBinding], unread: usize) -> String {
            let mut foreign = ForeignBindings::default();
            for binding in bindings {
                foreign.add(binding);
            }
            foreign.still_bound(namespace, unread)
        }
        const BEGIN: &str = "; RoleBindings that the operator does not manage still grant access to it, see kubectl -n orchid-lab get rolebindings: ";
        let ours =
            binding("developerspace-owner", &json!({"app.kubernetes.io/managed-by": "developerspace-operator"}), &[]);
        let copied = binding("developerspace-door", &json!({}), &[]);
        let user = |name: &str| json!({"kind": "User", "name": name});
        let robot = json!({"kind": "ServiceAccount", "name": "robot", "namespace": "builds"});
        let crew =
            binding("crew\r", &json!({}), &[user("bob\u{1b}[2J"), robot, user("carol"), user("dora"), user("emil")]);
        assert_eq!(still_bound("orchid-lab", &[], 0), "");
        assert_eq!(still_bound("orchid-lab", std::slice::from_ref(&ours), 0), "");
        assert_eq!(
            still_bound("orchid-lab", &[crew, ours, copied], 0),
            format!(
                "{BEGIN}crew\\r (User:bob\\u{{1b}}[2J, ServiceAccount:builds/robot, User:carol and 2 more), developerspace-door (no subjects)"
            )
        );
        let many: Vec<ListedBinding> =
            (0..12).map(|number| binding(&format!("door-{number}"), &json!({}), &[user("bob")])).collect();
        let ten = (0..10).map(|number| format!("door-{number} (User:bob)")).collect::<Vec<_>>().join(", ");
        assert_eq!(still_bound("orchid-lab", &many, 30), format!("{BEGIN}{ten} and 32 more"));
        assert_eq!(still_bound("orchid-lab", &many[..10], 0), format!("{BEGIN}{ten}"));
    }

    #[test]
    fn large_and_numerous_bindings_use_little_memory() {
        let mut foreign = ForeignBindings::default();
        let user = |number: u32| json!({"kind": "User", "name": format!("{number}-{}", "x".repeat(1_000))});
        let crowded = binding("crowded", &json!({}), &(0..1_000).map(user).collect::<Vec<_>>());
        (0..500).for_each(|_| foreign.add(&crowded));
        assert_eq!((foreign.described.len(), foreign.others), (10, 490));
        assert!(foreign.described.iter().all(|one| one.len() <= MAX_DESCRIPTION_BYTES));
        for name in [format!("developerspace-{}", "x".repeat(300)), "developerspace-x y".to_owned()] {
            let labels = json!({"app.kubernetes.io/managed-by": "developerspace-operator"});
            let disguised = binding(&name, &labels, &[json!({"kind": "User", "name": "mallory"})]);
            let mut foreign = ForeignBindings::default();
            foreign.add(&disguised);
            assert_eq!(foreign.described.len(), 1, "the operator creates no binding of such a name: {name:.40}");
        }
    }
}
