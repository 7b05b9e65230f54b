//! Labels and annotations that a space asks for: those that its class allows, and the objections to the others.

use std::collections::BTreeMap;

use super::{admitted::Admitted, metadata::Metadata, reserved_keys, spec_refusal::SpecRefusal};
use crate::api::{ClassMetadata, conditions::Reason, names, pattern::matches_pattern, syntax};

/// The labels and annotations of a space that its class allows, without those that the class sets itself, and an
/// objection to each other one. A key in `admitted`, by which network rules select namespaces, is refused whatever the
/// class allows.
pub fn cut(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    class: &ClassMetadata,
    admitted: &Admitted,
) -> (Metadata, Vec<SpecRefusal>) {
    let mut refusals = Vec::new();
    let mut allowed = |field: &str, asked: &BTreeMap<String, String>, set: &BTreeMap<String, String>| {
        let mut kept = BTreeMap::new();
        for (key, value) in asked {
            let selecting = admitted.selecting(key);
            match objection(field, key, value, &class.allowed_keys).or_else(|| selecting.map(is_selected_by)) {
                Some(why) => {
                    refusals.push(SpecRefusal::new(Reason::InvalidSpec, format!("spec.{field} {key:?}: {why}")));
                }
                None if set.contains_key(key) => {}
                None => {
                    kept.insert(key.clone(), value.clone());
                }
            }
        }
        kept
    };
    let labels = allowed("labels", labels, &class.labels);
    let annotations = allowed("annotations", annotations, &class.annotations);
    (Metadata { labels, annotations }, refusals)
}

fn objection(field: &str, key: &str, value: &str, allowed: &[String]) -> Option<String> {
    if !syntax::is_qualified_key(key) {
        return Some("not a valid key; use for example example.com/tier".into());
    }
    if reserved_keys::is_reserved_key(key) || key == names::LABEL_MANAGED_BY {
        return Some(
            "this key belongs to Kubernetes, to the platform or to this operator, and a space cannot set it".into(),
        );
    }
    if !allowed.iter().any(|pattern| matches_pattern(pattern, key)) {
        let choice = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        return Some(format!("the class does not allow this key; it allows {choice}"));
    }
    if field == "labels" && !syntax::is_label_value(value) {
        return Some(
            "the value is not a valid label value: at most 63 letters, digits, dashes, dots and underscores".into(),
        );
    }
    None
}

fn is_selected_by(class: &str) -> String {
    format!("SpaceClass {class} selects namespaces by this key (network.allowFromNamespaces), so no space may set it")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_allowed_keys_are_kept_and_the_value_of_the_class_takes_precedence() {
        let class: ClassMetadata = serde_json::from_value(json!({
            "labels": {"example.com/cost": "gold"}, "annotations": {"example.com/desk": "3"}, "allowedKeys": ["example.com/*", "kubernetes.io/*", "istio-injection"],
        }))
        .unwrap();
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let labels = map(&[
            ("example.com/cost", "free"),
            ("example.com/tier", "two words"),
            ("example.com/stage", "lab"),
            ("example.com/role", "gate"),
            ("example.org/tier", "a"),
            ("istio-injection", "enabled"),
            ("kubernetes.io/metadata.name", "front-door"),
        ]);
        let annotations = map(&[("example.com/desk", "4"), ("example.com/cost", "any text")]);
        let gate = serde_json::from_value(
            json!({"network": {"allowFromNamespaces": [{"matchLabels": {"example.com/role": "gate"}}]}}),
        )
        .unwrap();
        let (kept, refusals) = cut(&labels, &annotations, &class, &Admitted::from_classes([("cellar", &gate)]));
        let expected = Metadata {
            labels: map(&[("example.com/stage", "lab")]),
            annotations: map(&[("example.com/cost", "any text")]),
        };
        assert_eq!(kept, expected);
        let refused: Vec<_> = refusals.iter().map(|refusal| refusal.message.split_once(": ").unwrap().0).collect();
        let expected = [
            r#"spec.labels "example.com/role""#,
            r#"spec.labels "example.com/tier""#,
            r#"spec.labels "example.org/tier""#,
            r#"spec.labels "istio-injection""#,
            r#"spec.labels "kubernetes.io/metadata.name""#,
        ];
        assert_eq!(refused, expected);
    }
}
