//! Owns B3, B5, B8, and the burst of B4: one cluster that fills up.

use std::time::Duration;

use anyhow::Result;

use super::{
    contestants::Contestants,
    environment::{Environment, names},
    expiry,
    footprint::{cold_start, list_watched_objects, operator_memory},
    invariance::{Invariance, RAW_CLIENT_CONCURRENCY, Rounds},
    measurement::{BenchmarkResults, Bound, Measurement, Samples},
    onboarding::create_all,
    options::BenchmarkOptions,
    progress::BenchmarkProgress,
    raw_client::RawClient,
};

/// The pause between the last work and the measurement of memory: temporary memory has been released by then.
const MEMORY_SETTLE_TIME: Duration = Duration::from_secs(15);

/// Measures B3, B5, B8 and the burst of B4.
pub async fn measure(
    options: &BenchmarkOptions,
    raw_client: &RawClient,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    let mut environment = Environment::with_operator().await?;
    let (idle, _) = operator_memory(&environment)?;
    let raw_environment = if options.selects("B8") || options.selects("B4") {
        Some(Environment::without_operator().await?)
    } else {
        None
    };
    let mut invariance = Invariance::default();
    for existing in [0, options.full_scale() / 2, options.full_scale()] {
        progress.step(&format!("B8: with {existing} spaces there"));
        fill(&environment, raw_environment.as_ref(), raw_client, existing, options).await?;
        if let Some(raw_environment) = raw_environment.as_ref().filter(|_| options.selects("B8")) {
            let contestants = Contestants { operator_environment: &environment, raw_environment, raw_client };
            let rounds = Rounds {
                count: options.repetitions(),
                spaces_at_once: options.spaces_at_once() / 20,
                sequential_spaces: options.sequential_spaces(),
            };
            invariance.measure(contestants, existing, rounds).await?;
        }
    }
    let mut results = invariance.results(options.is_full_scale());
    if options.selects("B3") || options.selects("B5") {
        results.add(measure_memory_and_start(&mut environment, idle, options, progress).await?);
    }
    if let Some(raw_environment) = raw_environment.filter(|_| options.selects("B4")) {
        let contestants =
            Contestants { operator_environment: &environment, raw_environment: &raw_environment, raw_client };
        results.add(burst(contestants, options, progress).await?);
    }
    Ok(results)
}

/// Unless there are no `existing` spaces, adds half of all spaces to both clusters: with the operator, and with the raw
/// client.
async fn fill(
    environment: &Environment,
    raw_environment: Option<&Environment>,
    raw_client: &RawClient,
    existing: usize,
    options: &BenchmarkOptions,
) -> Result<()> {
    if existing > 0 {
        let some = names(&format!("crowd-{existing}"), options.full_scale() / 2);
        environment.create_ready_spaces(&some).await?;
        if let Some(raw_environment) = raw_environment {
            create_all(&raw_environment.client, raw_client, &some, RAW_CLIENT_CONCURRENCY).await?;
        }
    }
    environment.until_idle().await?;
    match raw_environment {
        Some(raw_environment) => raw_environment.until_idle().await,
        None => Ok(()),
    }
}

/// Measures B3 and B5.
#[allow(clippy::cast_precision_loss, reason = "sizes are far from 2^52")]
async fn measure_memory_and_start(
    environment: &mut Environment,
    idle: f64,
    options: &BenchmarkOptions,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    tokio::time::sleep(MEMORY_SETTLE_TIME).await;
    let (current, peak_since_start) = operator_memory(environment)?;
    let (mut starts, mut raw_starts, mut kib, mut restarted, mut peaks, mut spaces) =
        (vec![], vec![], 0.0, vec![], vec![], 0);
    for number in 1..=options.repetitions() {
        progress.step(&format!("B3, B5: cold start, {number} of {}", options.repetitions()));
        environment.stop_operator().await?;
        let raw = list_watched_objects(&environment.client).await?;
        raw_starts.push(raw.seconds);
        kib = raw.bytes as f64 / 1024.0;
        spaces = raw.spaces;
        starts.push(cold_start(environment).await?);
        tokio::time::sleep(MEMORY_SETTLE_TIME).await;
        let (now, peak) = operator_memory(environment)?;
        restarted.push(now);
        peaks.push(peak);
    }
    let share = |samples: &Samples| Samples(samples.0.iter().map(|kilobytes| (kilobytes - idle) / kib).collect());
    let memory_measurement = |what: &str, samples: Samples| Measurement {
        checked: share(&samples),
        ..Measurement::alone("B3", what, samples)
    };
    let with_memory_bounds = |measurement: Measurement| {
        measurement.with_bounds_if(options.is_full_scale(), Bound::AtMost(0.5), Bound::AtMost(0.1))
    };
    let measurements = vec![
        with_memory_bounds(
            memory_measurement(
                &format!("KiB resident with {spaces} spaces, made since the start; over idle, as a share of the JSON"),
                current.into(),
            )
            .and("JSON watched", kib.into())
            .and("idle", idle.into()),
        ),
        with_memory_bounds(memory_measurement("the same after a restart", Samples(restarted))),
        memory_measurement("the most it ever was, made since the start", peak_since_start.into()),
        memory_measurement("the most it ever was, after a restart", Samples(peaks)),
        Measurement::ratio(
            "B5",
            &format!("start to ready with {spaces} spaces, s"),
            Samples(starts),
            Samples(raw_starts),
        )
        .with_bounds_if(options.is_full_scale(), Bound::AtMost(1.5), Bound::AtMost(1.1)),
    ];
    Ok(BenchmarkResults { measurements, ..BenchmarkResults::default() })
}

/// Measures B4 with all spaces ending in the same second.
async fn burst(
    contestants: Contestants<'_>,
    options: &BenchmarkOptions,
    progress: &BenchmarkProgress,
) -> Result<BenchmarkResults> {
    let count = options.full_scale();
    progress.step(&format!("B4: {count} end at one second"));
    let half = count / 2;
    let ending: Vec<String> = [names(&format!("crowd-{half}"), half), names(&format!("crowd-{count}"), half)].concat();
    let (operator, raw) = expiry::burst(contestants, &ending).await?;
    let measurement = Measurement::ratio(
        "B4",
        &format!("{} end at one second, DELETEs/s", ending.len()),
        operator.into(),
        raw.into(),
    );
    Ok(BenchmarkResults {
        measurements: vec![measurement.with_bounds_if(
            options.is_full_scale(),
            Bound::AtLeast(0.8),
            Bound::AtLeast(0.95),
        )],
        ..BenchmarkResults::default()
    })
}
