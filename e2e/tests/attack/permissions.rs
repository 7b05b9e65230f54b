//! The rights of the operator and of readers, as the API server evaluates them, and the effect of a missing right.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{
    eventually,
    fixtures::{Actor, SOON, a_space, cluster_wide, forbidden, text},
};
use serde_json::{Value, json};

use crate::stage::Stage;

#[path = "../../../tests/fixtures/rights.rs"]
mod fixture;

use fixture::rights;

/// The list that has to change with `config/rbac`; `tests/permissions.rs` compares the manifests with it.
const LIST: &str = include_str!("../../../tests/golden/permissions.txt");

/// Compares the list with the API server's own answer for the operator's token, which includes rights from other bindings and from aggregation.
pub async fn the_operator_may_what_is_on_the_list(stage: &Stage) -> Result<()> {
    let listed: BTreeSet<&str> = LIST.lines().filter_map(|line| line.strip_prefix("ClusterRole developerspace-operator: ")).collect();
    let may = everything(&stage.thief).await?;
    // The rights of every client with a token, not only of the operator.
    let anybody =
        everything(&Actor::new(e2e::kubeconfig::client(&stage.world.create_account("nobody", "none-such").await?).await?)).await?;
    let more: Vec<&String> = may.difference(&anybody).filter(|right| !listed.contains(right.as_str())).collect();
    ensure!(more.is_empty(), "the operator may more than tests/golden/permissions.txt says: {more:?}");
    let less: Vec<&&str> = listed.iter().filter(|right| !may.contains(**right)).collect();
    ensure!(less.is_empty(), "the operator may not all that tests/golden/permissions.txt says: {less:?}");
    Ok(())
}

/// Each right, in the format of the list.
async fn everything(actor: &Actor) -> Result<BTreeSet<String>> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {"name": ""}, "spec": {"namespace": "plain"}});
    let answer = actor.create(&review).await?;
    ensure!(answer["status"]["resourceRules"].is_array(), "there are no rules: {answer}");
    Ok(rights(&answer["status"]["resourceRules"]).into_iter().collect())
}

/// The optional role that allows every user to read everything does not allow reading secrets.
pub async fn readers_see_no_secrets(stage: &Stage) -> Result<()> {
    let admin = stage.world.admin();
    let reader = Actor::new(e2e::kubeconfig::client(&stage.world.create_account("reader", "developerspace-cluster-reader").await?).await?);
    eventually("the role to be put together", SOON, || async {
        for (kind, namespace) in [("Node", ""), ("Namespace", ""), ("Pod", "carol-lab"), ("DeveloperSpace", ""), ("SpaceClass", "")] {
            reader.list(kind, namespace).await?;
        }
        Ok(Some(()))
    })
    .await?;
    for namespace in ["kube-system", "carol-lab", "developerspace-system"] {
        forbidden("secrets", reader.list("Secret", namespace).await.map(Value::from))?;
    }
    let role = admin.get(cluster_wide("ClusterRole", "developerspace-cluster-reader")).await?;
    let writes = role["rules"].as_array().into_iter().flatten().flat_map(|rule| rule["verbs"].as_array().cloned().unwrap_or_default());
    let writes: Vec<Value> = writes.filter(|verb| !["get", "list", "watch"].iter().any(|read| verb == read)).collect();
    ensure!(writes.is_empty(), "a reader may {writes:?}");
    // A viewer sees spaces and changes none.
    let viewer = Actor::new(e2e::kubeconfig::client(&stage.world.create_account("viewer", "developerspace-viewer").await?).await?);
    for kind in ["DeveloperSpace", "SpaceClass"] {
        viewer.list(kind, "").await?;
    }
    forbidden("a renewal", viewer.patch(a_space("carol-lab"), json!({"spec": {"ttl": "1d"}})).await)?;
    forbidden("pods", viewer.list("Pod", "carol-lab").await.map(Value::from))
}

/// A right that the manifests lack is reported at once, and the operator is not ready without it. Once the right is granted, the operator is ready
/// without a restart.
pub async fn a_missing_right_is_told(stage: &Stage) -> Result<()> {
    let (world, admin) = (&stage.world, stage.world.admin());
    let role = cluster_wide("ClusterRole", "developerspace-operator");
    let whole = admin.get(role).await?;
    let mut less = whole["rules"].clone();
    for rule in less.as_array_mut().into_iter().flatten() {
        let quotas = rule["resources"].as_array().is_some_and(|resources| resources.contains(&"resourcequotas".into()));
        if let Some(verbs) = rule["verbs"].as_array_mut().filter(|_| quotas) {
            verbs.retain(|verb| verb != "patch");
        }
    }
    world.stop_operator().await?;
    admin.patch(role, json!({"rules": less})).await?;
    world.spawn_operator().await?;
    let wanted = "the operator is not allowed to patch resourcequotas, patch limitranges: apply config/rbac";
    eventually("the operator to say what it lacks", SOON, || async {
        let (status, why) = world.readiness().await?;
        ensure!(status == 503 && why.contains(wanted), "/readyz says {status}: {why}");
        ensure!(world.operator_log().await?.contains(wanted), "its log does not say so");
        Ok(Some(()))
    })
    .await?;
    eventually("an Event to say so", SOON, || async {
        let events = admin.list("Event", "developerspace-system").await?;
        let told = events.iter().any(|event| {
            event["reason"] == "RightsMissing" && text(event, "/note").contains(wanted) && event["regarding"]["kind"] == "Deployment"
        });
        ensure!(told, "none of {} Events does", events.len());
        Ok(Some(()))
    })
    .await?;
    admin.patch(role, json!({"rules": whole["rules"]})).await?;
    eventually("the operator to be ready", SOON, || async {
        let (status, why) = world.readiness().await?;
        ensure!(status == 200, "/readyz says {status}: {why}");
        Ok(Some(()))
    })
    .await?;
    Ok(())
}
