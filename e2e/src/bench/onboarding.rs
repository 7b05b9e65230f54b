//! B1 and B8: many spaces created at once, and the same on a cluster that already has many.

use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;

use super::{
    baselines,
    environment::{PATIENCE, Stage, names, per_second},
    measurement::{Bound, Figure, Measured, Samples},
    options::Options,
    progress::Progress,
    raw_client::Recipe,
    ready::Ready,
};

/// Measures B1.
pub async fn measure(options: &Options, recipe: &Recipe, progress: &Progress) -> Result<Measured> {
    let count = options.onboarded();
    progress.step("B1: the raw client's best concurrency");
    let concurrency = best_concurrency(recipe, (count / 5).max(50), options.concurrencies()).await?;
    let (mut ours, mut raw, mut load, mut raw_load) = (vec![], vec![], vec![], vec![]);
    for number in 1..=options.repetitions() {
        progress.step(&format!("B1: {count} spaces by the raw client, {number} of {}", options.repetitions()));
        let (rate, milliseconds) = raw_rate(recipe, count, concurrency).await?;
        raw.push(rate);
        raw_load.push(milliseconds);
        progress.step(&format!("B1: {count} spaces by the operator, {number} of {}", options.repetitions()));
        let stage = Stage::with_operator().await?;
        let before = stage.server_seconds().await?;
        ours.push(rate_on(&stage, "first", count).await?);
        load.push(each(stage.server_seconds().await? - before, count));
    }
    progress.step("B1: what people do without an operator");
    let (some, many) = options.by_hand();
    let script = baselines::script(recipe, some).await?;
    let one_file = baselines::one_file(recipe, many).await?;
    let what = format!("{count} spaces at once, spaces/s (raw client: {concurrency} at a time)");
    let throughput = Figure::ratio("B1", &what, Samples(ours), Samples(raw)).and("kubectl apply -f", one_file.into());
    let throughput = throughput.and("shell script", script.into()).should(Bound::AtLeast(0.8), Bound::AtLeast(0.95));
    let cost = Figure::ratio("B1", "CPU of the API server for each, ms", Samples(load), Samples(raw_load));
    Ok(Measured { figures: vec![throughput, cost], ..Measured::default() })
}

/// Spaces per second of the operator on that stage, regardless of existing spaces.
pub async fn rate_on(stage: &Stage, prefix: &str, count: usize) -> Result<f64> {
    let names = names(prefix, count);
    let begun = Instant::now();
    stage.ask(&names).await?;
    Ok(per_second(count, begun))
}

/// Spaces per second of the raw client on a fresh stage, and the milliseconds of the API server's CPU that each took.
async fn raw_rate(recipe: &Recipe, count: usize, concurrency: usize) -> Result<(f64, f64)> {
    let stage = Stage::set().await?;
    let before = stage.server_seconds().await?;
    let rate = raw_rate_on(&stage, recipe, &names("raw", count), concurrency).await?;
    Ok((rate, each(stage.server_seconds().await? - before, count)))
}

/// Spaces per second of the raw client on that stage, regardless of existing spaces.
pub async fn raw_rate_on(stage: &Stage, recipe: &Recipe, names: &[String], concurrency: usize) -> Result<f64> {
    let mut ready = Ready::watch(&stage.client);
    let begun = Instant::now();
    make_all(&stage.client, recipe, names, concurrency).await?;
    ready.until_all(names, PATIENCE).await?;
    Ok(per_second(names.len(), begun))
}

#[allow(clippy::cast_precision_loss, reason = "counts of spaces are small")]
fn each(seconds: f64, count: usize) -> f64 {
    seconds * 1000.0 / count as f64
}

/// Creates all these spaces as the raw client.
pub async fn make_all(client: &Client, recipe: &Recipe, names: &[String], concurrency: usize) -> Result<()> {
    let quotas = &Ready::quotas(client);
    let one = |name: &String| {
        let name = name.clone();
        async move {
            let uid = Recipe::ask(client, &name).await?;
            recipe.make(client, quotas, &name, &uid).await
        }
    };
    stream::iter(names).map(one).buffer_unordered(concurrency).try_collect::<Vec<()>>().await.map(drop)
}

/// The concurrency among `concurrencies` at which the raw client is fastest.
async fn best_concurrency(recipe: &Recipe, count: usize, concurrencies: &[usize]) -> Result<usize> {
    let mut best = (0.0, 1);
    for &concurrency in concurrencies {
        let (rate, _) = raw_rate(recipe, count, concurrency).await?;
        if rate > best.0 {
            best = (rate, concurrency);
        }
    }
    Ok(best.1)
}
