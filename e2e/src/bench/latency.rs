//! B6: the time from applying one space until it is ready, with no other load.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{
    environment::{Stage, names},
    measurement::{Bound, Curve, Figure, Measured, Samples},
    options::Options,
    progress::Progress,
    raw_client::Recipe,
    ready::Ready,
};
use crate::fixtures::SOON;

/// Measures B6.
pub async fn measure(options: &Options, recipe: &Recipe, progress: &Progress) -> Result<Measured> {
    let (stage, bare) = (Stage::with_operator().await?, Stage::set().await?);
    let (mut slowest, mut slowest_raw, mut middle, mut middle_raw) = (vec![], vec![], vec![], vec![]);
    let (mut all, mut all_raw) = (Samples::default(), Samples::default());
    for number in 1..=options.repetitions() {
        progress.step(&format!("B6: one space after another, {number} of {}", options.repetitions()));
        let prefix = format!("alone-{number}");
        let (ours, raw) = in_turn((&stage, &bare), recipe, &prefix, options.alone()).await?;
        slowest.push(ours.quantile(99));
        slowest_raw.push(raw.quantile(99));
        middle.push(ours.median());
        middle_raw.push(raw.median());
        all.extend(ours);
        all_raw.extend(raw);
    }
    let figures = vec![
        Figure::ratio("B6", "from apply to Ready, nothing else going on, p99 ms", Samples(slowest), Samples(slowest_raw))
            .should(Bound::AtMost(1.5), Bound::AtMost(1.1)),
        Figure::ratio("B6", "the same, median ms", Samples(middle), Samples(middle_raw)),
    ];
    let curve = Curve::new("B6", "from apply to Ready, ms", &[("operator", &all), ("raw client", &all_raw)]);
    Ok(Measured { figures, curves: vec![curve], ..Measured::default() })
}

/// The pause between two spaces, in which the control plane completes its own work for the first one.
const REST: Duration = Duration::from_millis(400);

/// The milliseconds until each of `count` spaces of the operator is ready, and the same for the raw client. The contestants alternate with each
/// space, so that a machine that is slower for a while is slower for both.
pub async fn in_turn((stage, bare): (&Stage, &Stage), recipe: &Recipe, prefix: &str, count: usize) -> Result<(Samples, Samples)> {
    let (mut ready, mut ready_raw) = (Ready::watch(&stage.client), Ready::watch(&bare.client));
    let quotas = Ready::quotas(&bare.client);
    let (before, before_raw) = (settled(&mut ready).await, settled(&mut ready_raw).await);
    let (mut taken, mut taken_raw) = (vec![], vec![]);
    for (number, name) in names(prefix, count).iter().enumerate() {
        let begun = Instant::now();
        let uid = Recipe::ask(&bare.client, name).await?;
        recipe.make(&bare.client, &quotas, name, &uid).await?;
        ready_raw.until(before_raw + number + 1, SOON).await?;
        taken_raw.push(since(&ready_raw, name, begun)?);
        tokio::time::sleep(REST).await;
        let begun = Instant::now();
        Recipe::ask(&stage.client, name).await?;
        ready.until(before + number + 1, SOON).await?;
        taken.push(since(&ready, name, begun)?);
        tokio::time::sleep(REST).await;
    }
    Ok((Samples(taken), Samples(taken_raw)))
}

/// Waits until the first list has been read, and returns the number of spaces that were ready before.
async fn settled(ready: &mut Ready) -> usize {
    let mut last = usize::MAX;
    while ready.count() != last {
        last = ready.count();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    last
}

fn since(ready: &Ready, name: &str, begun: Instant) -> Result<f64> {
    let at = ready.since(name).with_context(|| format!("{name} is not ready"))?;
    Ok(at.duration_since(begun).as_secs_f64() * 1000.0)
}
