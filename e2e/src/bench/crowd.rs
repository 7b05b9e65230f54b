//! B3, B5, B8, and the burst of B4: one cluster that fills up.

use anyhow::Result;

use super::expiry;
use super::figure::{Bound, Curve, Figure, Measured, Samples};
use super::footprint::{cold_start, lists, memory};
use super::latency::{self, ALONE};
use super::onboarding::{make_all, rate_on};
use super::options::Options;
use super::progress::Progress;
use super::recipe::Recipe;
use super::stage::{Stage, names};

/// How many namespaces the raw client ends at a time.
const ENDING: usize = 16;

/// All of them.
pub async fn measure(options: &Options, recipe: &Recipe, progress: &Progress) -> Result<Measured> {
    let mut stage = Stage::with_operator().await?;
    let mut measured = Measured::default();
    let (idle, _) = memory(&stage)?;
    measured.add(fill(&stage, options, progress).await?);
    measured.add(weigh(&mut stage, idle, options, progress).await?);
    if options.wants("B4") {
        measured.add(burst(stage, recipe, options, progress).await?);
    }
    Ok(measured)
}

/// B8: rate and latency with nothing there, with half of the crowd, and with all of it.
async fn fill(stage: &Stage, options: &Options, progress: &Progress) -> Result<Measured> {
    let (crowd, some) = (options.crowd(), options.onboarded() / 10);
    let (mut rates, mut latencies, mut lines) = (vec![], vec![], vec![]);
    for there in [0, crowd / 2, crowd] {
        progress.step(&format!("B8: with {there} spaces there"));
        if there > 0 {
            stage.ask(&names(&format!("crowd-{there}"), crowd / 2)).await?;
        }
        stage.settle().await?;
        rates.push(rate_on(stage, &format!("with-{there}"), some).await?);
        stage.settle().await?;
        let taken = latency::ours(stage, &format!("alone-with-{there}"), ALONE).await?;
        latencies.push(taken.median());
        lines.push((format!("{there} there"), taken));
    }
    let flat = |samples: &[f64]| samples.iter().skip(1).map(|one| one / samples[0]).collect::<Vec<f64>>();
    let figures = vec![
        Figure {
            judged: worst(&flat(&rates), f64::min),
            ..Figure::alone("B8", &format!("spaces/s with 0, {}, {crowd} there", crowd / 2), Samples(rates))
        }
        .should(Bound::AtLeast(0.9), Bound::AtLeast(1.0)),
        Figure {
            judged: worst(&flat(&latencies), f64::max),
            ..Figure::alone("B8", &format!("apply to Ready with 0, {}, {crowd} there, median ms", crowd / 2), Samples(latencies))
        }
        .should(Bound::AtMost(1.1), Bound::AtMost(1.0)),
    ];
    let lines: Vec<(&str, &Samples)> = lines.iter().map(|(who, taken)| (who.as_str(), taken)).collect();
    Ok(Measured { figures, curves: vec![Curve::new("B8", "from apply to Ready, ms", &lines)] })
}

fn worst(samples: &[f64], choose: fn(f64, f64) -> f64) -> Samples {
    samples.iter().copied().reduce(choose).into_iter().collect::<Vec<f64>>().into()
}

/// B3 and B5.
#[allow(clippy::cast_precision_loss, reason = "sizes are far from 2^52")]
async fn weigh(stage: &mut Stage, idle: f64, options: &Options, progress: &Progress) -> Result<Measured> {
    let (grown, most) = memory(stage)?;
    let (mut starts, mut raw_starts, mut kib, mut fresh, mut peaks, mut spaces) = (vec![], vec![], 0.0, vec![], vec![], 0);
    for number in 1..=options.repetitions() {
        progress.step(&format!("B3, B5: cold start, {number} of {}", options.repetitions()));
        stage.stop().await?;
        let raw = lists(&stage.client).await?;
        raw_starts.push(raw.seconds);
        kib = raw.bytes as f64 / 1024.0;
        spaces = raw.spaces;
        starts.push(cold_start(stage).await?);
        stage.settle().await?;
        let (now, peak) = memory(stage)?;
        fresh.push(now);
        peaks.push(peak);
    }
    let share = |samples: &Samples| Samples(samples.0.iter().map(|kilobytes| (kilobytes - idle) / kib).collect());
    let weighed = |what: &str, samples: Samples| Figure { judged: share(&samples), ..Figure::alone("B3", what, samples) };
    let bounded = |figure: Figure| figure.should(Bound::AtMost(0.5), Bound::AtMost(0.1));
    let figures = vec![
        bounded(
            weighed(&format!("KiB resident with {spaces} spaces, made since the start; over idle, as a share of the JSON"), grown.into())
                .and("JSON watched", kib.into())
                .and("idle", idle.into()),
        ),
        bounded(weighed("the same after a restart", Samples(fresh))),
        weighed("the most it ever was, made since the start", most.into()),
        weighed("the most it ever was, after a restart", Samples(peaks)),
        Figure::ratio("B5", &format!("start to ready with {spaces} spaces, s"), Samples(starts), Samples(raw_starts))
            .should(Bound::AtMost(1.5), Bound::AtMost(1.1)),
    ];
    Ok(Measured { figures, curves: vec![] })
}

/// B4: all of them end at one second.
async fn burst(stage: Stage, recipe: &Recipe, options: &Options, progress: &Progress) -> Result<Measured> {
    let crowd = options.crowd();
    progress.step(&format!("B4: {crowd} end at one second"));
    let half = crowd / 2;
    let ending: Vec<String> = [names(&format!("crowd-{half}"), half), names(&format!("crowd-{crowd}"), half)].concat();
    let ours = expiry::burst(&stage, &ending).await?;
    drop(stage);
    progress.step(&format!("B4: the raw client ends {crowd}"));
    let bare = Stage::set().await?;
    make_all(&bare.client, recipe, &ending, ENDING).await?;
    bare.settle().await?;
    let raw = expiry::raw_burst(&bare, &ending, ENDING).await?;
    let figure = Figure::ratio("B4", &format!("{} end at one second, DELETEs/s", ending.len()), ours.into(), raw.into());
    Ok(Measured { figures: vec![figure.should(Bound::AtLeast(0.8), Bound::AtLeast(0.95))], curves: vec![] })
}
