//! The rights of the operator and of readers, as the API server evaluates them, and the effect of a missing right.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{Actor, SOON, a_space, cluster_wide, forbidden, text},
};
use serde_json::{Value, json};

use crate::setup::AttackSetup;

#[path = "../../../tests/fixtures/rights.rs"]
mod fixture;

use fixture::rights;

/// The list that has to change with `config/rbac`; `tests/permissions.rs` compares the manifests with it.
const PERMISSION_LIST: &str = include_str!("../../../tests/golden/permissions.txt");

/// Compares the list with the API server's own answer for the operator's token, which includes rights from other
/// bindings and from aggregation.
pub(crate) async fn the_operator_has_exactly_the_listed_rights(setup: &AttackSetup) -> Result<()> {
    let listed: BTreeSet<&str> =
        PERMISSION_LIST.lines().filter_map(|line| line.strip_prefix("ClusterRole developerspace-operator: ")).collect();
    let granted = all_rights(&setup.thief).await?;
    // The rights of every client with a token, not only of the operator.
    let of_every_user = all_rights(&setup.world.create_account_actor("nobody", "none-such").await?).await?;
    let unlisted: Vec<&String> =
        granted.difference(&of_every_user).filter(|right| !listed.contains(right.as_str())).collect();
    ensure!(unlisted.is_empty(), "the operator may more than tests/golden/permissions.txt says: {unlisted:?}");
    let missing: Vec<&&str> = listed.iter().filter(|right| !granted.contains(**right)).collect();
    ensure!(missing.is_empty(), "the operator may not all that tests/golden/permissions.txt says: {missing:?}");
    Ok(())
}

/// Each right, in the format of the list.
async fn all_rights(actor: &Actor) -> Result<BTreeSet<String>> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {"name": ""}, "spec": {"namespace": "plain"}});
    let response = actor.create(&review).await?;
    ensure!(response["status"]["resourceRules"].is_array(), "there are no rules: {response}");
    Ok(rights(&response["status"]["resourceRules"]).into_iter().collect())
}

/// The optional role that allows every user to read everything does not allow reading secrets.
pub(crate) async fn readers_cannot_read_secrets(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    let reader = setup.world.create_account_actor("reader", "developerspace-cluster-reader").await?;
    eventually("the role to be put together", SOON, || async {
        for (kind, namespace) in
            [("Node", ""), ("Namespace", ""), ("Pod", "carol-lab"), ("DeveloperSpace", ""), ("SpaceClass", "")]
        {
            reader.list(kind, namespace).await?;
        }
        Ok(Some(()))
    })
    .await?;
    for namespace in ["kube-system", "carol-lab", "developerspace-system"] {
        forbidden("secrets", reader.list("Secret", namespace).await.map(Value::from))?;
    }
    let role = admin.get(cluster_wide("ClusterRole", "developerspace-cluster-reader")).await?;
    let writes = role["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|rule| rule["verbs"].as_array().cloned().unwrap_or_default());
    let writes: Vec<Value> = writes.filter(|verb| !["get", "list", "watch"].iter().any(|read| verb == read)).collect();
    ensure!(writes.is_empty(), "a reader may {writes:?}");
    // A viewer sees spaces and changes none.
    let viewer = setup.world.create_account_actor("viewer", "developerspace-viewer").await?;
    for kind in ["DeveloperSpace", "SpaceClass"] {
        viewer.list(kind, "").await?;
    }
    forbidden("a renewal", viewer.patch(a_space("carol-lab"), json!({"spec": {"ttl": "1d"}})).await)?;
    forbidden("pods", viewer.list("Pod", "carol-lab").await.map(Value::from))
}

/// A right that the manifests lack is reported at once, and the operator is not ready without it. Once the right is
/// granted, the operator is ready without a restart.
pub(crate) async fn a_missing_right_is_reported(setup: &AttackSetup) -> Result<()> {
    let (world, admin) = (&setup.world, setup.world.admin());
    let role = cluster_wide("ClusterRole", "developerspace-operator");
    let original = admin.get(role).await?;
    let mut reduced = original["rules"].clone();
    for rule in reduced.as_array_mut().into_iter().flatten() {
        let quotas = rule["resources"].as_array().is_some_and(|resources| resources.contains(&"resourcequotas".into()));
        if let Some(verbs) = rule["verbs"].as_array_mut().filter(|_| quotas) {
            verbs.retain(|verb| verb != "patch");
        }
    }
    world.stop_operator().await?;
    admin.patch(role, json!({"rules": reduced})).await?;
    world.spawn_operator().await?;
    let expected_text = "the operator is not allowed to patch resourcequotas, patch limitranges: apply config/rbac";
    eventually("the operator to say what it lacks", SOON, || async {
        let (status, body) = world.readiness().await?;
        ensure!(status == 503 && body.contains(expected_text), "/readyz says {status}: {body}");
        ensure!(world.operator_log().await?.contains(expected_text), "its log does not say so");
        Ok(Some(()))
    })
    .await?;
    eventually("an Event to say so", SOON, || async {
        let events = admin.list("Event", "developerspace-system").await?;
        let is_reported = events.iter().any(|event| {
            event["reason"] == "RightsMissing"
                && text(event, "/note").contains(expected_text)
                && event["regarding"]["kind"] == "Deployment"
        });
        ensure!(is_reported, "none of {} Events does", events.len());
        Ok(Some(()))
    })
    .await?;
    admin.patch(role, json!({"rules": original["rules"]})).await?;
    eventually("the operator to be ready", SOON, || async {
        let (status, body) = world.readiness().await?;
        ensure!(status == 200, "/readyz says {status}: {body}");
        Ok(Some(()))
    })
    .await?;
    Ok(())
}
