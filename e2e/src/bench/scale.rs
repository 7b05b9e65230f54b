//! B3, B5, B8, and the burst of B4: one cluster that fills up.

use std::time::Duration;

use anyhow::Result;

use super::{
    environment::{Stage, names},
    expiry,
    footprint::{cold_start, lists, memory},
    invariance::{Flat, MANY},
    measurement::{Bound, Figure, Measured, Samples},
    onboarding::make_all,
    options::Options,
    progress::Progress,
    raw_client::Recipe,
};

/// The pause between the last work and the measurement of memory: temporary memory has been released by then.
const AT_REST: Duration = Duration::from_secs(15);

/// Measures B3, B5, B8 and the burst of B4.
pub async fn measure(options: &Options, recipe: &Recipe, progress: &Progress) -> Result<Measured> {
    let mut stage = Stage::with_operator().await?;
    let (idle, _) = memory(&stage)?;
    let bare = if options.wants("B8") || options.wants("B4") { Some(Stage::set().await?) } else { None };
    let mut flat = Flat::default();
    for there in [0, options.crowd() / 2, options.crowd()] {
        progress.step(&format!("B8: with {there} spaces there"));
        fill(&stage, bare.as_ref(), recipe, (there, options)).await?;
        if let Some(bare) = bare.as_ref().filter(|_| options.wants("B8")) {
            flat.measure((&stage, bare), recipe, there, (options.repetitions(), options.onboarded() / 20, options.alone())).await?;
        }
    }
    let mut measured = flat.told(options.is_crowded());
    if options.wants("B3") || options.wants("B5") {
        measured.add(weigh(&mut stage, idle, options, progress).await?);
    }
    if let Some(bare) = bare.filter(|_| options.wants("B4")) {
        measured.add(burst((&stage, &bare), recipe, options, progress).await?);
    }
    Ok(measured)
}

/// Adds another half of the crowd to both clusters: with the operator, and with the raw client.
async fn fill(stage: &Stage, bare: Option<&Stage>, recipe: &Recipe, (there, options): (usize, &Options)) -> Result<()> {
    if there > 0 {
        let some = names(&format!("crowd-{there}"), options.crowd() / 2);
        stage.ask(&some).await?;
        if let Some(bare) = bare {
            make_all(&bare.client, recipe, &some, MANY).await?;
        }
    }
    stage.settle().await?;
    match bare {
        Some(bare) => bare.settle().await,
        None => Ok(()),
    }
}

/// Measures B3 and B5.
#[allow(clippy::cast_precision_loss, reason = "sizes are far from 2^52")]
async fn weigh(stage: &mut Stage, idle: f64, options: &Options, progress: &Progress) -> Result<Measured> {
    tokio::time::sleep(AT_REST).await;
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
        tokio::time::sleep(AT_REST).await;
        let (now, peak) = memory(stage)?;
        fresh.push(now);
        peaks.push(peak);
    }
    let share = |samples: &Samples| Samples(samples.0.iter().map(|kilobytes| (kilobytes - idle) / kib).collect());
    let weighed = |what: &str, samples: Samples| Figure { judged: share(&samples), ..Figure::alone("B3", what, samples) };
    let bounded = |figure: Figure| figure.should_with(options.is_crowded(), Bound::AtMost(0.5), Bound::AtMost(0.1));
    let figures = vec![
        bounded(
            weighed(&format!("KiB resident with {spaces} spaces, made since the start; over idle, as a share of the JSON"), grown.into())
                .and("JSON watched", kib.into())
                .and("idle", idle.into()),
        ),
        bounded(weighed("the same after a restart", Samples(fresh))),
        weighed("the most it ever was, made since the start", most.into()),
        weighed("the most it ever was, after a restart", Samples(peaks)),
        Figure::ratio("B5", &format!("start to ready with {spaces} spaces, s"), Samples(starts), Samples(raw_starts)).should_with(
            options.is_crowded(),
            Bound::AtMost(1.5),
            Bound::AtMost(1.1),
        ),
    ];
    Ok(Measured { figures, ..Measured::default() })
}

/// Measures B4 with the whole crowd ending in the same second.
async fn burst((stage, bare): (&Stage, &Stage), recipe: &Recipe, options: &Options, progress: &Progress) -> Result<Measured> {
    let crowd = options.crowd();
    progress.step(&format!("B4: {crowd} end at one second"));
    let half = crowd / 2;
    let ending: Vec<String> = [names(&format!("crowd-{half}"), half), names(&format!("crowd-{crowd}"), half)].concat();
    let (ours, raw) = expiry::burst(stage, bare, recipe, &ending).await?;
    let figure = Figure::ratio("B4", &format!("{} end at one second, DELETEs/s", ending.len()), ours.into(), raw.into());
    Ok(Measured {
        figures: vec![figure.should_with(options.is_crowded(), Bound::AtLeast(0.8), Bound::AtLeast(0.95))],
        ..Measured::default()
    })
}
