//! R22: sequences of user actions, each step checked against I1 to I7. `make sweep` plays more of them;
//! docs/reliability/adversary.md explains how to read a failure.

use anyhow::{Result, ensure};
use e2e::adversary::{Options, Outcome, Place, run};

/// A fixed seed: with other sequences in each run, a failure could have nothing to do with the change under test.
const SEED: u64 = 1;

fn play(place: Place, sequences: u64, batch: u64) -> Result<()> {
    let Outcome { played, judged, ended, broken, .. } =
        run(Options { place, seed: SEED, sequences, batch, only: None, first: false }, |_| {})?;
    let failures: Vec<String> = broken.iter().map(ToString::to_string).collect();
    ensure!(failures.is_empty(), "{} of {played} sequences broke a promise:\n{}", failures.len(), failures.join("\n"));
    ensure!(
        played == sequences && judged > sequences * 20 && ended > sequences / 4,
        "{played} played, judged {judged} times, {ended} ends"
    );
    Ok(())
}

#[test]
fn user_actions_break_no_promise_in_memory() -> Result<()> {
    play(Place::Memory, 100, 50)
}

#[test]
fn user_actions_break_no_promise_on_a_real_api_server() -> Result<()> {
    play(Place::Real, 300, 25)
}
