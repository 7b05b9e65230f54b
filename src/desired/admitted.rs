//! The namespaces that the network rules of all classes admit by name, and the labels by which they select others. No
//! space may take such a name or have such a label.

use std::collections::BTreeMap;

use crate::api::{SpaceClassSpec, names};

/// The namespaces and label keys that `network.allowFromNamespaces` of any class names, each with such a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    namespaces: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
}

impl Admitted {
    /// Reads the specs of all classes. A class may come with more than one: the present one and the one last accepted.
    pub fn from_classes<'a>(classes: impl IntoIterator<Item = (&'a str, &'a SpaceClassSpec)>) -> Self {
        let mut all = Self::default();
        for (class, spec) in classes {
            for selector in &spec.network.allow_from_namespaces {
                for (key, value) in selector.match_labels.iter().flatten() {
                    all.add_key(class, key, std::slice::from_ref(value));
                }
                for requirement in selector.match_expressions.iter().flatten() {
                    let values = requirement.values.as_deref().filter(|_| requirement.operator == "In");
                    all.add_key(class, &requirement.key, values.unwrap_or_default());
                }
            }
        }
        all
    }

    fn add_key(&mut self, class: &str, key: &str, values: &[String]) {
        if key == names::LABEL_NAMESPACE_NAME {
            for namespace in values {
                keep_first(&mut self.namespaces, namespace, class);
            }
        }
        keep_first(&mut self.keys, key, class);
    }

    /// A class that admits the namespace of that name.
    pub(crate) fn admitting(&self, namespace: &str) -> Option<&str> {
        self.namespaces.get(namespace).map(String::as_str)
    }

    /// A class that selects namespaces by that label.
    pub fn selecting(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// The namespaces that are admitted here and not by `other`.
    pub(crate) fn namespaces_beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.namespaces.keys().filter(|name| !other.namespaces.contains_key(*name)).map(String::as_str)
    }

    /// Returns true if both select by the same labels.
    pub(crate) fn selects_as(&self, other: &Self) -> bool {
        self.keys.keys().eq(other.keys.keys())
    }
}

/// Keeps the first class by name, so that the sentence that names it does not depend on the order of the classes.
fn keep_first(map: &mut BTreeMap<String, String>, key: &str, class: &str) {
    let known = map.entry(key.to_owned()).or_insert_with(|| class.to_owned());
    if class < known.as_str() {
        class.clone_into(known);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(selectors: &Value) -> SpaceClassSpec {
        serde_json::from_value(json!({"network": {"allowFromNamespaces": selectors}})).unwrap()
    }

    #[test]
    fn names_and_keys_of_every_selector_are_found() {
        let key = names::LABEL_NAMESPACE_NAME;
        let greenhouse = class(&json!([{"matchLabels": {key: "front-door", "example.com/role": "gate"}}]));
        let cellar = class(&json!([
            {"matchExpressions": [{"key": key, "operator": "In", "values": ["scraper", "front-door"]}]},
            {"matchExpressions": [{"key": "example.com/zone", "operator": "Exists"}, {"key": key, "operator": "NotIn", "values": ["attic"]}]},
        ]));
        let all = Admitted::from_classes([("greenhouse", &greenhouse), ("cellar", &cellar)]);
        for (namespace, by) in
            [("front-door", Some("cellar")), ("scraper", Some("cellar")), ("attic", None), ("gate", None)]
        {
            assert_eq!(all.admitting(namespace), by, "{namespace}");
        }
        for (key, by) in
            [("example.com/role", Some("greenhouse")), ("example.com/zone", Some("cellar")), ("example.com/tier", None)]
        {
            assert_eq!(all.selecting(key), by, "{key}");
        }
        assert_eq!(Admitted::from_classes([("cellar", &cellar), ("greenhouse", &greenhouse)]), all);
        assert_eq!(
            all.namespaces_beyond(&Admitted::from_classes([("greenhouse", &greenhouse)])).collect::<Vec<_>>(),
            ["scraper"]
        );
    }
}
