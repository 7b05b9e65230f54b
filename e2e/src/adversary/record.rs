//! Owns the record of a run.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    oracles::ORACLES,
    run::{Options, Outcome, Place},
};

/// The result of a run, for `docs/reliability`.
#[derive(Serialize)]
struct Record<'a> {
    commit: String,
    day: String,
    place: &'a str,
    seed: u64,
    batch: u64,
    sequences: u64,
    /// The number of checks, each by every oracle.
    judged: u64,
    oracles: Vec<&'a str>,
    requests: u64,
    refused: u64,
    ended: u64,
    broken: Vec<String>,
}

/// Writes the record of a run.
pub fn write(file: &Path, (commit, day): (String, String), options: Options, outcome: &Outcome) -> Result<()> {
    let Options { place, seed, batch, .. } = options;
    let record = Record {
        commit,
        day,
        place: match place {
            Place::Memory => "the whole controller on an API server in memory",
            Place::Real => "the operator on a real API server",
        },
        seed,
        batch,
        sequences: outcome.played,
        judged: outcome.judged,
        oracles: ORACLES.iter().map(|(name, _)| *name).collect(),
        requests: outcome.requests,
        refused: outcome.refused,
        ended: outcome.ended,
        broken: outcome
            .broken
            .iter()
            .map(|broken| format!("{} {}: {}", broken.number, broken.violation.oracle, broken.violation.description))
            .collect(),
    };
    let text = serde_json::to_string_pretty(&record)? + "\n";
    std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
