//! Owns B6: the time from applying one space until it is ready, with no other load.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{
    contestants::Contestants,
    environment::{Environment, names},
    measurement::{BenchmarkResults, Bound, Curve, Measurement, Samples},
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
    raw_client::RawClient,
    ready::ReadyWatch,
};
use crate::fixtures::SOON;

/// Measures B6.
pub async fn measure(
    options: &BenchmarkOptions,
    raw_client: &RawClient,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    let (environment, raw_environment) = (Environment::with_operator().await?, Environment::without_operator().await?);
    let contestants = Contestants { operator_environment: &environment, raw_environment: &raw_environment, raw_client };
    let (mut p99, mut p99_raw, mut medians, mut medians_raw) = (vec![], vec![], vec![], vec![]);
    let (mut all, mut all_raw) = (Samples::default(), Samples::default());
    for number in 1..=options.repetitions() {
        progress.step(&format!("B6: one space after another, {number} of {}", options.repetitions()));
        let prefix = format!("alone-{number}");
        let (operator, raw) = alternate(contestants, &prefix, options.sequential_spaces()).await?;
        p99.push(operator.quantile(99));
        p99_raw.push(raw.quantile(99));
        medians.push(operator.median());
        medians_raw.push(raw.median());
        all.extend(operator);
        all_raw.extend(raw);
    }
    let measurements = vec![
        Measurement::ratio("B6", "from apply to Ready, nothing else going on, p99 ms", Samples(p99), Samples(p99_raw))
            .with_bounds(Bound::AtMost(1.5), Bound::AtMost(1.1)),
        Measurement::ratio("B6", "the same, median ms", Samples(medians), Samples(medians_raw)),
    ];
    let curve = Curve::new("B6", "from apply to Ready, ms", &[("operator", &all), ("raw client", &all_raw)]);
    Ok(BenchmarkResults { measurements, curves: vec![curve], ..BenchmarkResults::default() })
}

/// The pause between two spaces, in which the control plane completes its own work for the first one.
const PAUSE: Duration = Duration::from_millis(400);

/// The milliseconds until each of `count` spaces of the operator is ready, and the same for the raw client. The
/// contestants alternate with each space, so that a machine that is slower for a while is slower for both.
pub async fn alternate(contestants: Contestants<'_>, prefix: &str, count: usize) -> Result<(Samples, Samples)> {
    let Contestants { operator_environment, raw_environment, raw_client } = contestants;
    let (mut ready, mut ready_raw) =
        (ReadyWatch::spaces(&operator_environment.client), ReadyWatch::spaces(&raw_environment.client));
    let quotas = ReadyWatch::quotas(&raw_environment.client);
    let (before, before_raw) = (initially_ready(&mut ready).await, initially_ready(&mut ready_raw).await);
    let (mut latencies, mut latencies_raw) = (vec![], vec![]);
    for (number, name) in names(prefix, count).iter().enumerate() {
        let begun = Instant::now();
        let uid = RawClient::create_space(&raw_environment.client, name).await?;
        raw_client.provision(&raw_environment.client, &quotas, name, &uid).await?;
        ready_raw.until(before_raw + number + 1, SOON).await?;
        latencies_raw.push(milliseconds_until_ready(&ready_raw, name, begun)?);
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        RawClient::create_space(&operator_environment.client, name).await?;
        ready.until(before + number + 1, SOON).await?;
        latencies.push(milliseconds_until_ready(&ready, name, begun)?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok((Samples(latencies), Samples(latencies_raw)))
}

/// Waits until the first list has been read, and returns the number of spaces that were ready before.
async fn initially_ready(ready: &mut ReadyWatch) -> usize {
    let mut last = usize::MAX;
    while ready.count() != last {
        last = ready.count();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    last
}

fn milliseconds_until_ready(ready: &ReadyWatch, name: &str, begun: Instant) -> Result<f64> {
    let at = ready.ready_at(name).with_context(|| format!("{name} is not ready"))?;
    Ok(at.duration_since(begun).as_secs_f64() * 1000.0)
}
