//! Owns shrinking a sequence that broke a promise, and printing it as commands.

use std::fmt::{self, Write as _};

use anyhow::Result;

use super::{
    generate::{Rounds, Sequence},
    names::Identity,
    oracles::Violation,
    trace::Trace,
};

/// A sequence that broke a promise.
#[derive(Clone, Debug)]
pub struct FailedSequence {
    /// The flags with which the program `adversary` plays it again.
    pub replay_flags: String,
    /// The number of the sequence, which repeats it with the same seed.
    pub number: u64,
    /// The broken promise.
    pub violation: Violation,
    /// The sequence as commands.
    pub commands: String,
}

impl fmt::Display for FailedSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replay_flags, number, violation, commands } = self;
        let oracle = violation.oracle;
        writeln!(
            f,
            "sequence {number} broke {oracle}: {}\n{commands}again: adversary {replay_flags} --only {number}",
            violation.description
        )
    }
}

/// The shortest sequence, found in at most `tries` tries, that breaks the same promise. `replay` plays one sequence by
/// itself.
pub(super) async fn shrink(
    mut sequence: Sequence,
    first: FailedSequence,
    tries: usize,
    replay: impl AsyncFn(Rounds) -> Result<Option<(Violation, String)>>,
) -> Result<FailedSequence> {
    let mut shortest = first;
    let mut is_simpler = sequence.simplify();
    for _ in 0..tries {
        if !is_simpler {
            break;
        }
        let broken =
            replay(sequence.rounds()).await?.filter(|(violation, _)| violation.oracle == shortest.violation.oracle);
        is_simpler = match broken {
            Some((violation, commands)) => {
                shortest = FailedSequence { violation, commands, ..shortest };
                sequence.simplify()
            }
            None => sequence.complicate(),
        };
    }
    Ok(shortest)
}

/// The requests as commands that a user can paste, with the time and the response of each, and the versions of each
/// space in short.
pub(super) fn commands(trace: &Trace) -> String {
    let mut text = String::new();
    let begun = trace.states.first().map(|state| state.at).unwrap_or_default();
    for exchange in &trace.exchanges {
        let caller = match trace.names.identity(exchange.action.persona()) {
            Identity::Administrator => None,
            Identity::User(name) => Some(name),
        };
        let response =
            exchange.response.as_ref().err().map(|refusal| format!("   # refused: {refusal}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "# after {} s\n{}{response}",
            (exchange.at - begun).num_seconds(),
            exchange.request.command(caller.as_deref())
        );
    }
    if let Some(state) = trace.states.last() {
        let restarts: Vec<i64> = trace.restarts.iter().map(|at| (*at - begun).num_seconds()).collect();
        let _ = writeln!(
            text,
            "# looked at after {} s; the operator was started again after {restarts:?} s",
            (state.at - begun).num_seconds()
        );
    }
    for version in trace.versions.values().flatten() {
        let space = &version.space;
        let status = &space["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<String> =
            conditions.map(|one| format!("{}={}/{}", one["type"], one["status"], one["reason"])).collect();
        let _ = writeln!(
            text,
            "# {:>6.1} s {} {} spec {} status {} {} {} ends {} {}",
            (version.at - begun).as_seconds_f64(),
            space["metadata"]["name"],
            space["metadata"]["resourceVersion"],
            space["spec"]["className"],
            status["className"],
            status["owner"]["name"],
            status["namespace"]["uid"],
            status["expiresAt"],
            conditions.join(" ")
        );
    }
    text
}
