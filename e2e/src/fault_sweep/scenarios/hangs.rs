//! R4: reads that never get a response, on connections that stay open.

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    Setting,
    setting::{ready, remove, state, until_ended},
    watches::{WATCHED, disturb, judge},
};
use crate::{
    fault_sweep::{
        path::{Act, Ends},
        rig::Rig,
    },
    proxy::{Fault, FaultRule, RuleLimit, WatchEnd},
};

/// Makes the next `count` reads with that verb hang indefinitely.
fn hang(rig: &Rig, verb: &'static str, count: usize) {
    let rule = FaultRule::new("hang", Fault::Hang { after: false }, move |request_info, _| {
        request_info.verb == verb && WATCHED.contains(&request_info.resource.as_str())
    });
    rig.proxy.add_rule(rule.limit(RuleLimit::Count(u32::try_from(count).unwrap_or(u32::MAX))));
}

/// Every watch hangs when it opens, then every list, then the reads before a deletion.
pub(super) async fn reads(setting: Setting) -> Result<()> {
    let rig = setting.working().await?;
    for (verb, end) in [("watch", WatchEnd::Reset), ("list", WatchEnd::Gone)] {
        let setting = Setting { name: format!("{}-{verb}", setting.name), ..setting.clone() };
        let names = setting.names(3);
        let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
        ready(&rig, &names[..2], json!({})).await?;
        let before = state(&rig, trio[0]);
        hang(&rig, verb, WATCHED.len());
        rig.proxy.end_watches(None, end);
        disturb(&rig, trio).await?;
        judge(&rig, trio, &before).await.with_context(|| format!("each {verb} hung once"))?;
        remove(&rig, &names).await?;
    }
    let names = setting.names(2);
    ready(&rig, &names, json!({})).await?;
    hang(&rig, "get", names.len());
    for name in &names {
        rig.perform(name, &Act::Delete("DeveloperSpace", "$NAME")).await?;
    }
    for name in &names {
        until_ended(&rig, name, Ends::Gone).await.context("each read of a namespace hung once")?;
    }
    rig.ensure_alive().await
}
