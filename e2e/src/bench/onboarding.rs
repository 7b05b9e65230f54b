//! Owns B1 and the rates of B8: many spaces created at once, and the same on a cluster that already has many.

use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;

use super::{
    baselines,
    environment::{CONTESTANT_TIMEOUT, Environment, names, per_second},
    measurement::{BenchmarkResults, Bound, Measurement, Samples},
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
    raw_client::RawClient,
    ready::ReadyWatch,
};

/// Measures B1.
pub async fn measure(
    options: &BenchmarkOptions,
    raw_client: &RawClient,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    let count = options.spaces_at_once();
    progress.step("B1: the raw client's best concurrency");
    let concurrency = best_concurrency(raw_client, (count / 5).max(50), options.concurrencies()).await?;
    let (mut operator, mut raw, mut load, mut raw_load) = (vec![], vec![], vec![], vec![]);
    for number in 1..=options.repetitions() {
        progress.step(&format!("B1: {count} spaces by the raw client, {number} of {}", options.repetitions()));
        let (rate, milliseconds) = raw_rate(raw_client, count, concurrency).await?;
        raw.push(rate);
        raw_load.push(milliseconds);
        progress.step(&format!("B1: {count} spaces by the operator, {number} of {}", options.repetitions()));
        let environment = Environment::with_operator().await?;
        let before = environment.api_server_cpu_seconds().await?;
        operator.push(rate_on(&environment, "first", count).await?);
        load.push(milliseconds_each(environment.api_server_cpu_seconds().await? - before, count));
    }
    progress.step("B1: what people do without an operator");
    let (script_count, file_count) = options.baseline_counts();
    let script = baselines::script(raw_client, script_count).await?;
    let one_file = baselines::one_file(raw_client, file_count).await?;
    let what = format!("{count} spaces at once, spaces/s (raw client: {concurrency} at a time)");
    let throughput =
        Measurement::ratio("B1", &what, Samples(operator), Samples(raw)).and("kubectl apply -f", one_file.into());
    let throughput =
        throughput.and("shell script", script.into()).with_bounds(Bound::AtLeast(0.8), Bound::AtLeast(0.95));
    let cost = Measurement::ratio("B1", "CPU of the API server for each, ms", Samples(load), Samples(raw_load));
    Ok(BenchmarkResults { measurements: vec![throughput, cost], ..BenchmarkResults::default() })
}

/// Spaces per second of the operator in that environment, regardless of existing spaces.
pub async fn rate_on(environment: &Environment, prefix: &str, count: usize) -> Result<f64> {
    let names = names(prefix, count);
    let begun = Instant::now();
    environment.create_ready_spaces(&names).await?;
    Ok(per_second(count, begun))
}

/// Spaces per second of the raw client in a fresh environment, and the milliseconds of the API server's CPU that each
/// took.
async fn raw_rate(raw_client: &RawClient, count: usize, concurrency: usize) -> Result<(f64, f64)> {
    let environment = Environment::without_operator().await?;
    let before = environment.api_server_cpu_seconds().await?;
    let rate = raw_rate_on(&environment, raw_client, &names("raw", count), concurrency).await?;
    Ok((rate, milliseconds_each(environment.api_server_cpu_seconds().await? - before, count)))
}

/// Spaces per second of the raw client in that environment, regardless of existing spaces.
pub async fn raw_rate_on(
    environment: &Environment,
    raw_client: &RawClient,
    names: &[String],
    concurrency: usize,
) -> Result<f64> {
    let mut ready = ReadyWatch::spaces(&environment.client);
    let begun = Instant::now();
    create_all(&environment.client, raw_client, names, concurrency).await?;
    ready.until_all(names, CONTESTANT_TIMEOUT).await?;
    Ok(per_second(names.len(), begun))
}

#[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
fn milliseconds_each(seconds: f64, count: usize) -> f64 {
    seconds * 1000.0 / count as f64
}

/// Creates all these spaces as the raw client.
pub async fn create_all(client: &Client, raw_client: &RawClient, names: &[String], concurrency: usize) -> Result<()> {
    let quotas = &ReadyWatch::quotas(client);
    let one = |name: &String| {
        let name = name.clone();
        async move {
            let uid = RawClient::create_space(client, &name).await?;
            raw_client.provision(client, quotas, &name, &uid).await
        }
    };
    stream::iter(names).map(one).buffer_unordered(concurrency).try_collect::<Vec<()>>().await.map(drop)
}

/// The concurrency among `concurrencies` at which the raw client is fastest.
async fn best_concurrency(raw_client: &RawClient, count: usize, concurrencies: &[usize]) -> Result<usize> {
    let mut best = (0.0, 1);
    for &concurrency in concurrencies {
        let (rate, _) = raw_rate(raw_client, count, concurrency).await?;
        if rate > best.0 {
            best = (rate, concurrency);
        }
    }
    Ok(best.1)
}
