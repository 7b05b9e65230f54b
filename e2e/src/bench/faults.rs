//! B7: the throughput while some calls fail and some are slow, and the recovery time after a partition.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    environment::{PATIENCE, Stage, names},
    measurement::{Figure, Measured, Samples},
    onboarding,
    options::Options,
    progress::Progress,
    ready::Ready,
};
use crate::proxy::{Fault, Rule, Times};

/// One write in this number is refused with 503.
const REFUSED: u32 = 100;
/// One write in this number is delayed by this time.
const SLOW: (u32, Duration) = (20, Duration::from_millis(100));

/// Measures B7.
pub async fn measure(options: &Options, progress: &Progress) -> Result<Measured> {
    let count = options.onboarded() / 5;
    let (mut healthy, mut harmed, mut after) = (vec![], vec![], vec![]);
    for number in 1..=options.repetitions().min(3) {
        progress.step(&format!("B7: with faults, {number}"));
        let (without, with) = throughput(count).await?;
        healthy.push(without);
        harmed.push(with);
        after.push(recovery(count / 10, options.still()).await?);
    }
    let what = format!("{count} spaces at once with 1 write in {REFUSED} refused and 1 in {} slow, spaces/s", SLOW.0);
    let (healthy, harmed) = (Samples(healthy), Samples(harmed));
    let goodput = Figure { judged: harmed.over(&healthy), ..Figure::alone("B7", &what, harmed).and("without faults", healthy) };
    let what = format!("from the end of a partition of {} s to {} spaces ready, s", options.still().as_secs(), count / 10);
    Ok(Measured { figures: vec![goodput, Figure::alone("B7", &what, Samples(after))], ..Measured::default() })
}

/// Spaces per second through a proxy, without faults and with them.
async fn throughput(count: usize) -> Result<(f64, f64)> {
    let stage = Stage::behind_proxy().await?;
    let healthy = onboarding::rate_on(&stage, "healthy", count).await?;
    let proxy = stage.proxy()?;
    let every = |nth: u32| {
        let count = AtomicU32::new(0);
        move || count.fetch_add(1, Ordering::Relaxed) % nth == nth - 1
    };
    let (is_refused, is_slow) = (every(REFUSED), every(SLOW.0));
    let for_ever = Times::For(PATIENCE);
    let failing =
        Rule::new("503", Fault::Answer { code: 503, after: false }, move |request_info, _| request_info.mutates() && is_refused());
    let slow = Rule::new("slow", Fault::Delay(SLOW.1), move |request_info, _| request_info.mutates() && is_slow());
    let rules = [failing, slow].map(|rule| proxy.arm(rule.times(for_ever)));
    let harmed = onboarding::rate_on(&stage, "harmed", count).await?;
    for rule in rules {
        proxy.disarm(rule);
    }
    Ok((healthy, harmed))
}

/// Seconds from the end of a partition of the given duration until all spaces that were created meanwhile are ready.
async fn recovery(count: usize, partition: Duration) -> Result<f64> {
    let stage = Stage::behind_proxy().await?;
    let proxy = stage.proxy()?;
    let mut ready = Ready::watch(&stage.client);
    proxy.network(|network| network.partition = true);
    stage.apply(&names("meanwhile", count)).await?;
    tokio::time::sleep(partition).await;
    let over = Instant::now();
    proxy.network(|network| network.partition = false);
    ready.until(count, PATIENCE).await?;
    Ok(over.elapsed().as_secs_f64())
}
