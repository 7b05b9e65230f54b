//! Rules for every policy of `config/policy`, whatever its content, and the requests of two accounts that policies
//! confine. `e2e/tests/attack` shows on a real API server which requests the policies refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{cmp::Reverse, fs, path::PathBuf};

use developerspace_operator::{
    api::{DeveloperSpace, conditions::MAX_MESSAGE_BYTES},
    desired::departure,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::cel::{
    KubeCelExt,
    cel::{Context, Program, Value as Cel},
};
use serde_json::{Value, json};

fn files() -> Vec<PathBuf> {
    let files = fs::read_dir("config/policy").unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap() != "kustomization.yaml").collect()
}

fn objects(kind: &str) -> Vec<Value> {
    let texts = files().into_iter().map(|file| fs::read_to_string(file).unwrap());
    let all = texts
        .flat_map(|text| text.split("\n---\n").map(|one| serde_saphyr::from_str(one).unwrap()).collect::<Vec<Value>>());
    all.filter(|object| object["kind"] == kind).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[test]
fn every_file_is_applied() {
    let listed: Value =
        serde_saphyr::from_str(&fs::read_to_string("config/policy/kustomization.yaml").unwrap()).unwrap();
    let mut files: Vec<String> =
        files().iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
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
    let outside_the_cluster = json!({"matchExpressions": [{
        "key": "kubernetes.io/metadata.name", "operator": "NotIn",
        "values": ["default", "kube-system", "kube-public", "kube-node-lease"],
    }]});
    let bindings = objects("ValidatingAdmissionPolicyBinding");
    let mut checked = Vec::new();
    for policy in objects("ValidatingAdmissionPolicy") {
        let selector = &policy["spec"]["matchConstraints"]["namespaceSelector"];
        assert_ne!(selector["matchLabels"], of_spaces, "{} does not apply to released namespaces", name(&policy));
        let own = bindings.iter().filter(|binding| binding["spec"]["policyName"] == name(&policy));
        let selected: Vec<&Value> =
            own.map(|binding| &binding["spec"]["matchResources"]).filter(|selected| !selected.is_null()).collect();
        if !selected.is_empty() {
            let both = [&of_spaces, &released].map(|labels| json!({"namespaceSelector": {"matchLabels": labels}}));
            assert_eq!(selected, [&both[0], &both[1]], "{}", name(&policy));
            assert_eq!(*selector, outside_the_cluster, "{} relies on its bindings", name(&policy));
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

/// A text of a user that is no regular expression fails the request: `names.denied: ["(prod"]` would reject every
/// creation in the class.
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

/// The most characters of the texts in `schema`.
fn most_characters(schema: &Value) -> u64 {
    let below: u64 =
        schema["properties"].as_object().into_iter().flatten().map(|(_, field)| most_characters(field)).sum();
    schema["maxLength"].as_u64().unwrap_or(below)
}

/// The names of the lists and maps in the spec of a space, and the most characters of its other fields.
fn lists_and_texts() -> (Vec<String>, u64) {
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string("config/crd/developerspaces.yaml").unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let is_list = |schema: &Value| schema["type"] == "array" || schema["additionalProperties"].is_object();
    let (lists, texts): (Vec<_>, Vec<_>) = spec.as_object().unwrap().iter().partition(|(_, schema)| is_list(schema));
    (
        lists.into_iter().map(|(field, _)| field.clone()).collect(),
        texts.iter().map(|(_, schema)| most_characters(schema)).sum(),
    )
}

/// The policy that bounds the bytes of a space.
fn bounds() -> String {
    let policies = objects("ValidatingAdmissionPolicy");
    policies.iter().find(|policy| name(policy) == "developerspace-bounds").unwrap()["spec"].to_string()
}

/// The schema bounds characters, of up to four bytes, and not all keys of maps. The operator keeps the spec of each
/// space.
#[test]
fn the_bytes_of_a_spec_are_bounded() {
    let ((lists, characters), bounds) = (lists_and_texts(), bounds());
    for field in &lists {
        assert!(bounds.contains(&format!("has(object.spec.{field})")), "no policy counts the bytes of spec.{field}");
    }
    assert_eq!(lists.len(), 5, "labels, annotations, members, quota and limitRange");
    assert!(characters <= 4 * 1_024, "the other fields have up to {characters} characters");
}

/// No policy can bound managed fields, so the operator removes them if a write to the space does not fit. The rest must
/// leave room for the status.
#[test]
fn a_space_without_managed_fields_is_smaller_than_the_largest_request_of_etcd() {
    const ETCD_LIMIT: u64 = 1_572_864;
    /// JSON escapes control characters, and the encoder of Go also `<`, `>` and `&`, as six bytes.
    const ESCAPED: u64 = 6;
    /// The names of fields, and all values of fixed length.
    const STRUCTURE: u64 = 64 * 1_024;
    let ((_, characters), bounds) = (lists_and_texts(), bounds());
    let limit = |size: &str| -> u64 {
        let (_, limit) = bounds.split_once(&format!("variables.{size} <= ")).unwrap();
        limit.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let owned = limit("ownSize") + limit("generateNameSize") + limit("size") + limit("listSize") + characters;
    // Ready, Expiring, Expired, Reconciling and Stalled.
    let messages = 5 * u64::try_from(MAX_MESSAGE_BYTES).unwrap();
    let most = ESCAPED * (owned + messages) + STRUCTURE;
    assert!(most <= ETCD_LIMIT - ETCD_LIMIT / 5, "a space has up to {most} bytes");
}

/// The approver and the plugin read `status.accepted`, which a stolen token could otherwise forge.
#[test]
fn every_field_of_access_is_compared_before_it_is_accepted() {
    let crd: Value = serde_saphyr::from_str(&fs::read_to_string("config/crd/spaceclasses.yaml").unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let policies = objects("ValidatingAdmissionPolicy");
    let accepts =
        policies.iter().find(|policy| name(policy) == "developerspace-operator-accepts-what-is-there").unwrap();
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

/// A policy whose parameters are unknown (the CRD was deleted, or the API server has just started) refuses every
/// request that it matches.
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

/// The validations of a policy with their messages. Each variable is replaced by its expression, because variables that
/// are not used are not evaluated.
struct Validations(Vec<(Program, String)>);

impl Validations {
    fn of(policy: &str) -> Self {
        let policies = objects("ValidatingAdmissionPolicy");
        let spec = &policies.iter().find(|found| name(found) == policy).unwrap()["spec"];
        let mut variables: Vec<(String, String)> = Vec::new();
        for variable in spec["variables"].as_array().unwrap() {
            let expression = expanded(&variable["expression"], &variables);
            variables.push((format!("variables.{}", variable["name"].as_str().unwrap()), expression));
            // The name of a variable may begin with the name of another one.
            variables.sort_by_key(|(name, _)| Reverse(name.len()));
        }
        let validation = |validation: &Value| {
            let program = Program::compile(&expanded(&validation["expression"], &variables)).unwrap();
            (program, validation["message"].as_str().unwrap().to_owned())
        };
        Self(spec["validations"].as_array().unwrap().iter().map(validation).collect())
    }

    /// Returns the messages of the validations that refuse the request, whatever the permissions of the caller.
    fn refusals(&self, (operation, resource): (&str, &str), before: &Value, after: &Value) -> Vec<&str> {
        let request = json!({
            "operation": operation, "name": before["metadata"]["name"], "namespace": "", "resource": {"group": "", "version": "v1", "resource": resource},
            "userInfo": {"username": "system:serviceaccount:robots:worker"},
        });
        let mut context = Context::default().with_all();
        for (variable, value) in
            [("request", &request), ("object", after), ("oldObject", before), ("namespaceObject", &Value::Null)]
        {
            context.add_variable(variable, value).unwrap();
        }
        let holds = |program: &Program| match program.execute(&context).unwrap() {
            Cel::Bool(holds) => holds,
            other => panic!("the result is {other:?}"),
        };
        self.0.iter().filter(|(program, _)| !holds(program)).map(|(_, message)| message.as_str()).collect()
    }
}

fn expanded(expression: &Value, variables: &[(String, String)]) -> String {
    let expression = expression.as_str().unwrap().to_owned();
    variables.iter().fold(expression, |text, (variable, value)| text.replace(variable.as_str(), &format!("({value})")))
}

/// The object after a merge patch of its metadata.
fn patched(before: &Value, metadata: &Value) -> Value {
    let mut after = before.clone();
    json_patch::merge(&mut after, &json!({"metadata": metadata}));
    after
}

/// A namespace that was released from a class that enforces isolation.
fn released() -> Value {
    json!({"metadata": {
        "name": "orchid-lab",
        "labels": {
            "developerspace.dev/released": "true", "developerspace.dev/network-enforced": "true", "pod-security.kubernetes.io/enforce": "baseline",
            "kubernetes.io/metadata.name": "orchid-lab", "theirs": "x",
        },
        "annotations": {"developerspace.dev/released-from": "orchid-lab/space-1", "developerspace.dev/released-owner": "Group:gardeners", "theirs": "x"},
    }})
}

#[test]
fn the_operator_only_completes_the_release_of_a_namespace() {
    const FOREIGN: &str =
        "this namespace does not belong to a DeveloperSpace, so the developerspace-operator may not write to it";
    let (confined, released) = (Validations::of("developerspace-operator-confined"), released());
    for metadata in [
        json!({"annotations": {"developerspace.dev/adopt": "orchid-lab/space-2"}}),
        json!({"annotations": {"developerspace.dev/space-uid": "space-2"}}),
        json!({"annotations": {"developerspace.dev/released-owner": null}}),
        json!({"annotations": {"developerspace.dev/ttl": "1s"}}),
        json!({"annotations": {"janitor/ttl": "1s"}}),
        json!({"annotations": {"theirs": null}}),
        json!({"labels": {"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "orchid-lab"}}),
        json!({"labels": {"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/class": "none-such",
            "pod-security.kubernetes.io/enforce": "privileged"}}),
        json!({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}),
        json!({"labels": {"pod-security.kubernetes.io/enforce": null}}),
        json!({"labels": {"developerspace.dev/network-enforced": null}}),
        json!({"labels": {"developerspace.dev/released": null}}),
        json!({"labels": {"developerspace.dev/released": "false"}}),
        json!({"labels": {"istio-injection": "disabled"}}),
        json!({"labels": {"theirs": null}}),
        json!({"ownerReferences": [{"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "name": "orchid-lab", "uid": "none-such"}]}),
        json!({"finalizers": ["example.com/hold"]}),
    ] {
        let refusals = confined.refusals(("UPDATE", "namespaces"), &released, &patched(&released, &metadata));
        assert!(refusals.contains(&FOREIGN), "{metadata}: {refusals:?}");
    }
    assert_eq!(confined.refusals(("DELETE", "namespaces"), &released, &Value::Null), [FOREIGN]);
}

#[test]
fn the_operator_completes_a_release_and_adopts_an_offered_namespace() {
    let (confined, released) = (Validations::of("developerspace-operator-confined"), released());
    let write = |before: &Value, metadata: &Value| {
        confined.refusals(("UPDATE", "namespaces"), before, &patched(before, metadata))
    };
    let interrupted = patched(
        &released,
        &json!({
            "labels": {"developerspace.dev/team": "botany"},
            "annotations": {"developerspace.dev/owner": "Group:gardeners", "developerspace.dev/released-from": null, "developerspace.dev/released-owner": null},
        }),
    );
    let space: DeveloperSpace = serde_json::from_value(json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "space-1"},
        "spec": {"owner": {"kind": "User", "name": "ada@example.com"}}, "status": {"className": "greenhouse", "conditions": []},
    }))
    .unwrap();
    let live: ObjectMeta = serde_json::from_value(interrupted["metadata"].clone()).unwrap();
    let rest = departure::release(&space, &live, "2026-03-04T12:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(write(&interrupted, &rest["metadata"]), [""; 0], "{rest}");
    let offered = patched(&released, &json!({"annotations": {"developerspace.dev/adopt": "orchid-lab/space-2"}}));
    let adoption = json!({
        "labels": {
            "developerspace.dev/released": null, "app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "orchid-lab",
            "developerspace.dev/class": "greenhouse",
        },
        "annotations": {"developerspace.dev/released-from": null, "developerspace.dev/released-owner": null, "developerspace.dev/space-uid": "space-2"},
    });
    assert_eq!(write(&offered, &adoption), [""; 0], "an administrator offered it");
    let end_of_the_offer = json!({"annotations": {"developerspace.dev/adopt": null}});
    assert_eq!(write(&patched(&offered, &adoption), &end_of_the_offer), [""; 0], "the space has recorded it");
}

/// A `generateName` of that length can only be stored by an update.
#[test]
fn the_generate_name_of_a_space_is_bounded() {
    let bounds = Validations::of("developerspace-bounds");
    let space = |length: usize| json!({"metadata": {"generateName": "x".repeat(length)}, "spec": {}});
    for (before, after, is_admitted) in
        [(0, 253, true), (0, 254, false), (300, 300, true), (300, 299, true), (300, 301, false)]
    {
        let refusals = bounds.refusals(("UPDATE", "developerspaces"), &space(before), &space(after));
        assert_eq!(refusals.is_empty(), is_admitted, "from {before} to {after}: {refusals:?}");
    }
}

#[test]
fn an_owner_does_not_repeat_a_finalizer() {
    const OWN: &str = "developerspace.dev/namespace";
    const OTHER: &str = "example.com/other";
    let owners = Validations::of("developerspace-owners");
    let space = |finalizers: &Value| {
        let owner = json!({"kind": "User", "name": "system:serviceaccount:robots:worker"});
        json!({"metadata": {"name": "orchid-lab", "finalizers": finalizers}, "spec": {"owner": owner}})
    };
    for (before, after, is_admitted) in [
        (json!([]), json!([OWN]), true),
        (json!([]), json!([OWN, OWN]), false),
        (json!([OWN]), json!([OWN]), true),
        (json!([OWN]), json!([OWN, OWN]), false),
        (json!([OTHER]), json!([OTHER, OWN]), true),
        (json!([OTHER, OWN]), json!([OWN, OTHER]), true),
        (json!([OTHER, OWN]), json!([OTHER, OWN, OTHER]), false),
        (json!([OWN, OWN]), json!([OWN, OWN]), true),
        (json!([OWN, OWN]), json!([OWN]), true),
        (json!([OWN, OWN]), json!([OWN, OWN, OWN]), false),
    ] {
        let refusals = owners.refusals(("UPDATE", "developerspaces"), &space(&before), &space(&after));
        assert_eq!(refusals.is_empty(), is_admitted, "from {before} to {after}: {refusals:?}");
    }
}

#[test]
fn the_account_of_a_sweep_deletes_only_namespaces_that_a_sweep_decides_about() {
    let confined = Validations::of("developerspace-sweep-confined");
    let managed =
        json!({"app.kubernetes.io/managed-by": "developerspace-operator", "developerspace.dev/space": "orchid-lab"});
    let ttl = json!({"developerspace.dev/ttl": "1s"});
    for (name, labels, annotations, is_admitted) in [
        ("orchid-lab", managed.clone(), json!({}), true),
        ("orchid-lab", json!({}), json!({"developerspace.dev/space-uid": "space-1"}), true),
        ("note-lab", json!({"team": "botany"}), ttl.clone(), true),
        ("note-lab", json!({}), json!({"developerspace.dev/expires-at": "2026-03-04T12:00:00Z"}), true),
        ("note-lab", json!({}), json!({"k8s-ttl-controller.twin.sh/ttl": "1s"}), true),
        ("note-lab", ttl.clone(), ttl.clone(), true),
        ("note-lab", ttl.clone(), json!({}), false),
        ("note-lab", json!({}), json!({}), false),
        ("note-lab", managed, json!({}), false),
        ("note-lab", json!({"app.kubernetes.io/managed-by": "developerspace-operator"}), ttl.clone(), false),
        ("note-lab", json!({"developerspace.dev/released": "true"}), ttl.clone(), false),
        (
            "note-lab",
            json!({}),
            json!({"developerspace.dev/ttl": "1s", "developerspace.dev/adopt": "note-lab/space-1"}),
            false,
        ),
        ("default", json!({}), ttl.clone(), false),
        ("robots", json!({}), ttl.clone(), false),
        ("kube-system", json!({}), ttl.clone(), false),
        ("openshift-dns", json!({}), ttl, false),
    ] {
        let namespace = json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}});
        let refusals = confined.refusals(("DELETE", "namespaces"), &namespace, &Value::Null);
        assert_eq!(refusals.is_empty(), is_admitted, "{namespace}: {refusals:?}");
    }
    let bare = json!({"metadata": {"name": "note-lab"}});
    assert_eq!(confined.refusals(("DELETE", "namespaces"), &bare, &Value::Null).len(), 1, "it requests no expiry");
}

#[test]
fn the_account_of_a_sweep_changes_no_access() {
    let confined = Validations::of("developerspace-sweep-confined");
    let owner = json!({"kind": "User", "name": "ada@example.com"});
    let another_owner = |field: &str, value: &str| {
        let mut changed = owner.clone();
        changed[field] = json!(value);
        changed
    };
    let full = json!({"className": "greenhouse", "owner": owner, "namespace": {"name": "orchid-lab", "uid": "namespace-1"}, "conditions": []});
    let sealed = json!({"conditions": [{"type": "Expired", "status": "True"}], "expiresAt": "2026-03-04T12:00:00Z"});
    for (before, change, is_admitted) in [
        (&full, sealed.clone(), true),
        (&full, json!({"namespace": null}), true),
        (&json!({"className": "greenhouse"}), json!({"owner": owner}), true),
        (&json!({"className": "greenhouse"}), json!({"owner": another_owner("name", "kim@example.com")}), false),
        (&json!({"className": "greenhouse"}), json!({"owner": another_owner("kind", "Group")}), false),
        (&json!({"className": "greenhouse"}), json!({"owner": another_owner("namespace", "robots")}), false),
        (&json!({}), sealed, true),
        (&full, json!({"className": "walled"}), false),
        (&full, json!({"className": null}), false),
        (&json!({}), json!({"className": "walled"}), false),
        (&full, json!({"owner": {"name": "kim@example.com"}}), false),
        (&full, json!({"owner": null}), false),
        (&full, json!({"namespace": {"uid": "namespace-2"}}), false),
        (&json!({}), json!({"namespace": {"name": "orchid-lab", "uid": "namespace-2"}}), false),
    ] {
        let space =
            |status: &Value| json!({"metadata": {"name": "orchid-lab"}, "spec": {"owner": owner}, "status": status});
        let mut after = before.clone();
        json_patch::merge(&mut after, &change);
        let refusals = confined.refusals(("UPDATE", "developerspaces"), &space(before), &space(&after));
        assert_eq!(refusals.is_empty(), is_admitted, "{change}: {refusals:?}");
    }
}
