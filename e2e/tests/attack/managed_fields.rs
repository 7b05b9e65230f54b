//! Managed fields with a time that Go parses and Rust does not. Every client that may change an object may write its managed fields.

use anyhow::{Result, ensure};
use e2e::fixtures::{At, a_namespace, a_space, at, name_of, space, user};
use serde_json::{Value, json};

use crate::setup::{AttackSetup, CLASS, empty_policy};

/// Later than the last time that the operator's library can represent.
const UNREPRESENTABLE_TIME: &str = "9999-12-31T23:59:59Z";

/// Neither such a NetworkPolicy nor such a space stops the operator, its start or the list of an administrator.
pub(crate) async fn no_managed_field_stops_the_operator(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, carol, .. } = setup;
    let policy = at("NetworkPolicy", "alice-lab", "own");
    alice.create(&empty_policy("alice-lab", "own")).await?;
    add_managed_fields_entry(setup, policy, &json!({"f:spec": {"f:policyTypes": {}}})).await?;
    add_managed_fields_entry(setup, a_space("alice-lab"), &json!({"f:spec": {"f:owner": {"f:name": {}}}})).await?;
    world.stop_operator().await?;
    world.start_operator().await?;
    carol.create(&space("carol-later", json!({"className": CLASS, "owner": user("carol@example.com")}))).await?;
    world.until_ready("carol-later").await?;
    alice.patch(a_space("alice-lab"), json!({"spec": {"quota": {"pods": "7"}}})).await?;
    world.until_ready("alice-lab").await?;
    world.ensure_operator_ready().await?;
    let listed = world.cluster().kubectl(&["dspace", "list"]).await?.ok()?;
    ensure!(listed.contains("carol-later") && listed.contains("alice-lab"), "the list of an administrator is\n{listed}");
    alice.delete(policy).await?;
    carol.delete(a_space("carol-later")).await?;
    world.until_gone(a_namespace("carol-later")).await
}

/// Alice writes that time as the entry of another field manager. The API server keeps it, since a label changes as well.
async fn add_managed_fields_entry(setup: &AttackSetup, target: At<'_>, owned: &Value) -> Result<()> {
    let stored = setup.alice.get(target).await?;
    let entry = json!({
        "manager": "somebody", "operation": "Update", "apiVersion": stored["apiVersion"], "time": UNREPRESENTABLE_TIME, "fieldsType": "FieldsV1", "fieldsV1": owned,
    });
    let operations = json!([
        {"op": "add", "path": "/metadata/labels", "value": {"example.com/a": "b"}},
        {"op": "add", "path": "/metadata/managedFields/-", "value": entry},
    ]);
    let patched = setup.alice.json_patch(target, operations).await?;
    let entries = patched["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    ensure!(
        entries.iter().any(|entry| entry["time"] == UNREPRESENTABLE_TIME),
        "the time did not stay in {} {}",
        target.kind,
        name_of(&patched)
    );
    Ok(())
}
