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
        rig::Bench,
    },
    proxy::{End, Fault, Rule, Times},
};

/// Makes the next `count` reads with that verb hang indefinitely.
fn hang(bench: &Bench, verb: &'static str, count: usize) {
    let rule =
        Rule::new("hang", Fault::Hang { after: false }, move |facts, _| facts.verb == verb && WATCHED.contains(&facts.resource.as_str()));
    bench.proxy.arm(rule.times(Times::Count(u32::try_from(count).unwrap_or(u32::MAX))));
}

/// Every watch hangs when it opens, then every list, then the reads before a deletion.
pub(super) async fn reads(setting: Setting) -> Result<()> {
    let bench = setting.working().await?;
    for (verb, end) in [("watch", End::Reset), ("list", End::Gone)] {
        let setting = Setting { name: format!("{}-{verb}", setting.name), ..setting.clone() };
        let names = setting.names(3);
        let trio = [names[0].as_str(), names[1].as_str(), names[2].as_str()];
        ready(&bench, &names[..2], json!({})).await?;
        let before = state(&bench, trio[0]);
        hang(&bench, verb, WATCHED.len());
        bench.proxy.order(None, end);
        disturb(&bench, trio).await?;
        judge(&bench, trio, &before).await.with_context(|| format!("each {verb} hung once"))?;
        remove(&bench, &names).await?;
    }
    let names = setting.names(2);
    ready(&bench, &names, json!({})).await?;
    hang(&bench, "get", names.len());
    for name in &names {
        bench.perform(name, &Act::Delete("DeveloperSpace", "$NAME")).await?;
    }
    for name in &names {
        until_ended(&bench, name, Ends::Gone).await.context("each read of a namespace hung once")?;
    }
    bench.ensure_alive().await
}
