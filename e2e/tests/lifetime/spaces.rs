//! Owns the spaces with a short lifetime: their creation, and the check that each is deleted when it is due.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{LIFETIME_TIMEOUT, SOON, World, a_namespace, user},
    operator,
};
use serde_json::{Value, json};

/// Creates a class that has only one role and a lifetime, and one space of it, and waits until the space is ready.
pub(crate) async fn create_class_and_space(
    world: &World,
    class: &str,
    lifetime: Value,
    name: &str,
    spec: Value,
) -> Result<Value> {
    world
        .create_accepted_class(class, json!({"roles": [{"name": "edit", "clusterRole": "edit"}], "lifetime": lifetime}))
        .await?;
    let mut spec = spec;
    spec["className"] = json!(class);
    spec["owner"] = user("alice@example.com");
    world.create_ready_space(name, spec).await
}

/// The deletions of the resource that the operator requested and that were granted, by name.
pub(crate) fn deletions(world: &World, resource: &str) -> Result<BTreeMap<String, Vec<AuditEntry>>> {
    let mut found: BTreeMap<String, Vec<AuditEntry>> = BTreeMap::new();
    for entry in world.cluster().audit().read()? {
        if entry.user == operator::USER && entry.verb == "delete" && entry.resource == resource && entry.code < 300 {
            found.entry(entry.name.clone()).or_default().push(entry);
        }
    }
    Ok(found)
}

/// Waits until the namespace no longer exists, and checks that its deletion was requested once, and not before `due`.
pub(crate) async fn until_deleted_when_due(world: &World, name: &str, due: DateTime<Utc>) -> Result<AuditEntry> {
    world.until_gone_within(LIFETIME_TIMEOUT, a_namespace(name)).await?;
    let deletion = eventually(&format!("the deletion of {name} in the audit log"), SOON, || async {
        Ok(deletions(world, "namespaces")?.remove(name))
    })
    .await?;
    ensure!(deletion.len() == 1, "{name} was deleted {} times", deletion.len());
    let delay = deletion[0].request_received - due;
    ensure!(delay >= TimeDelta::zero(), "{name} was deleted {delay} after its time");
    Ok(deletion[0].clone())
}

#[allow(clippy::print_stderr, reason = "the measurement is shown with --nocapture")]
pub(crate) fn print_report(text: &str) {
    eprintln!("{text}");
}
