//! Plays sequences of user actions, and checks each of their steps.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for people")]

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use e2e::{
    adversary::{Options, Outcome, Place, record, run},
    program::exit_code,
    revision::stamp,
};

/// Plays sequences of user actions in any order, and checks each of their steps.
///
/// Exit status: 0 if every promise was kept, 1 if a promise was broken, 2 if the run failed.
#[derive(Parser)]
struct Arguments {
    /// Play on a real API server instead of one in memory.
    #[arg(long)]
    real: bool,
    /// The seed of the sequences.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of sequences to play.
    #[arg(long, default_value_t = 2_000)]
    sequences: u64,
    /// The number of sequences that are played concurrently. Like the seed, it determines the sequences. Default: 100,
    /// or 25 with --real.
    #[arg(long)]
    batch: Option<u64>,
    /// Play only the sequence with this number.
    #[arg(long, value_name = "NUMBER")]
    only: Option<u64>,
    /// Stop at the first sequence that breaks a promise.
    #[arg(long)]
    first: bool,
    /// Write a record of the run to this file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code("adversary", play(Arguments::parse()))
}

fn play(Arguments { real, seed, sequences, batch, only, first, record }: Arguments) -> Result<ExitCode> {
    // Read at the start: later changes of the code do not affect what runs.
    let stamp = tokio::runtime::Runtime::new()?.block_on(stamp());
    let (place, usual) = if real { (Place::Real, 25) } else { (Place::Memory, 100) };
    let options = Options { place, seed, sequences, batch: batch.unwrap_or(usual), only, first };
    let outcome =
        run(options, |outcome| eprintln!("{} of {sequences} played, {} broken", outcome.played, outcome.broken.len()))?;
    if let Some(file) = record {
        record::write(&file, stamp, options, &outcome)?;
    }
    let Outcome { played, judged, requests, refused, ended, broken } = outcome;
    for broken in &broken {
        println!("{broken}");
    }
    let count = broken.len();
    println!(
        "{played} sequences judged {judged} times: {requests} requests, {refused} of them refused, {ended} ends, {count} broken promises"
    );
    Ok(ExitCode::from(u8::from(count > 0)))
}
