//! R12: more than one instance of the operator at a time.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{change, create, ready, remove, silence, state, until_ended, until_equal},
};
use crate::{
    fault_sweep::{
        path::{Act, Ends, soon},
        rig::Rig,
    },
    fixtures::SOON,
    operator,
    wait::eventually,
};

/// Performs the acts on the spaces of a row.
async fn live(rig: &Rig, names: &[String]) -> Result<()> {
    change(rig, &names[0], json!({"quota": {"requests.cpu": "3"}})).await?;
    change(rig, &names[1], json!({"members": []})).await?;
    change(rig, &names[2], json!({"className": "sweep-roomy"})).await?;
    rig.perform(&names[3], &Act::Delete("ResourceQuota", "developerspace")).await?;
    rig.perform(&names[4], &Act::Delete("DeveloperSpace", "$NAME")).await?;
    change(rig, &names[5], json!({"className": "sweep-brief", "renewedAt": "$NOW", "expiresAt": "$SOON"})).await?;
    create(rig, &names[6], json!({})).await
}

async fn until_lived(rig: &Rig, names: &[String]) -> Result<()> {
    for (number, name) in names.iter().enumerate() {
        until_ended(rig, name, if matches!(number, 4 | 5) { Ends::Gone } else { Ends::Ready }).await?;
    }
    Ok(())
}

pub(super) async fn two_without_election(setting: Setting) -> Result<()> {
    let one = setting.rig("one", &["--identity", "one"]).await?;
    one.start().await?;
    let alone = Setting { name: format!("{}-alone", setting.name), ..setting.clone() }.names(7);
    ready(&one, &alone[..6], json!({})).await?;
    live(&one, &alone).await?;
    until_lived(&one, &alone).await?;
    let other = setting.rig("other", &["--identity", "other"]).await?;
    other.start().await?;
    let both = Setting { name: format!("{}-both", setting.name), ..setting.clone() }.names(7);
    ready(&one, &both[..6], json!({})).await?;
    live(&one, &both).await?;
    until_lived(&one, &both).await?;
    for (alone, both) in alone.iter().zip(&both) {
        until_equal(&one, both, &state(&one, alone)).await?;
    }
    for rig in [&one, &other] {
        let from = rig.proxy.journal().len();
        silence(rig, from, Duration::from_secs(3)).await?;
        super::setting::no_writes(rig, rig.proxy.journal().len(), setting.either(8, 60)).await?;
        rig.ensure_alive().await?;
    }
    other.terminate().await?;
    remove(&one, &alone).await?;
    remove(&one, &both).await
}

/// `gc` runs repeatedly, concurrently with the controller: each namespace is deleted once.
pub(super) async fn gc_beside(setting: Setting) -> Result<()> {
    let rig = setting.working().await?;
    let names = setting.names(12);
    ready(&rig, &names, json!({"className": "sweep-brief"})).await?;
    let file = operator::write_kubeconfig(&setting.cluster, &format!("{}-gc", setting.name), Some(rig.proxy.address())).await?;
    let from = rig.proxy.journal().len();
    for name in &names {
        change(&rig, name, soon()).await?;
    }
    let ended = async {
        for name in &names {
            until_ended(&rig, name, Ends::Gone).await?;
        }
        Ok::<(), anyhow::Error>(())
    };
    let sweeping = async {
        loop {
            let output = operator::gc_with(&file, &["-o", "json"]).await;
            match output {
                Ok(output) if output.succeeded() => {}
                Ok(output) => return anyhow::anyhow!("gc failed: {} {}", output.stdout, output.stderr),
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        ended = ended => ended?,
        error = sweeping => return Err(error),
    }
    let mut deleted: HashMap<(String, String), usize> = HashMap::new();
    for entry in rig.proxy.journal().since(from, |entry| entry.request_info.verb == "delete" && entry.was_done()) {
        let due = rig.moment(&entry.request_info.name).context("something else was deleted")?;
        ensure!(entry.at >= due, "deleted before its time: {}", entry.line());
        *deleted.entry((entry.request_info.resource.clone(), entry.request_info.name.clone())).or_default() += 1;
    }
    for name in &names {
        let count = deleted.get(&("namespaces".to_owned(), name.clone())).copied().unwrap_or_default();
        ensure!(count == 1, "namespace {name} was deleted {count} times");
    }
    Ok(())
}

/// The leader is suspended, the other operator takes over, and the former leader resumes: it must notice and end
/// without harm.
pub(super) async fn frozen_leader(setting: Setting) -> Result<()> {
    let one = setting.rig("one", &["--leader-elect", "--identity", "one"]).await?;
    one.start().await?;
    let names = setting.names(7);
    ready(&one, &names[..6], json!({})).await?;
    let other = setting.rig("other", &["--leader-elect", "--identity", "other"]).await?;
    other.start().await?;
    one.signal("STOP").await?;
    live(&one, &names).await?;
    until_lived(&one, &names).await?;
    let from = one.proxy.journal().len();
    one.signal("CONT").await?;
    eventually("the former leader to end", SOON, || async { one.ended().await }).await?;
    let written: Vec<String> =
        one.proxy.journal().writes(from).iter().filter(|entry| entry.was_done()).map(crate::proxy::Entry::line).collect();
    ensure!(written.is_empty(), "the former leader wrote after it woke up: {}", written.join("; "));
    until_lived(&other, &names).await?;
    remove(&other, &names).await?;
    until_ended(&other, &names[0], Ends::Gone).await?;
    ensure!(other.terminate().await?.success(), "the new leader did not end well");
    Ok(())
}
