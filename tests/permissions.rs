//! Compares every permission that the manifests grant with a list, so that a new verb shows in a review as a new line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

#[path = "fixtures/rights.rs"]
mod fixture;

use fixture::rights;

const LIST: &str = "tests/golden/permissions.txt";

/// Returns the rights of `role`, each with the prefix `Kind name: `.
fn permissions(role: &Value) -> Vec<String> {
    let who = format!("{} {}", role["kind"].as_str().unwrap(), role["metadata"]["name"].as_str().unwrap());
    let rules = role["rules"].as_array().into_iter().flatten();
    assert!(rules.clone().all(|rule| rule.get("nonResourceURLs").is_none()), "{who}: the list has no words for URLs");
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten();
    let aggregated = selectors.map(|selector| format!("all of {}", selector["matchLabels"]));
    rights(&role["rules"]).into_iter().chain(aggregated).map(|right| format!("{who}: {right}")).collect()
}

fn shipped() -> BTreeSet<String> {
    roles().iter().flat_map(permissions).collect()
}

/// Every Role and ClusterRole of the manifests.
fn roles() -> Vec<Value> {
    let mut all = Vec::new();
    for folder in fs::read_dir("config").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "yaml") {
                all.extend(of_file(&file));
            }
        }
    }
    all
}

fn of_file(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    documents.filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))).collect()
}

#[test]
fn nobody_may_more_than_the_list_says() {
    let listed = fs::read_to_string(LIST).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(ToOwned::to_owned).collect();
    let shipped = shipped();
    let new: Vec<_> = shipped.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&shipped).collect();
    assert!(new.is_empty() && gone.is_empty(), "{LIST} differs from config: to add {new:#?}, to remove {gone:#?}");
}

#[test]
fn the_operator_has_no_way_up() {
    let shipped = shipped();
    for right in shipped.iter().filter(|right| right.starts_with("ClusterRole developerspace-operator: ")) {
        let words: Vec<&str> = right.split(": ").nth(1).unwrap().split(' ').collect();
        assert!(!right.contains('*'), "{right}");
        assert!(!["escalate", "impersonate", "approve", "sign"].contains(&words[0]), "{right}");
        assert!(!["secrets", "pods", "serviceaccounts/token", "nodes"].contains(&words[1]), "{right}");
        assert!(words[0] != "bind" || ["admin", "edit", "view"].contains(words.get(2).unwrap_or(&"")), "{right}");
    }
}

/// If a role were part of `edit`, a developer with a cluster-wide `edit` would have access to the spaces of all users.
#[test]
fn only_viewing_is_part_of_a_built_in_role() {
    let part = |role: &Value| {
        let labels = role["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let into = labels
            .keys()
            .filter_map(|key| key.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"))
            .collect::<Vec<_>>()
            .join(", ");
        (!into.is_empty()).then(|| format!("{} is part of {into}", role["metadata"]["name"].as_str().unwrap()))
    };
    assert_eq!(roles().iter().filter_map(part).collect::<Vec<_>>(), ["developerspace-viewer is part of view"]);
}
