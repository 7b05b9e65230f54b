//! Owns B7: the throughput while some calls fail and some are slow, and the recovery time after a partition.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    environment::{CONTESTANT_TIMEOUT, Environment, names},
    measurement::{BenchmarkResults, Measurement, Samples},
    onboarding,
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
    ready::ReadyWatch,
};
use crate::proxy::{Fault, FaultRule, RuleLimit};

/// One write in this number is refused with 503.
const REFUSED_ONE_IN: u32 = 100;
/// One write in this number is slow.
const SLOW_ONE_IN: u32 = 20;
/// The delay of a slow write.
const SLOW_DELAY: Duration = Duration::from_millis(100);

/// Measures B7.
pub async fn measure(options: &BenchmarkOptions, progress: &BenchmarkProgress) -> Result<BenchmarkResults> {
    let count = options.spaces_at_once() / 5;
    let (mut healthy, mut harmed, mut after) = (vec![], vec![], vec![]);
    for number in 1..=options.repetitions().min(3) {
        progress.step(&format!("B7: with faults, {number}"));
        let (without, with) = throughput(count).await?;
        healthy.push(without);
        harmed.push(with);
        after.push(recovery(count / 10, options.idle_time()).await?);
    }
    let what = format!(
        "{count} spaces at once with 1 write in {REFUSED_ONE_IN} refused and 1 in {SLOW_ONE_IN} slow, spaces/s"
    );
    let (healthy, harmed) = (Samples(healthy), Samples(harmed));
    let goodput = Measurement {
        checked: harmed.over(&healthy),
        ..Measurement::alone("B7", &what, harmed).and("without faults", healthy)
    };
    let what =
        format!("from the end of a partition of {} s to {} spaces ready, s", options.idle_time().as_secs(), count / 10);
    Ok(BenchmarkResults {
        measurements: vec![goodput, Measurement::alone("B7", &what, Samples(after))],
        ..BenchmarkResults::default()
    })
}

/// Spaces per second through a proxy, without faults and with them.
async fn throughput(count: usize) -> Result<(f64, f64)> {
    let environment = Environment::behind_proxy().await?;
    let healthy = onboarding::rate_on(&environment, "healthy", count).await?;
    let proxy = environment.proxy()?;
    let every = |nth: u32| {
        let count = AtomicU32::new(0);
        move || count.fetch_add(1, Ordering::Relaxed) % nth == nth - 1
    };
    let (is_refused, is_slow) = (every(REFUSED_ONE_IN), every(SLOW_ONE_IN));
    let whole_run = RuleLimit::For(CONTESTANT_TIMEOUT);
    let failing = FaultRule::new("503", Fault::Respond { code: 503, after: false }, move |request_info, _| {
        request_info.mutates() && is_refused()
    });
    let slow =
        FaultRule::new("slow", Fault::Delay(SLOW_DELAY), move |request_info, _| request_info.mutates() && is_slow());
    let rules = [failing, slow].map(|rule| proxy.add_rule(rule.limit(whole_run)));
    let harmed = onboarding::rate_on(&environment, "harmed", count).await?;
    for rule in rules {
        proxy.remove_rule(rule);
    }
    Ok((healthy, harmed))
}

/// Seconds from the end of a partition of the given duration until all spaces that were created meanwhile are ready.
async fn recovery(count: usize, partition: Duration) -> Result<f64> {
    let environment = Environment::behind_proxy().await?;
    let proxy = environment.proxy()?;
    let mut ready = ReadyWatch::spaces(&environment.client);
    proxy.network(|network| network.partition = true);
    environment.create_spaces(&names("meanwhile", count)).await?;
    tokio::time::sleep(partition).await;
    let healed = Instant::now();
    proxy.network(|network| network.partition = false);
    ready.until(count, CONTESTANT_TIMEOUT).await?;
    Ok(healed.elapsed().as_secs_f64())
}
