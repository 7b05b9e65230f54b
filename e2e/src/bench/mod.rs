//! Owns the benchmark. It compares the operator with a raw client that makes the same calls, each on a fresh control plane of the same machine in the
//! same run. Only the ratios are meaningful: absolute times depend on the machine.
//!
//! `docs/performance/README.md` explains each figure.

pub mod baselines;
pub mod calls;
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

use environment::Stage;
use measurement::Measured;
pub use options::Options;
use progress::Progress;
use raw_client::Recipe;
pub use report::Report;

use crate::revision::stamp;

/// Runs the parts of the benchmark that `options` selects.
pub async fn run(options: &Options) -> Result<Report> {
    let begun = Instant::now();
    let (commit, day) = stamp().await;
    let progress = Progress::new(options.steps());
    progress.step("what the operator makes of a space");
    let recipe = Recipe::learn(&Stage::with_operator().await?).await?;
    let mut measured = Measured::default();
    if options.wants("B1") {
        measured.add_or_note("B1", onboarding::measure(options, &recipe, &progress).await);
    }
    if options.wants("B2") {
        measured.add_or_note("B2", calls::measure(options, &recipe, &progress).await);
    }
    if options.wants("B6") {
        measured.add_or_note("B6", latency::measure(options, &recipe, &progress).await);
    }
    if options.wants("B4") {
        measured.add_or_note("B4", expiry::measure(options, &progress).await);
    }
    if ["B3", "B4", "B5", "B8"].iter().any(|id| options.wants(id)) {
        measured.add_or_note("B3, B4, B5, B8", scale::measure(options, &recipe, &progress).await);
    }
    if options.wants("B7") {
        measured.add_or_note("B7", faults::measure(options, &progress).await);
    }
    measured.figures.sort_by(|one, other| one.id.cmp(&other.id));
    let processors = std::thread::available_parallelism().map(std::num::NonZero::get).unwrap_or_default();
    Ok(Report { commit, day, processors, minutes: (begun.elapsed().as_secs_f64() / 6.0).round() / 10.0, measured })
}
