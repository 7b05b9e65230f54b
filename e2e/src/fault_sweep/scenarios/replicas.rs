//! R12: more than one instance of the operator at a time.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{
    Setting,
    setting::{
        change_spec, create, create_ready, delete_spaces, ensure_no_writes, state, until_end_state, until_silent,
        until_state,
    },
};
use crate::{
    fault_sweep::{
        path::{EndState, UserAction, soon},
        rig::Rig,
    },
    fixtures::SOON,
    operator,
    wait::eventually,
};

/// Changes each of the seven spaces in another way. The last one is created.
async fn change_spaces(rig: &Rig, names: &[String]) -> Result<()> {
    change_spec(rig, &names[0], json!({"quota": {"requests.cpu": "3"}})).await?;
    change_spec(rig, &names[1], json!({"members": []})).await?;
    change_spec(rig, &names[2], json!({"className": "sweep-roomy"})).await?;
    rig.perform(&names[3], &UserAction::Delete("ResourceQuota", "developerspace")).await?;
    rig.perform(&names[4], &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    change_spec(rig, &names[5], json!({"className": "sweep-brief", "renewedAt": "$NOW", "expiresAt": "$SOON"})).await?;
    create(rig, &names[6], json!({})).await
}

/// Waits until each space is in the end state of its change.
async fn until_changed(rig: &Rig, names: &[String]) -> Result<()> {
    for (number, name) in names.iter().enumerate() {
        until_end_state(rig, name, if matches!(number, 4 | 5) { EndState::Gone } else { EndState::Ready }).await?;
    }
    Ok(())
}

pub(super) async fn two_without_election(setting: Setting) -> Result<()> {
    let one = setting.rig("one", &["--identity", "one"]).await?;
    one.start().await?;
    let alone = Setting { name: format!("{}-alone", setting.name), ..setting.clone() }.names(7);
    create_ready(&one, &alone[..6], json!({})).await?;
    change_spaces(&one, &alone).await?;
    until_changed(&one, &alone).await?;
    let other = setting.rig("other", &["--identity", "other"]).await?;
    other.start().await?;
    let both = Setting { name: format!("{}-both", setting.name), ..setting.clone() }.names(7);
    create_ready(&one, &both[..6], json!({})).await?;
    change_spaces(&one, &both).await?;
    until_changed(&one, &both).await?;
    for (alone, both) in alone.iter().zip(&both) {
        until_state(&one, both, &state(&one, alone)).await?;
    }
    for rig in [&one, &other] {
        let from = rig.proxy.journal().len();
        until_silent(rig, from, Duration::from_secs(3)).await?;
        ensure_no_writes(rig, rig.proxy.journal().len(), setting.duration(8, 60)).await?;
        rig.ensure_alive().await?;
    }
    other.terminate().await?;
    delete_spaces(&one, &alone).await?;
    delete_spaces(&one, &both).await
}

/// `gc` runs repeatedly, concurrently with the controller: each namespace is deleted once.
pub(super) async fn gc_concurrently(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let names = setting.names(12);
    create_ready(&rig, &names, json!({"className": "sweep-brief"})).await?;
    let file = operator::write_kubeconfig(&setting.cluster, &format!("{}-gc", setting.name), Some(rig.proxy.address()))
        .await?;
    let from = rig.proxy.journal().len();
    for name in &names {
        change_spec(&rig, name, soon()).await?;
    }
    let ended = async {
        for name in &names {
            until_end_state(&rig, name, EndState::Gone).await?;
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
        let due = rig.due_time(&entry.request_info.name).context("something else was deleted")?;
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
    create_ready(&one, &names[..6], json!({})).await?;
    let other = setting.rig("other", &["--leader-elect", "--identity", "other"]).await?;
    other.start().await?;
    one.signal("STOP").await?;
    change_spaces(&one, &names).await?;
    until_changed(&one, &names).await?;
    let from = one.proxy.journal().len();
    one.signal("CONT").await?;
    eventually("the former leader to end", SOON, || async { one.ended().await }).await?;
    let written: Vec<String> = one
        .proxy
        .journal()
        .writes(from)
        .iter()
        .filter(|entry| entry.was_done())
        .map(crate::proxy::Entry::line)
        .collect();
    ensure!(written.is_empty(), "the former leader wrote after it woke up: {}", written.join("; "));
    until_changed(&other, &names).await?;
    delete_spaces(&other, &names).await?;
    until_end_state(&other, &names[0], EndState::Gone).await?;
    ensure!(other.terminate().await?.success(), "the new leader did not end well");
    Ok(())
}
