//! Tests of the CEL rules of both CRDs without a cluster. `tests/fixtures/bad_input.yaml` is the table of cases. The
//! scenario `e2e/tests/admit.rs` runs the same table on a real API server, which alone validates types, lengths and
//! patterns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{DeveloperSpace, DeveloperSpaceStatus, SpaceClass, conditions, time};

#[path = "../../tests/fixtures/bad_input.rs"]
mod table;

use table::{Case, RefusedBy, Table};

/// The result of the CEL rules for the object of `case`. The outer error means that the object cannot be read as its
/// kind.
fn cel_result(case: &Case) -> Result<Result<(), String>, serde_json::Error> {
    let object = case.object();
    Ok(if case.kind == "SpaceClass" {
        serde_json::from_value::<SpaceClass>(object)?.validate_cel().map_err(|errors| format!("{errors:?}"))
    } else {
        serde_json::from_value::<DeveloperSpace>(object)?.validate_cel().map_err(|errors| format!("{errors:?}"))
    })
}

#[test]
fn the_table_is_well_formed() {
    let table = Table::read().unwrap();
    let mut names: Vec<&str> = table.cases.iter().chain(&table.accepted).map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.len() > 250, "{} cases", names.len());
    assert!(!names.contains(&""), "a case without a name");
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name that is used twice");
    for case in &table.cases {
        assert!(!case.says.is_empty(), "{}: says nothing", case.name);
        assert_eq!(case.reason.is_some(), case.refused_by == Some(RefusedBy::Operator), "{}: reason", case.name);
    }
}

#[test]
fn cel_rules_refuse_invalid_objects_with_their_message() {
    for case in Table::read().unwrap().refused_by(RefusedBy::Cel) {
        let errors = cel_result(case).unwrap().expect_err(&format!("{}: admitted", case.name));
        // Only the API server writes the path of a list's item. This engine gives rules with `optionalOldSelf` null
        // instead of an optional: they refuse a bad name, but without their sentence.
        let sentence_is_lost = case.says.starts_with("spec.") || errors.contains("want 'optional_type'");
        assert!(errors.contains(&case.says) || sentence_is_lost, "{}: {errors}", case.name);
    }
}

#[test]
fn cel_rules_admit_objects_that_only_the_operator_refuses() {
    for case in Table::read().unwrap().refused_by(RefusedBy::Operator).filter(|case| !case.server_only) {
        assert_eq!(cel_result(case).unwrap_or_else(|error| panic!("{}: {error}", case.name)), Ok(()), "{}", case.name);
    }
}

/// The operator can read every object that the API server admits.
#[test]
fn boundary_values_are_admitted_and_decoded() {
    let table = Table::read().unwrap();
    for case in table.accepted.iter().chain(&table.classes) {
        assert_eq!(cel_result(case).unwrap_or_else(|error| panic!("{}: {error}", case.name)), Ok(()), "{}", case.name);
    }
}

fn space(spec: &Value) -> DeveloperSpace {
    serde_json::from_value(json!({
        "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "nora-orders"}, "spec": spec,
    }))
    .unwrap()
}

fn sealed(mut space: DeveloperSpace) -> DeveloperSpace {
    let condition = Condition {
        type_: conditions::types::EXPIRED.into(),
        status: "True".into(),
        reason: "Expired".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: time::to_k8s(chrono::DateTime::UNIX_EPOCH),
    };
    space.status = Some(DeveloperSpaceStatus { conditions: vec![condition], ..DeveloperSpaceStatus::default() });
    space
}

#[test]
fn a_sealed_space_refuses_any_other_spec() {
    let old = sealed(space(&json!({"owner": {"kind": "User", "name": "nora@example.com"}, "ttl": "7d"})));
    for (field, value) in [
        ("renewedAt", json!("2026-11-24T09:00:00Z")),
        ("ttl", json!("8d")),
        ("protected", json!(true)),
        ("owner", json!({"kind": "User", "name": "omar@example.com"})),
    ] {
        let mut new = serde_json::to_value(&old).unwrap();
        new["spec"][field] = value;
        let new: DeveloperSpace = serde_json::from_value(new).unwrap();
        let errors = format!("{:?}", new.validate_cel_update(&old).expect_err(field));
        assert!(errors.contains("has expired (see status.expiresAt)"), "{field}: {errors}");
    }
}

#[test]
fn a_sealed_space_accepts_changes_of_metadata_and_status() {
    let old = sealed(space(&json!({"owner": {"kind": "User", "name": "nora@example.com"}, "ttl": "7d"})));
    let mut new = old.clone();
    new.finalizers_mut().push("developerspace.dev/namespace".into());
    new.labels_mut().insert("seen".into(), "yes".into());
    new.status.as_mut().unwrap().renewals = Some(3);
    assert!(new.validate_cel_update(&old).is_ok());
}

#[test]
fn a_space_that_has_not_expired_may_be_renewed() {
    let mut old = sealed(space(&json!({"owner": {"kind": "User", "name": "nora@example.com"}})));
    old.status.as_mut().unwrap().conditions[0].status = "False".into();
    let new =
        space(&json!({"owner": {"kind": "User", "name": "nora@example.com"}, "renewedAt": "2026-11-24T09:00:00Z"}));
    assert!(new.validate_cel_update(&old).is_ok());
    old.status = None;
    assert!(new.validate_cel_update(&old).is_ok());
}
