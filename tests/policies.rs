//! Rules for every policy of `config/policy`, whatever its content. `e2e/tests/attack` shows on a real API server which requests the policies refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

fn files() -> Vec<PathBuf> {
    let files = fs::read_dir("config/policy").unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap() != "kustomization.yaml").collect()
}

fn objects(kind: &str) -> Vec<Value> {
    let texts = files().into_iter().map(|file| fs::read_to_string(file).unwrap());
    let all = texts.flat_map(|text| text.split("\n---\n").map(|one| serde_saphyr::from_str(one).unwrap()).collect::<Vec<Value>>());
    all.filter(|object| object["kind"] == kind).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[test]
fn every_file_is_applied() {
    let listed: Value = serde_saphyr::from_str(&fs::read_to_string("config/policy/kustomization.yaml").unwrap()).unwrap();
    let mut files: Vec<String> = files().iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(listed["resources"], json!(files));
}

#[test]
fn each_fails_closed_and_denies() {
    let (policies, bindings) = (objects("ValidatingAdmissionPolicy"), objects("ValidatingAdmissionPolicyBinding"));
    assert!(!policies.is_empty());
    for policy in &policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{}", name(policy));
        assert!(bindings.iter().any(|binding| name(binding) == name(policy)), "{} is not bound", name(policy));
    }
    for binding in &bindings {
        let policy = policies
            .iter()
            .find(|policy| binding["spec"]["policyName"] == name(policy))
            .unwrap_or_else(|| panic!("{} binds no policy", name(binding)));
        assert!(name(binding).starts_with(name(policy)), "{} binds {}", name(binding), name(policy));
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]), "{}", name(binding));
        assert_eq!(binding["spec"]["paramRef"].is_null(), policy["spec"]["paramKind"].is_null(), "{}", name(binding));
    }
}

/// A release removes the label of the operator, and the workloads stay: the controller of a refused pod retries.
#[test]
fn policies_for_the_namespaces_of_spaces_apply_after_a_release() {
    let of_spaces = json!({"app.kubernetes.io/managed-by": "developerspace-operator"});
    let released = json!({"developerspace.dev/released": "true"});
    let bindings = objects("ValidatingAdmissionPolicyBinding");
    let mut checked = Vec::new();
    for policy in objects("ValidatingAdmissionPolicy") {
        let selector = &policy["spec"]["matchConstraints"]["namespaceSelector"];
        assert_ne!(selector["matchLabels"], of_spaces, "{} does not apply to released namespaces", name(&policy));
        let own = bindings.iter().filter(|binding| binding["spec"]["policyName"] == name(&policy));
        let selected: Vec<&Value> = own.map(|binding| &binding["spec"]["matchResources"]).filter(|selected| !selected.is_null()).collect();
        if !selected.is_empty() {
            let both = [&of_spaces, &released].map(|labels| json!({"namespaceSelector": {"matchLabels": labels}}));
            assert_eq!(selected, [&both[0], &both[1]], "{}", name(&policy));
            checked.push(name(&policy).to_owned());
        }
    }
    checked.sort();
    assert_eq!(checked, ["developerspace-cluster-effects", "developerspace-pod-grace"]);
}

/// kustomize can move the operator to another namespace, but does not rewrite names inside an expression.
#[test]
fn none_names_the_operators_account() {
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("developerspace-system"), "{}", file.display());
        assert!(!text.contains("serviceaccount:developerspace"), "{}", file.display());
    }
}

/// A text of a user that is no regular expression fails the request: `names.denied: ["(prod"]` would reject every creation in the class.
#[test]
fn a_text_becomes_a_regular_expression_only_if_it_is_a_plain_pattern() {
    const GUARD: &str = "pattern.matches('^[-a-z0-9*]+$') && variables.name.";
    let policies = objects("ValidatingAdmissionPolicy");
    let variables = policies.iter().flat_map(|policy| policy["spec"]["variables"].as_array().into_iter().flatten());
    let expressions: Vec<&str> = variables.map(|variable| variable["expression"].as_str().unwrap()).collect();
    let mut built = 0;
    for expression in expressions {
        for (at, _) in expression.match_indices("matches('^' + ") {
            assert!(expression[..at].ends_with(GUARD), "{expression}");
            built += 1;
        }
    }
    assert_eq!(built, 2, "names.allowed and names.denied");
}

/// The most bytes of the texts in `schema`.
fn most_bytes(schema: &Value) -> u64 {
    let below: u64 = schema["properties"].as_object().into_iter().flatten().map(|(_, field)| most_bytes(field)).sum();
    schema["maxLength"].as_u64().map_or(below, |characters| 4 * characters)
}

/// The schema bounds characters, of up to four bytes, and not all keys of maps. The operator keeps the spec of each space.
#[test]
fn the_bytes_of_a_spec_are_bounded() {
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string("config/crd/developerspaces.yaml").unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let is_list = |schema: &Value| schema["type"] == "array" || schema["additionalProperties"].is_object();
    let (lists, texts): (Vec<_>, Vec<_>) = spec.as_object().unwrap().iter().partition(|(_, schema)| is_list(schema));
    let policies = objects("ValidatingAdmissionPolicy");
    let bounds = policies.iter().find(|policy| name(policy) == "developerspace-bounds").unwrap()["spec"].to_string();
    for (field, _) in &lists {
        assert!(bounds.contains(&format!("has(object.spec.{field})")), "no policy counts the bytes of spec.{field}");
    }
    assert_eq!(lists.len(), 5, "labels, annotations, members, quota and limitRange");
    let others: u64 = texts.iter().map(|(_, schema)| most_bytes(schema)).sum();
    assert!(others <= 16 * 1_024, "the other fields have up to {others} bytes");
}

/// The approver and the plugin read `status.accepted`, which a stolen token could otherwise forge.
#[test]
fn every_field_of_access_is_compared_before_it_is_accepted() {
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string("config/crd/spaceclasses.yaml").unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let policies = objects("ValidatingAdmissionPolicy");
    let accepts = policies.iter().find(|policy| name(policy) == "developerspace-operator-accepts-what-is-there").unwrap();
    let compared = accepts["spec"].to_string();
    let mut fields: Vec<&String> = Vec::new();
    for (field, schema) in spec["access"]["properties"].as_object().unwrap() {
        fields.push(field);
        fields.extend(schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field));
    }
    assert!(fields.len() > 10, "the fields of access were not found");
    for field in fields {
        let is_compared = compared.contains(&format!("'{field}'")) || compared.contains(&format!("access.{field} "));
        assert!(is_compared, "the policy does not compare the field {field} of spec.access");
    }
}

/// A policy whose parameters are unknown (the CRD was deleted, or the API server has just started) refuses every request that it matches.
#[test]
fn parameters_that_are_not_known_stop_nothing_of_others() {
    for policy in objects("ValidatingAdmissionPolicy").iter().filter(|policy| !policy["spec"]["paramKind"].is_null()) {
        let constraints = &policy["spec"]["matchConstraints"];
        let rules = constraints["resourceRules"].as_array().unwrap();
        let ours = rules.iter().all(|rule| rule["apiGroups"] == json!(["developerspace.dev"]));
        let selected = !constraints["objectSelector"].is_null() || !constraints["namespaceSelector"].is_null();
        assert!(ours || selected, "{} matches objects of others", name(policy));
    }
}
