//! R4: reads that never get a response, on connections that stay open.

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    Setting,
    setting::{create_ready, delete_spaces, state, until_end_state},
    watches::{WATCHED_RESOURCES, change_unseen, ensure_repaired},
};
use crate::{
    fault_sweep::{
        path::{EndState, UserAction},
        rig::Rig,
    },
    proxy::{Fault, FaultRule, RuleLimit, WatchEnd},
};

/// Makes the next `count` reads with that verb hang indefinitely.
fn hang(rig: &Rig, verb: &'static str, count: usize) {
    let rule = FaultRule::new("hang", Fault::Hang { after: false }, move |request_info, _| {
        request_info.verb == verb && WATCHED_RESOURCES.contains(&request_info.resource.as_str())
    });
    rig.proxy.add_rule(rule.limit(RuleLimit::Count(u32::try_from(count).unwrap_or(u32::MAX))));
}

/// Every watch hangs when it opens, then every list, then the reads before a deletion.
pub(super) async fn reads(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    for (verb, end) in [("watch", WatchEnd::Reset), ("list", WatchEnd::Gone)] {
        let setting = Setting { name: format!("{}-{verb}", setting.name), ..setting.clone() };
        let names = setting.names(3);
        let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
        create_ready(&rig, &names[..2], json!({})).await?;
        let before = state(&rig, trio[0]);
        hang(&rig, verb, WATCHED_RESOURCES.len());
        rig.proxy.end_watches(None, end);
        change_unseen(&rig, trio).await?;
        ensure_repaired(&rig, trio, &before).await.with_context(|| format!("each {verb} hung once"))?;
        delete_spaces(&rig, &names).await?;
    }
    let names = setting.names(2);
    create_ready(&rig, &names, json!({})).await?;
    hang(&rig, "get", names.len());
    for name in &names {
        rig.perform(name, &UserAction::Delete("DeveloperSpace", "$NAME")).await?;
    }
    for name in &names {
        until_end_state(&rig, name, EndState::Gone).await.context("each read of a namespace hung once")?;
    }
    rig.ensure_alive().await
}
