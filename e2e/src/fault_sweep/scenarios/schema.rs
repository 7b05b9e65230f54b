//! R18: the CRD is changed, deleted and created again, and stored objects do not match it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Setting,
    setting::{change, create, namespace_uid, no_writes, ready, remove, silence, state, until_ended, until_equal},
};
use crate::{
    fault_sweep::{
        path::{self, Act, Ends},
        rig::Bench,
    },
    fixtures::{SOON, a_namespace, a_space, cluster_wide, condition, text},
    wait::eventually,
};

const CRD: &str = "developerspaces.developerspace.dev";

/// Changes the CRD in place.
async fn redefine(bench: &Bench, change: impl Fn(&mut Value)) -> Result<()> {
    eventually("the definition to be changed", SOON, || async {
        let mut crd = bench.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
        change(&mut crd);
        bench.admin.replace(cluster_wide("CustomResourceDefinition", CRD), &crd).await.map(|_| Some(()))
    })
    .await
}

/// The CRD gets a new column. That changes no space, so nothing is written.
pub(super) async fn updated(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(2);
    ready(&bench, &names[..1], json!({})).await?;
    silence(&bench, bench.proxy.journal().len(), Duration::from_secs(3)).await?;
    let before = bench.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
    let from = bench.proxy.journal().len();
    redefine(&bench, |crd| {
        let column = json!({"name": "Team", "type": "string", "jsonPath": ".spec.contact.team"});
        if let Some(columns) = crd.pointer_mut("/spec/versions/0/additionalPrinterColumns").and_then(Value::as_array_mut) {
            columns.push(column);
        }
    })
    .await?;
    // The API server ends all watches that use the previous definition of the kind.
    no_writes(&bench, from, setting.either(8, 60)).await?;
    create(&bench, &names[1], json!({})).await?;
    bench.ready(&names[1]).await?;
    redefine(&bench, |crd| crd["spec"] = before["spec"].clone()).await?;
    change(&bench, &names[0], json!({"contact": {"team": "others"}})).await?;
    until_ended(&bench, &names[0], Ends::Ready).await?;
    remove(&bench, &names).await
}

/// Removes the validation of a space's owner and members. The owner's name keeps its schema, because selectable fields
/// refer to it.
fn loosen(crd: &mut Value) {
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for rules in ["x-kubernetes-validations", "required"] {
        schema.as_object_mut().and_then(|schema| schema.remove(rules));
    }
    schema["properties"]["owner"] = json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"name": {"type": "string"}}});
    schema["properties"]["members"] = json!({"x-kubernetes-preserve-unknown-fields": true});
}

/// Objects that a CRD without validation admitted: a space that never decoded, and a space with a namespace whose owner
/// became invalid.
pub(super) async fn undecodable(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(4);
    let [fine, spoiled, broken, new] = [&names[0], &names[1], &names[2], &names[3]];
    ready(&bench, &names[..2], json!({})).await?;
    let (whole, uid) = (state(&bench, spoiled), namespace_uid(&bench, spoiled)?);
    let before = bench.admin.get(cluster_wide("CustomResourceDefinition", CRD)).await?;
    redefine(&bench, loosen).await?;
    let owner = bench.admin.get(a_space(spoiled)).await?["spec"]["owner"].clone();
    eventually("nonsense to be taken", SOON, || async {
        change(&bench, spoiled, json!({"owner": "nobody in particular"})).await?;
        Ok(Some(()))
    })
    .await?;
    bench.perform(broken, &Act::Create(crate::fixtures::space("$NAME", json!({"owner": {"kind": 7}, "members": "all"})))).await?;
    redefine(&bench, |crd| crd["spec"] = before["spec"].clone()).await?;
    let from = bench.proxy.journal().len();
    for name in [spoiled, broken] {
        bench
            .mirror
            .until("to be said to make no sense", name, SOON, |objects| {
                let space = objects.get("DeveloperSpace").context("no space")?;
                let ready = condition(space, "Ready");
                ensure!(ready["status"] == "False" && !text(ready, "/message").is_empty(), "Ready is {ready}");
                Ok(())
            })
            .await?;
    }
    // Other spaces are not affected, also through a restart, in which both are listed again.
    bench.perform(fine, &Act::Delete("ResourceQuota", "developerspace")).await?;
    until_ended(&bench, fine, Ends::Ready).await?;
    bench.terminate().await?;
    bench.start().await?;
    create(&bench, new, json!({})).await?;
    bench.ready(new).await?;
    silence(&bench, from, setting.either(5, 60)).await?;
    let touched = bench.proxy.journal().writes(from);
    let touched = touched.iter().find(|entry| {
        entry.facts.space.as_ref() == Some(spoiled) && entry.facts.resource != "developerspaces" && entry.facts.resource != "events"
    });
    ensure!(
        touched.is_none(),
        "something of a space was changed that cannot be read: {}",
        touched.map(crate::proxy::Entry::line).unwrap_or_default()
    );
    ensure!(namespace_uid(&bench, spoiled)? == uid, "the namespace is another");
    ensure!(bench.admin.find(a_namespace(broken)).await?.is_none(), "a namespace was made for what cannot be read");
    change(&bench, spoiled, json!({"owner": null})).await.err().context("a space without an owner was taken")?;
    let mended = json!({"owner": owner});
    change(&bench, spoiled, mended).await?;
    until_equal(&bench, spoiled, &whole).await?;
    let owner = json!({"owner": {"kind": "User", "name": "carol@example.com"}, "members": []});
    change(&bench, broken, owner).await?;
    remove(&bench, &names).await
}

/// The CRD is deleted and created again while the operator runs: namespaces are released and not deleted, and the
/// operator continues.
pub(super) async fn removed(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    let names = setting.names(2);
    ready(&bench, &names[..1], json!({})).await?;
    let (uid, from) = (namespace_uid(&bench, &names[0])?, bench.proxy.journal().len());
    setting.cluster.kubectl(&["delete", "crd", CRD, "--timeout=60s"]).await?.ok()?;
    let deleted = bench.proxy.journal().since(from, |entry| entry.facts.verb == "delete");
    ensure!(deleted.is_empty(), "{} deletions, among them {}", deleted.len(), deleted[0].line());
    ensure!(namespace_uid(&bench, &names[0])? == uid, "the namespace is another");
    crate::Operator::install(&setting.cluster).await?;
    for class in path::classes() {
        let name = text(&class, "/metadata/name");
        if bench.admin.find(cluster_wide("SpaceClass", name)).await?.is_none() {
            bench.admin.create(&class).await?;
        }
    }
    eventually("a space to be taken", SOON, || async { create(&bench, &names[1], json!({})).await.map(Some) }).await?;
    until_ended(&bench, &names[1], Ends::Ready).await?;
    bench.ensure_alive().await?;
    remove(&bench, &names[1..]).await
}
