//! Requests that the policies admit: those that a class consents to, those that an owner may always make, and those of
//! a newcomer. Also requests while the operator is stopped, which the table of attacks cannot express.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        SOON, a_class, a_namespace, a_space, at, cluster_wide, code, ensure_equal, forbidden, namespace, now,
        rbac_subject, refusal, rfc3339, role_binding, space, text, user,
    },
};
use serde_json::{Value, json};

use crate::setup::{AttackSetup, CLASS, empty_policy};

fn contact() -> Value {
    json!({"team": "payments"})
}

/// Protection, Retain and a name without a dash are admitted if the class allows them.
pub(crate) async fn changes_that_the_class_allows_are_admitted(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    let spec = json!({"className": "generous", "owner": user("alice@example.com"), "contact": contact(), "protected": true, "deletionPolicy": "Retain"});
    alice.try_create(&space("lan", spec.clone())).await.context("a name that the class lists literally")?;
    alice.create(&space("alice-asks", spec)).await?;
    world.until_ready("alice-asks").await?;
    let back = json!({"spec": {"protected": false, "deletionPolicy": "Delete"}});
    alice.patch(a_space("alice-asks"), back).await?;
    for change in
        [json!({"protected": true}), json!({"deletionPolicy": "Retain"}), json!({"contact": {"team": "checkout"}})]
    {
        alice.patch(a_space("alice-asks"), json!({"spec": change})).await?;
    }
    // Existing values do not prevent a renewal, even if the class no longer allows them.
    let admin = setup.world.admin();
    admin.patch(a_space("alice-lab"), json!({"spec": {"labels": {"team": "unheard-of"}}})).await?;
    let renewal = json!({"spec": {"renewedAt": rfc3339(now())}});
    alice.patch(a_space("alice-lab"), renewal).await?;
    admin.patch(a_space("alice-lab"), json!({"spec": {"labels": null}})).await?;
    alice.patch(a_space("alice-asks"), json!({"spec": {"protected": false, "deletionPolicy": "Delete"}})).await?;
    alice.delete(a_space("alice-asks")).await
}

/// S8: the operator deletes spaces if too many wait, and `protected: true` does not prevent that for a space that never
/// had a namespace.
pub(crate) async fn the_operator_deletes_a_protected_space_that_waits(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, thief, .. } = setup;
    alice
        .create(&space(
            "alice-waits",
            json!({"className": "cramped", "owner": user("alice@example.com"), "protected": true}),
        ))
        .await?;
    world.until_not_ready("alice-waits", "OwnerLimitExceeded").await?;
    let sentence = refusal(alice.delete(a_space("alice-waits")).await.map(|()| Value::Null))?;
    ensure!(sentence.contains("set spec.protected to false first"), "{sentence}");
    thief.delete(a_space("alice-waits")).await?;
    world.until_gone(a_space("alice-waits")).await
}

/// F16: a replace of the whole object is admitted with the finalizer, and refused without it with a message that
/// contains the remedy.
pub(crate) async fn a_replaced_object_keeps_the_finalizer(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    alice.create(&space("alice-whole", json!({"className": CLASS, "owner": user("alice@example.com")}))).await?;
    world.until_ready("alice-whole").await?;
    let mut full_object = world.admin().get(a_space("alice-whole")).await?;
    full_object["spec"]["displayName"] = json!("Whole");
    let mut full_object = alice.replace(a_space("alice-whole"), &full_object).await?;
    full_object["spec"]["displayName"] = json!("Whole again");
    full_object["metadata"].as_object_mut().context("it has metadata")?.remove("finalizers");
    // The operator writes the status after the first replace meanwhile.
    let sentence = eventually("the second one to be judged", SOON, || async {
        let mut full_object = full_object.clone();
        full_object["metadata"]["resourceVersion"] =
            alice.get(a_space("alice-whole")).await?["metadata"]["resourceVersion"].clone();
        let outcome = alice.replace(a_space("alice-whole"), &full_object).await;
        let conflict = outcome.as_ref().is_err_and(|error| code(error) == Some(409));
        ensure!(!conflict, "it was written by the operator in between");
        Ok(Some(refusal(outcome)?))
    })
    .await?;
    ensure!(sentence.contains("use kubectl apply or kubectl patch, or keep metadata.finalizers"), "{sentence}");
    alice.delete(a_space("alice-whole")).await
}

/// At most 16 KiB of labels and annotations for the namespace, and 96 KiB of the space's own, in bytes; a larger space
/// that is already stored may still be changed.
pub(crate) async fn metadata_is_bounded(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { alice, .. } = setup;
    let notes = |count: usize, text: &str| -> Value {
        (0..count)
            .map(|number| (format!("example.com/n{number:02}"), json!(text)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let space_with = |annotations: Value| {
        space("alice-fat", json!({"className": CLASS, "owner": user("alice@example.com"), "annotations": annotations}))
    };
    // A key has 15 bytes.
    alice.try_create(&space_with(notes(4, &"a".repeat(4096 - 15)))).await.context("16 KiB")?;
    let expected_texts = ["(16 KiB): shorten", "16384"];
    for (what, object) in [
        ("more than 16 KiB", space_with(notes(5, &"a".repeat(3500)))),
        ("more than 16 KiB beyond ASCII", space_with(notes(4, &"ü".repeat(2100)))),
    ] {
        let sentence = refusal(alice.try_create(&object).await).context(what)?;
        ensure!(expected_texts.iter().all(|part| sentence.contains(part)), "{what}: {sentence}");
    }
    let mut space_object = space("alice-fat", json!({"className": CLASS, "owner": user("alice@example.com")}));
    space_object["metadata"]["annotations"] = json!({"example.com/a": "a".repeat(98_304 - 13)});
    alice.try_create(&space_object).await.context("96 KiB")?;
    space_object["metadata"]["annotations"] = json!({"example.com/a": "a".repeat(98_304)});
    let sentence = refusal(alice.try_create(&space_object).await)?;
    ensure!(sentence.contains("98304 (96 KiB)"), "{sentence}");
    setup.world.admin().create(&space_object).await?;
    alice.patch(a_space("alice-fat"), json!({"spec": {"description": "still hers"}})).await?;
    refusal(alice.patch(a_space("alice-fat"), json!({"metadata": {"labels": {"more": "yes"}}})).await)?;
    alice.delete(a_space("alice-fat")).await
}

/// At most 32 KiB of members, quota and limits, in bytes; a larger space that is already stored may still be changed.
pub(crate) async fn lists_are_bounded(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { alice, .. } = setup;
    let space_with = |letters: usize| {
        let member = |number: u32| json!({"kind": "User", "name": format!("{number:02}{}", "ü".repeat(letters)), "role": "view"});
        let members: Vec<Value> = (0..80).map(member).collect();
        space("alice-crowded", json!({"className": CLASS, "owner": user("alice@example.com"), "members": members}))
    };
    // A member has two digits, letters of two bytes, and the four bytes of the role.
    alice.try_create(&space_with(201)).await.context("32 KiB")?;
    let sentence = refusal(alice.try_create(&space_with(202)).await).context("more than 32 KiB")?;
    ensure!(sentence.contains("more than the limit of 32768 (32 KiB)"), "{sentence}");
    setup.world.admin().create(&space_with(202)).await?;
    alice.patch(a_space("alice-crowded"), json!({"spec": {"description": "still hers"}})).await?;
    refusal(alice.patch(a_space("alice-crowded"), json!({"spec": {"quota": {"pods": "5"}}})).await)?;
    alice.delete(a_space("alice-crowded")).await
}

/// A user who may delete a `NetworkPolicy` in an enforced namespace opens no ingress by that; only an administrator
/// writes the platform's own policies.
pub(crate) async fn an_enforced_network_can_be_closed(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    alice.delete(at("NetworkPolicy", "left-walled", "old")).await?;
    let mut platform = empty_policy("left-walled", "allow-dns");
    let sentence = refusal(world.admin().create(&platform).await)?;
    ensure!(
        sentence.contains("only the developerspace-operator may write NetworkPolicies"),
        "the response is: {sentence}"
    );
    platform["metadata"]["labels"] = json!({"developerspace.dev/platform-policy": "true"});
    world.admin().create(&platform).await?;
    refusal(alice.patch(at("NetworkPolicy", "left-walled", "allow-dns"), json!({"spec": {"ingress": [{}]}})).await)?;
    alice.delete(at("NetworkPolicy", "left-walled", "allow-dns")).await
}

/// The operator completes a release that was interrupted, and changes nothing else about the namespace.
pub(crate) async fn a_release_can_be_completed(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, thief, .. } = setup;
    let labels = json!({"developerspace.dev/released": "true", "developerspace.dev/team": "payments"});
    let annotations =
        json!({"developerspace.dev/owner": "User:erin@example.com", "openshift.io/requester": "erin@example.com"});
    world.admin().create(&namespace("left-early", labels, annotations)).await?;
    world
        .admin()
        .create(&role_binding("left-early", "developerspace-owner", "edit", &rbac_subject("User", "erin@example.com")))
        .await?;
    thief.delete(at("RoleBinding", "left-early", "developerspace-owner")).await?;
    let rest = json!({"metadata": {
        "labels": {"developerspace.dev/released": "true", "developerspace.dev/team": null},
        "annotations": {
            "developerspace.dev/owner": null, "openshift.io/requester": null,
            "developerspace.dev/released-from": "left-early/gone", "developerspace.dev/released-owner": "User:erin@example.com",
        },
    }});
    thief.patch(a_namespace("left-early"), rest).await?;
    let back = json!({"metadata": {"labels": {"developerspace.dev/team": "payments"}}});
    let sentence = refusal(thief.patch(a_namespace("left-early"), back).await)?;
    ensure!(sentence.contains("does not belong to a DeveloperSpace"), "{sentence}");
    Ok(())
}

/// An administrator sets the external IPs of a Service. Its owner may change the rest of it, and add no address.
pub(crate) async fn an_administrator_sets_external_addresses(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    let metadata = json!({"name": "edge", "namespace": "alice-lab"});
    let spec = json!({"ports": [{"port": 443}], "externalIPs": ["203.0.113.7"]});
    world.admin().create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})).await?;
    let edge = at("Service", "alice-lab", "edge");
    alice.patch(edge, json!({"spec": {"ports": [{"port": 8443}]}})).await.context("a change that keeps the address")?;
    let sentence = refusal(alice.patch(edge, json!({"spec": {"externalIPs": ["203.0.113.7", "203.0.113.8"]}})).await)?;
    ensure!(sentence.contains("holders of the verb repair"), "{sentence}");
    alice.delete(edge).await
}

/// With `config/self-service` and no other right, an owner reads, renews and deletes their own space, and may not list
/// spaces or classes.
pub(crate) async fn owners_without_other_rights_reach_their_own_space(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, newcomer, dave, .. } = setup;
    let owner = json!({"kind": "ServiceAccount", "namespace": "default", "name": "newcomer"});
    let newcomer_space = space("for-newcomer", json!({"className": CLASS, "owner": owner}));
    // The operator's rules on subjects are out of scope here, so only admission checks the space.
    dave.create(&newcomer_space).await?;
    let renewed = rfc3339(now());
    newcomer.patch(a_space("for-newcomer"), json!({"spec": {"renewedAt": renewed}})).await?;
    let found = newcomer.get(a_space("for-newcomer")).await?;
    ensure_equal("the renewal", &found["spec"]["renewedAt"], &json!(renewed))?;
    newcomer.get(a_class(CLASS)).await?;
    for kind in ["DeveloperSpace", "SpaceClass"] {
        forbidden(kind, newcomer.list(kind, "").await.map(Value::from))?;
    }
    newcomer.delete(a_space("for-newcomer")).await?;
    world.until_gone(a_space("for-newcomer")).await
}

/// K1: the built-in roles, granted in the whole cluster, allow reading spaces at most.
pub(crate) async fn built_in_roles_only_read_spaces(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    for role in ["edit", "admin"] {
        eventually(&format!("{role} to be put together"), SOON, || async {
            let role = admin.get(cluster_wide("ClusterRole", role)).await?;
            let rules = role["rules"].as_array().into_iter().flatten();
            let space_rules: Vec<&Value> =
                rules.filter(|rule| rule["apiGroups"] == json!(["developerspace.dev"])).collect();
            ensure!(!space_rules.is_empty(), "developerspace-viewer is not part of view yet");
            let reads = space_rules.iter().all(|rule| rule["verbs"] == json!(["get", "list", "watch"]));
            Ok(Some(reads))
        })
        .await
        .and_then(|reads| {
            ensure!(reads, "ClusterRole {role} reaches further than reading");
            Ok(())
        })?;
    }
    let admin_account = setup.world.create_account_actor("everybody", "admin").await?;
    forbidden(
        "taking",
        admin_account.patch(a_space("carol-lab"), json!({"spec": {"owner": {"name": "bob@example.com"}}})).await,
    )?;
    forbidden("deleting", admin_account.delete(a_space("carol-lab")).await.map(|()| Value::Null))?;
    forbidden("a class", admin_account.patch(a_class(CLASS), json!({"spec": {"allowTransfer": true}})).await)
}

/// Rows 11 and 12: requests that an owner sends before the operator has reconciled are checked against the class in
/// force.
pub(crate) async fn requests_are_checked_against_the_accepted_class(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    let generous = json!({"className": "generous", "owner": user("alice@example.com"), "contact": contact()});
    for (name, spec) in
        [("alice-hops", json!({"className": CLASS, "owner": user("alice@example.com")})), ("alice-ends", generous)]
    {
        alice.create(&space(name, spec)).await?;
        world.until_ready(name).await?;
    }
    world.stop_operator().await?;
    let outcome = send_requests(setup).await;
    world.start_operator().await?;
    outcome?;
    for name in ["alice-hops", "alice-ends"] {
        world.until_gone(a_namespace(name)).await?;
    }
    Ok(())
}

async fn send_requests(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, .. } = setup;
    alice.patch(a_space("alice-hops"), json!({"spec": {"className": "giving"}})).await?;
    let sentence =
        refusal(alice.patch(a_space("alice-hops"), json!({"spec": {"owner": user("carol@example.com")}})).await)?;
    ensure!(sentence.contains("spaces of SpaceClass lab may not be transferred"), "{sentence}");
    for name in ["alice-hops", "alice-ends"] {
        alice.delete(a_space(name)).await?;
    }
    let sentence = refusal(alice.patch(a_space("alice-ends"), json!({"spec": {"protected": true}})).await)?;
    ensure!(sentence.contains("is being deleted and cannot become protected"), "{sentence}");
    let terminating = world.admin().get(a_space("alice-ends")).await?;
    ensure!(!text(&terminating, "/metadata/deletionTimestamp").is_empty(), "it is not being deleted");
    Ok(())
}
