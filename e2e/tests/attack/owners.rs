//! The actions that users with self-service may take, and the operator's reports on requests that no policy can check.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{
        SOON, a_namespace, a_space, at, condition, ensure_equal, is_observed, name_of, now, refusal, rfc3339, space,
        text, user,
    },
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::setup::{AttackSetup, CLASS};

/// No policy prevents its intended use.
pub(crate) async fn self_service_users_manage_their_own_spaces(setup: &AttackSetup) -> Result<()> {
    let AttackSetup { world, alice, bob, carol, dave, .. } = setup;
    // Her own space, from its creation to its deletion.
    alice.create(&space("alice-day", json!({"className": CLASS, "owner": user("alice@example.com")}))).await?;
    world.until_ready("alice-day").await?;
    let changes = [
        json!({"ttl": "2d", "renewedAt": rfc3339(now())}),
        json!({"members": [{"kind": "Group", "name": "checkout", "role": "view"}], "labels": {"example.com/stage": "demo"}}),
        json!({"quota": {"requests.cpu": "6"}, "className": "walled"}),
    ];
    for change in changes {
        alice.patch(a_space("alice-day"), json!({"spec": change})).await?;
        world.until_ready("alice-day").await?;
    }
    alice.delete(a_space("alice-day")).await?;
    world.until_gone(a_space("alice-day")).await?;
    world.until_gone(a_namespace("alice-day")).await?;
    // Each member of a group owns the group's space.
    alice
        .create(&space("payments-lab", json!({"className": CLASS, "owner": {"kind": "Group", "name": "payments"}})))
        .await?;
    world.until_ready("payments-lab").await?;
    bob.patch(a_space("payments-lab"), json!({"spec": {"description": "Bob's words"}})).await?;
    let sentence =
        refusal(carol.patch(a_space("payments-lab"), json!({"spec": {"description": "Carol's words"}})).await)?;
    ensure!(sentence.contains("belongs to Group payments"), "{sentence}");
    bob.delete(a_space("payments-lab")).await?;
    // If the class consents, a space is handed over, and belongs to the new owner from then on.
    alice.create(&space("to-carol", json!({"className": "giving", "owner": user("alice@example.com")}))).await?;
    world.until_ready("to-carol").await?;
    alice.patch(a_space("to-carol"), json!({"spec": {"owner": user("carol@example.com")}})).await?;
    world.until_ready("to-carol").await?;
    refusal(alice.patch(a_space("to-carol"), json!({"spec": {"description": "still mine?"}})).await)?;
    let owners = world.admin().get(at("RoleBinding", "to-carol", "developerspace-owner")).await?;
    ensure_equal("the owner", &owners["subjects"][0]["name"], &"carol@example.com".into())?;
    carol.delete(a_space("to-carol")).await?;
    // A portal names the owner, takes any class, and corrects the spaces of others.
    dave.create(&space("by-portal", json!({"className": "large", "owner": user("erin@example.com")}))).await?;
    world.until_ready("by-portal").await?;
    dave.patch(a_space("by-portal"), json!({"spec": {"owner": user("frank@example.com")}})).await?;
    dave.delete(a_space("by-portal")).await?;
    // The isolation does not prevent the deletion of a namespace, and the policies do not prevent Kubernetes' own
    // garbage collection.
    carol.create(&space("carol-walled", json!({"className": "walled", "owner": user("carol@example.com")}))).await?;
    world.until_ready("carol-walled").await?;
    let foreground = world
        .cluster()
        .kubectl_as("carol@example.com", &["delete", "dspace", "carol-walled", "--cascade=foreground", "--wait=false"])
        .await?;
    foreground.ok()?;
    for name in ["payments-lab", "to-carol", "by-portal", "carol-walled"] {
        world.until_gone(a_space(name)).await?;
        world.until_gone(a_namespace(name)).await?;
    }
    // A null field is equivalent to an omitted one.
    let null_fields = json!({"className": null, "owner": {"kind": "User", "name": "alice@example.com", "namespace": null}, "labels": null, "annotations": null,
        "contact": {"team": "payments", "email": "payments@example.com"}});
    alice.try_create(&space("alice-nulls", null_fields)).await?;
    // A user who may write an ordinary namespace may set its end.
    bob.patch(a_namespace("default"), json!({"metadata": {"annotations": {"developerspace.dev/ttl": "never"}}}))
        .await?;
    bob.patch(a_namespace("default"), json!({"metadata": {"annotations": {"developerspace.dev/ttl": null}}}))
        .await
        .map(drop)
}

/// No policy checks the subjects of callers that may assign, so the operator validates them itself: a condition reports
/// it, and nothing is created.
pub(crate) async fn subjects_of_kubernetes_get_no_access(setup: &AttackSetup) -> Result<()> {
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let account = |namespace: &str| json!({"kind": "ServiceAccount", "namespace": namespace, "name": "robot"});
    for subject in [
        group("system:masters"),
        group("system:authenticated"),
        group("system:unauthenticated"),
        group("system:serviceaccounts"),
        user("system:admin"),
    ] {
        let outcome = setup.dave.create(&space("for-the-system", json!({"className": CLASS, "owner": subject}))).await;
        let sentence = refusal(outcome)?;
        ensure!(sentence.contains("belong to Kubernetes"), "{subject}: {sentence}");
    }
    let subjects =
        [group("System:Masters"), user("SYSTEM:admin"), account("kube-system"), account("developerspace-system")];
    for (number, subject) in subjects.iter().enumerate() {
        let mut member = subject.clone();
        member["role"] = "view".into();
        let specs = [
            (format!("owner-{number}"), "spec.owner", json!({"className": CLASS, "owner": subject})),
            (
                format!("member-{number}"),
                "spec.members[0]",
                json!({"className": CLASS, "owner": user("gina@example.com"), "members": [member]}),
            ),
        ];
        for (name, field, spec) in specs {
            setup.dave.create(&space(&name, spec)).await?;
            let refused = setup.world.until_not_ready(&name, "InvalidSpec").await?;
            let message = text(condition(&refused, "Ready"), "/message");
            ensure!(message.starts_with(field), "{subject}: {message}");
            ensure!(setup.world.admin().find(a_namespace(&name)).await?.is_none(), "namespace {name} was made");
            setup.dave.delete(a_space(&name)).await?;
        }
    }
    Ok(())
}

/// One user, two hundred requests at once, a limit of three.
pub(crate) async fn two_hundred_concurrent_requests_stay_within_the_limit(setup: &AttackSetup) -> Result<()> {
    let names: Vec<String> = (0..200).map(|number| format!("many-{number:03}")).collect();
    let spec = json!({"className": "standard", "owner": user("alice@example.com"), "contact": {"team": "payments", "email": "payments@example.com"}});
    let objects = names.iter().map(|name| space(name, spec.clone()));
    let creations = stream::iter(objects)
        .map(|space| async move { setup.alice.create(&space).await })
        .buffer_unordered(names.len());
    creations.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<Value>>>().context("somebody was refused")?;
    let admin = setup.world.admin();
    eventually("each of two hundred to be judged", SOON, || async {
        let spaces: Vec<Value> = admin
            .list("DeveloperSpace", "")
            .await?
            .into_iter()
            .filter(|space| name_of(space).starts_with("many-"))
            .collect();
        let ready = |space: &&Value| condition(space, "Ready")["status"] == "True";
        let refused = |space: &&Value| condition(space, "Ready")["reason"] == "OwnerLimitExceeded";
        let (ready_count, refused_count) = (spaces.iter().filter(ready).count(), spaces.iter().filter(refused).count());
        ensure!(
            spaces.iter().all(is_observed) && ready_count == 3 && refused_count == 197,
            "{ready_count} are ready and {refused_count} refused"
        );
        Ok(Some(()))
    })
    .await?;
    let namespaces = admin.list("Namespace", "").await?;
    let count = namespaces.iter().filter(|namespace| name_of(namespace).starts_with("many-")).count();
    ensure!(count == 3, "{count} namespaces were made");
    let deletions = stream::iter(&names).map(|name| setup.alice.delete(a_space(name))).buffer_unordered(16);
    deletions.collect::<Vec<_>>().await.into_iter().collect()
}
