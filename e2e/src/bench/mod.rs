//! Owns the benchmark. It compares the operator with a raw client that makes the same calls, each on a fresh control
//! plane of the same machine in the same run. Only the ratios are meaningful: absolute times depend on the machine.
//!
//! `docs/performance/README.md` explains each measurement.

pub mod baselines;
pub mod calls;
pub mod contestants;
pub mod environment;
pub mod expiry;
pub mod expiry_method;
pub mod faults;
pub mod footprint;
pub mod invariance;
pub mod kyverno;
pub mod latency;
pub mod measurement;
pub mod onboarding;
pub mod options;
pub mod plot;
pub mod profile;
pub mod progress;
pub mod raw_client;
pub mod ready;
pub mod report;
pub mod scale;

use std::time::Instant;

use anyhow::Result;

use environment::Environment;
use measurement::BenchmarkResults;
pub use options::BenchmarkOptions;
use progress::BenchmarkProgress;
use raw_client::RawClient;
pub use report::BenchmarkReport;

use crate::revision::stamp;

/// Runs the parts of the benchmark that `options` selects.
pub async fn run(options: &BenchmarkOptions) -> Result<BenchmarkReport> {
    let begun = Instant::now();
    let (commit, day) = stamp().await;
    let progress = BenchmarkProgress::new(options.steps());
    progress.step("what the operator makes of a space");
    let raw_client = RawClient::learn(&Environment::with_operator().await?).await?;
    let mut results = BenchmarkResults::default();
    if options.selects("B1") {
        results.add_or_record_failure("B1", onboarding::measure(options, &raw_client, &progress).await);
    }
    if options.selects("B2") {
        results.add_or_record_failure("B2", calls::measure(options, &raw_client, &progress).await);
    }
    if options.selects("B6") {
        results.add_or_record_failure("B6", latency::measure(options, &raw_client, &progress).await);
    }
    if options.selects("B4") {
        results.add_or_record_failure("B4", expiry::measure(options, &progress).await);
    }
    if ["B3", "B4", "B5", "B8"].iter().any(|id| options.selects(id)) {
        results.add_or_record_failure("B3, B4, B5, B8", scale::measure(options, &raw_client, &progress).await);
    }
    if options.selects("B7") {
        results.add_or_record_failure("B7", faults::measure(options, &progress).await);
    }
    results.measurements.sort_by(|one, other| one.id.cmp(&other.id));
    let processors = std::thread::available_parallelism().map(std::num::NonZero::get).unwrap_or_default();
    Ok(BenchmarkReport {
        commit,
        day,
        processors,
        minutes: (begun.elapsed().as_secs_f64() / 6.0).round() / 10.0,
        results,
    })
}
