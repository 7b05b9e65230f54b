//! Managed fields, which every client that may change an object may write: with a time that Go parses and Rust does
//! not; and a space that is as large as etcd accepts.

use anyhow::{Result, ensure};
use e2e::fixtures::{
    Actor, At, LIFETIME_TIMEOUT, a_namespace, a_space, at, expires_at, holds, name_of, now, refusal, space, user,
};
use serde_json::{Value, json};

use crate::setup::{AttackSetup, CLASS, FLEETING, FLEETING_WARNING, empty_policy};

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
    ensure!(
        listed.contains("carol-later") && listed.contains("alice-lab"),
        "the list of an administrator is\n{listed}"
    );
    alice.delete(policy).await?;
    carol.delete(a_space("carol-later")).await?;
    world.until_gone(a_namespace("carol-later")).await
}

/// Alice writes that time as the entry of another field manager. The API server keeps it, since a label changes as
/// well.
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

/// No room is left for the warning, then none for the seal, and then none for the writes after it. The space ends on
/// time. The API server drops managed fields from a PATCH that does not fit, so `metadata.generateName` fills the space,
/// which only a holder of the verb "assign" can make that long.
pub(crate) async fn a_full_space_ends_on_time(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    let name = "alice-full";
    alice.create(&space(name, json!({"className": FLEETING, "owner": user("alice@example.com")}))).await?;
    let due = expires_at(&world.until_ready(name).await?)?;
    fill(world.admin(), name).await?;
    ensure!(now() < due - FLEETING_WARNING, "the space was full only after the warning");
    for condition in ["Expiring", "Expired"] {
        let written = world.until_status(name, &format!("to be {condition}"), |space| holds(space, condition)).await?;
        ensure!(expires_at(&written)? == due, "the end moved from {due}: {}", written["status"]);
        // The seal replaces the message of the warning, so it can fit.
        let left = written["metadata"].to_string().len();
        ensure!(left < 20_000 || condition == "Expired", "{left} bytes of metadata are left");
        fill(world.admin(), name).await?;
    }
    world.until_gone_within(LIFETIME_TIMEOUT, a_namespace(name)).await?;
    world.until_gone_within(LIFETIME_TIMEOUT, a_space(name)).await
}

/// Fills the space until the API server refuses it with another 32 bytes.
async fn fill(admin: &Actor, name: &str) -> Result<()> {
    let (mut length, mut refused) = (0, false);
    for step in (5..=20).rev().map(|power| 1_usize << power) {
        let named = json!({"metadata": {"generateName": "x".repeat(length + step)}});
        match admin.patch(a_space(name), named).await {
            Ok(_) => length += step,
            outcome => {
                let message = refusal(outcome)?;
                ensure!(message.contains("request is too large"), "{message}");
                refused = true;
            }
        }
    }
    ensure!(refused, "the API server accepted a space of {length} bytes");
    Ok(())
}
