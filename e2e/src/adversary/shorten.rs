//! Owns shortening a sequence that broke a promise, and printing it as commands.

use std::fmt::{self, Write as _};

use anyhow::Result;

use super::{
    cast::Person,
    generate::{Rounds, Sequence},
    oracles::Violation,
    story::Story,
};

/// A sequence that broke a promise.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The flags with which the program `adversary` plays it again.
    pub again: String,
    /// The number of the sequence, which repeats it with the same seed.
    pub number: u64,
    /// The broken promise.
    pub violation: Violation,
    /// The sequence as commands.
    pub commands: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { again, number, violation, commands } = self;
        let oracle = violation.oracle;
        writeln!(f, "sequence {number} broke {oracle}: {}\n{commands}again: adversary {again} --only {number}", violation.sentence)
    }
}

/// The shortest sequence, found in at most `tries` tries, that breaks the same promise. `replay` plays one sequence by itself.
pub async fn shorten(
    mut sequence: Sequence,
    first: Broken,
    tries: usize,
    replay: impl AsyncFn(Rounds) -> Result<Option<(Violation, String)>>,
) -> Result<Broken> {
    let mut shortest = first;
    let mut is_simpler = sequence.simplify();
    for _ in 0..tries {
        if !is_simpler {
            break;
        }
        let broken = replay(sequence.rounds()).await?.filter(|(violation, _)| violation.oracle == shortest.violation.oracle);
        is_simpler = match broken {
            Some((violation, commands)) => {
                shortest = Broken { violation, commands, ..shortest };
                sequence.simplify()
            }
            None => sequence.complicate(),
        };
    }
    Ok(shortest)
}

/// The requests as commands that a user can paste, with the time and the answer of each, and the versions of each space in short.
pub fn commands(story: &Story) -> String {
    let mut text = String::new();
    let begun = story.seen.first().map(|seen| seen.at).unwrap_or_default();
    for deed in &story.deeds {
        let caller = match story.cast.person(deed.act.who()) {
            Person::Administrator => None,
            Person::User(name) => Some(name),
        };
        let answer = deed.answer.as_ref().err().map(|refusal| format!("   # refused: {refusal}")).unwrap_or_default();
        let _ = writeln!(text, "# after {} s\n{}{answer}", (deed.at - begun).num_seconds(), deed.sent.command(caller.as_deref()));
    }
    if let Some(seen) = story.seen.last() {
        let restarts: Vec<i64> = story.restarts.iter().map(|at| (*at - begun).num_seconds()).collect();
        let _ =
            writeln!(text, "# looked at after {} s; the operator was started again after {restarts:?} s", (seen.at - begun).num_seconds());
    }
    for version in story.versions.values().flatten() {
        let space = &version.space;
        let status = &space["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<String> = conditions.map(|one| format!("{}={}/{}", one["type"], one["status"], one["reason"])).collect();
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
