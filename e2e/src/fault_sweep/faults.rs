//! Owns the named faults of writes.

use std::time::Duration;

use crate::proxy::{Fault, RuleLimit};

/// A kind of fault, as a case names it.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The limit of the fault.
    pub limit: RuleLimit,
    /// The cost of a case.
    pub cost: Cost,
}

/// The cost of a case with this kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Almost nothing: hundreds run concurrently, also in the bounded sweep.
    Small,
    /// Almost nothing, but only in the whole sweep.
    Further,
    /// A request of the operator that waits until its timeout: a limited number run concurrently.
    Worker,
    /// The operator's process: cases run one after another.
    Process,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Returns all kinds of faults.
pub fn all() -> Vec<Kind> {
    let answer = |code, after| Fault::Respond { code, after };
    let mut kinds = vec![
        once("reset-before", Fault::ResetBefore, Cost::Small),
        once("reset-after", Fault::ResetAfter, Cost::Small),
        once("409", answer(409, false), Cost::Small),
        once("422", answer(422, false), Cost::Small),
        once("429", answer(429, false), Cost::Further),
        once("500", answer(500, false), Cost::Small),
        once("503", answer(503, false), Cost::Further),
        once("504", answer(504, false), Cost::Further),
        once("500-after", answer(500, true), Cost::Further),
        once("504-after", answer(504, true), Cost::Small),
        once("truncate", Fault::Truncate, Cost::Small),
        once("delay", Fault::Delay(Duration::from_secs(2)), Cost::Further),
        once("hang", Fault::Hang { after: false }, Cost::Worker),
        once("hang-after", Fault::Hang { after: true }, Cost::Worker),
        once("kill-before", Fault::Signal { signal: "KILL", after: false }, Cost::Process),
        once("kill-after", Fault::Signal { signal: "KILL", after: true }, Cost::Process),
        once("term-before", Fault::Signal { signal: "TERM", after: false }, Cost::Process),
        once("term-after", Fault::Signal { signal: "TERM", after: true }, Cost::Process),
    ];
    let often: [(&str, &str, Fault); 6] = [
        ("reset-before-x3", "reset-before-60s", Fault::ResetBefore),
        ("409-x3", "409-60s", answer(409, false)),
        ("429-x3", "429-60s", answer(429, false)),
        ("500-x3", "500-60s", answer(500, false)),
        ("503-x3", "503-60s", answer(503, false)),
        ("504-after-x3", "504-after-60s", answer(504, true)),
    ];
    for (thrice, minute, fault) in often {
        // The client honors Retry-After, and a worker waits with it.
        let cost = if thrice.starts_with("429") { Cost::Worker } else { Cost::Further };
        kinds.push(Kind { name: thrice, fault: fault.clone(), limit: RuleLimit::Count(3), cost });
        kinds.push(Kind { name: minute, fault, limit: RuleLimit::For(MINUTE), cost });
    }
    kinds
}

fn once(name: &'static str, fault: Fault, cost: Cost) -> Kind {
    Kind { name, fault, limit: RuleLimit::Count(1), cost }
}
