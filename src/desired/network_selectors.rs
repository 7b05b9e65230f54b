//! Classes that admit namespaces that owners of spaces can create: `network.allowFromNamespaces` opens every space of
//! the class, so it may select only by labels that no owner writes. Validates selectors that the API server accepts,
//! and nothing else of a class.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::reserved_keys::is_reserved_key;
use crate::api::{Network, SpaceClass, SpaceClassSpec, names, pattern::matches_pattern};

/// Labels of a namespace that follow from a field that an owner writes, and that field.
const LABELS_OF_OWNERS: [(&str, &str); 3] = [
    (names::LABEL_TEAM, "spec.contact.team"),
    (names::LABEL_COST_CENTER, "spec.contact.costCenter"),
    (names::LABEL_SPACE, "metadata.name"),
];

/// The remedy of every objection.
const ADVICE: &str = "select namespaces by name, for example matchLabels {kubernetes.io/metadata.name: ingress-nginx}";

/// A key, or a pattern of keys, that a class lets owners write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandedOut<'a> {
    pub class: &'a str,
    /// The entry of its `metadata.allowedKeys`.
    pub pattern: &'a str,
}

/// The state of the cluster that selectors of a class are validated against.
pub(crate) struct SelectorContext<'a> {
    /// The keys that any class hands out.
    pub handed_out: Vec<HandedOut<'a>>,
    /// Returns true if the namespace of that name belongs to a space.
    pub is_of_space: &'a dyn Fn(&str) -> bool,
}

/// The keys that `class` hands out, by its present spec and by the one last accepted.
pub(crate) fn handed_out(class: &SpaceClass) -> impl Iterator<Item = HandedOut<'_>> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let accepted = class.status.iter().flat_map(|status| &status.accepted);
    std::iter::once(&class.spec)
        .chain(accepted)
        .flat_map(allowed_keys)
        .map(move |pattern| HandedOut { class: name, pattern })
}

fn allowed_keys(class: &SpaceClassSpec) -> impl Iterator<Item = &str> {
    class.metadata.iter().flat_map(|metadata| &metadata.allowed_keys).map(String::as_str)
}

/// Validates the selectors. The error is a sentence that names the selector's key and the remedy.
pub(crate) fn check(network: &Network, cluster: &SelectorContext<'_>) -> Result<(), String> {
    let objections = network.allow_from_namespaces.iter().filter_map(|selector| objection(selector, cluster));
    objections.take(1).try_for_each(|problem| Err(format!("network.allowFromNamespaces: {problem}: {ADVICE}")))
}

/// One requirement of a selector.
struct Requirement<'a> {
    key: &'a str,
    operator: &'a str,
    values: &'a [String],
}

fn objection(selector: &LabelSelector, cluster: &SelectorContext<'_>) -> Option<String> {
    let mut requirements = requirements(selector).peekable();
    if requirements.peek().is_none() {
        return Some("an empty selector selects every namespace".to_owned());
    }
    requirements.find_map(|requirement| met_by_a_space(&requirement, cluster))
}

fn requirements(selector: &LabelSelector) -> impl Iterator<Item = Requirement<'_>> {
    let LabelSelector { match_labels, match_expressions } = selector;
    let labels = match_labels.iter().flatten().map(|(key, value)| Requirement {
        key,
        operator: "In",
        values: std::slice::from_ref(value),
    });
    let expressions = match_expressions.iter().flatten().map(|expression| Requirement {
        key: &expression.key,
        operator: &expression.operator,
        values: expression.values.as_deref().unwrap_or_default(),
    });
    labels.chain(expressions)
}

/// The way in which an owner can create a namespace that meets the requirement, as a sentence.
fn met_by_a_space(requirement: &Requirement<'_>, cluster: &SelectorContext<'_>) -> Option<String> {
    let Requirement { key, operator, values } = requirement;
    if matches!(*operator, "NotIn" | "DoesNotExist") {
        return Some(format!(
            "operator {operator} of {key} selects namespaces that do not have the label, as most spaces do not"
        ));
    }
    if let Some((_, field)) = LABELS_OF_OWNERS.iter().find(|(label, _)| label == key) {
        return Some(format!("owners of spaces write the label {key} by {field}"));
    }
    if let Some(by) = handed_out_by(key, cluster) {
        return Some(format!("owners of spaces write the label {key}, since metadata.allowedKeys has {by}"));
    }
    if is_on_every_space(requirement) {
        return Some(format!(
            "operator {operator} of {key} selects the namespaces of spaces, since the operator writes that label"
        ));
    }
    if *key != names::LABEL_NAMESPACE_NAME {
        return None;
    }
    if *operator == "Exists" {
        return Some(format!("operator Exists of {key} selects every namespace"));
    }
    let taken = values.iter().find(|name| (cluster.is_of_space)(name))?;
    Some(format!("namespace {taken} belongs to the DeveloperSpace of that name"))
}

/// The classes that hand the key out, each with its entry.
fn handed_out_by(key: &str, cluster: &SelectorContext<'_>) -> Option<String> {
    let hands_out = |given: &&HandedOut<'_>| matches_pattern(given.pattern, key) && !is_reserved_key(key);
    let entry = |HandedOut { class, pattern }: &HandedOut<'_>| format!("{pattern} in SpaceClass {class}");
    let entries: BTreeSet<String> = cluster.handed_out.iter().filter(hands_out).map(entry).collect();
    (!entries.is_empty()).then(|| entries.into_iter().collect::<Vec<_>>().join(" and "))
}

/// Returns true if the operator itself puts the required label on namespaces of spaces. To select the spaces of a named
/// class is the administrator's choice.
fn is_on_every_space(Requirement { key, operator, values }: &Requirement<'_>) -> bool {
    let by_class = *key == names::LABEL_CLASS && *operator == "In";
    let of_ours = key.starts_with(names::PREFIX) && !by_class;
    let managed = *key == names::LABEL_MANAGED_BY
        && (*operator == "Exists" || values.iter().any(|value| value == names::OPERATOR));
    of_ours || managed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::desired::network_selectors::*;

    fn class(name: &str, spec: &Value, accepted: &Value) -> SpaceClass {
        let object = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": name}, "spec": spec,
            "status": {"accepted": accepted},
        });
        serde_json::from_value(object).unwrap()
    }

    fn check_selector(selector: &Value) -> Result<(), String> {
        let keys = |key: &str| json!({"metadata": {"allowedKeys": [key]}});
        let classes = [
            class("meadow", &keys("example.com/*"), &keys("floor")),
            class("orchard", &json!({"metadata": {"allowedKeys": ["k*", "floor"]}}), &Value::Null),
        ];
        let handed_out = classes.iter().flat_map(handed_out).collect();
        let cluster = SelectorContext { handed_out, is_of_space: &|name| name == "rosa-lab" };
        check(
            &serde_json::from_value(json!({"allowFromNamespaces": [{"matchLabels": {"tier": "front"}}, selector]}))
                .unwrap(),
            &cluster,
        )
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn selectors_by_labels_that_no_owner_writes_are_accepted() {
        for selector in [
            json!({"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}),
            expression("kubernetes.io/metadata.name", "In", &["ingress-nginx", "rosa-lab-2"]),
            json!({"matchLabels": {"platform.test/role": "ingress"}}),
            expression("platform.test/role", "Exists", &[]),
            // A pattern of allowedKeys never covers the keys of Kubernetes.
            json!({"matchLabels": {"kubernetes.io/os": "linux"}}),
            json!({"matchLabels": {"developerspace.dev/class": "meadow"}}),
            json!({"matchLabels": {"app.kubernetes.io/managed-by": "Helm"}}),
        ] {
            assert_eq!(check_selector(&selector), Ok(()), "{selector}");
        }
    }

    #[test]
    fn selectors_that_owners_can_meet_are_refused_with_a_message() {
        for (selector, says) in [
            (json!({}), "an empty selector selects every namespace"),
            (json!({"matchLabels": {}, "matchExpressions": []}), "an empty selector"),
            (json!({"matchLabels": {"developerspace.dev/team": "botany"}}), "spec.contact.team"),
            (expression("developerspace.dev/cost-center", "In", &["4711"]), "spec.contact.costCenter"),
            (expression("developerspace.dev/space", "Exists", &[]), "metadata.name"),
            (
                json!({"matchLabels": {"example.com/role": "ingress"}}),
                "since metadata.allowedKeys has example.com/* in SpaceClass meadow",
            ),
            (
                json!({"matchLabels": {"floor": "ground"}}),
                "has floor in SpaceClass meadow and floor in SpaceClass orchard",
            ),
            (expression("kind", "Exists", &[]), "has k* in SpaceClass orchard"),
            (expression("platform.test/quarantine", "DoesNotExist", &[]), "DoesNotExist of platform.test/quarantine"),
            (expression("kubernetes.io/metadata.name", "NotIn", &["prod"]), "NotIn of kubernetes.io/metadata.name"),
            (expression("kubernetes.io/metadata.name", "Exists", &[]), "selects every namespace"),
            (
                expression("kubernetes.io/metadata.name", "In", &["ingress-nginx", "rosa-lab"]),
                "namespace rosa-lab belongs to",
            ),
            (json!({"matchLabels": {"kubernetes.io/metadata.name": "rosa-lab"}}), "namespace rosa-lab belongs to"),
            (expression("developerspace.dev/class", "Exists", &[]), "selects the namespaces of spaces"),
            (json!({"matchLabels": {"developerspace.dev/released": "true"}}), "selects the namespaces of spaces"),
            (
                json!({"matchLabels": {"app.kubernetes.io/managed-by": "developerspace-operator"}}),
                "selects the namespaces of spaces",
            ),
            (expression("app.kubernetes.io/managed-by", "Exists", &[]), "selects the namespaces of spaces"),
            // A further requirement does not help: owners can write the label of the other one.
            (
                json!({"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx", "example.com/role": "ingress"}}),
                "example.com/* in SpaceClass meadow",
            ),
        ] {
            let sentence = check_selector(&selector).unwrap_err();
            assert!(sentence.contains(says), "{selector}: {sentence}");
            assert!(sentence.starts_with("network.allowFromNamespaces: ") && sentence.ends_with(ADVICE), "{sentence}");
        }
    }
}
