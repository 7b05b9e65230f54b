//! The operator restores its own objects and fields after any change, and leaves those of others unchanged.

mod changes;
mod restoration;

use anyhow::Result;
use e2e::{
    fixtures::{World, run_concurrently, user},
    scenarios,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn drift() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        restoration::edits_are_reverted,
        restoration::deleted_objects_are_recreated,
        restoration::labels_are_restored_and_foreign_labels_are_kept,
        restoration::foreign_objects_are_not_changed,
        restoration::the_metadata_of_the_namespace_is_restored,
        restoration::a_deleted_namespace_is_recreated,
        changes::members_are_added_and_removed,
        changes::contact_labels_follow_the_contact,
        changes::the_owner_may_change,
        changes::the_class_may_change,
        changes::a_change_of_a_class_reaches_all_its_spaces,
        changes::isolation_is_switched_off_and_on,
        changes::the_cluster_role_of_a_role_may_change,
        changes::an_invalid_spec_changes_nothing,
        changes::a_reverted_change_restores_the_original_state,
    ])
    .await?;
    world.ensure_operator_ready().await
}

/// The spec of the class of one scenario, so that no other scenario is disturbed.
fn class_spec() -> Value {
    json!({
        "ownerRole": "edit",
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"pods": "7", "limits.memory": "9Gi", "requests.cpu": "1500m"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "300m", "memory": "300Mi"}, "defaultRequest": {"cpu": "30m", "memory": "30Mi"}}],
        "podSecurity": {"enforce": "baseline"},
        "metadata": {"allowedKeys": ["example.com/*"]},
        "lifetime": {"allowProtected": true},
        "allowRetain": true,
    })
}

/// Creates a class and a ready space of it with a group that may view, and returns its snapshot.
async fn create_and_snapshot(world: &World, class: &str, name: &str, owner: &str) -> Result<Value> {
    world.create_accepted_class(class, class_spec()).await?;
    let members = json!([{"kind": "Group", "name": "lookers", "role": "view"}]);
    let contact = json!({"team": "drifters", "costCenter": "0815"});
    world
        .create_ready_space(
            name,
            json!({"className": class, "owner": user(owner), "members": members, "contact": contact}),
        )
        .await?;
    world.snapshot(name).await
}
