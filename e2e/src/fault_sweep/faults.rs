//! Owns the named faults of writes.

use std::time::Duration;

use crate::proxy::{Fault, RuleLimit};

/// A kind of fault, as a case names it.
#[derive(Clone, Debug)]
pub struct FaultKind {
    /// Its name.
    pub name: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The limit of the fault.
    pub limit: RuleLimit,
    /// The cost of a case.
    pub cost: CaseCost,
}

/// The cost of a case with this kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseCost {
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
pub fn all() -> Vec<FaultKind> {
    let respond = |code, after| Fault::Respond { code, after };
    let mut kinds = vec![
        once("reset-before", Fault::ResetBefore, CaseCost::Small),
        once("reset-after", Fault::ResetAfter, CaseCost::Small),
        once("409", respond(409, false), CaseCost::Small),
        once("422", respond(422, false), CaseCost::Small),
        once("429", respond(429, false), CaseCost::Further),
        once("500", respond(500, false), CaseCost::Small),
        once("503", respond(503, false), CaseCost::Further),
        once("504", respond(504, false), CaseCost::Further),
        once("500-after", respond(500, true), CaseCost::Further),
        once("504-after", respond(504, true), CaseCost::Small),
        once("truncate", Fault::Truncate, CaseCost::Small),
        once("delay", Fault::Delay(Duration::from_secs(2)), CaseCost::Further),
        once("hang", Fault::Hang { after: false }, CaseCost::Worker),
        once("hang-after", Fault::Hang { after: true }, CaseCost::Worker),
        once("kill-before", Fault::Signal { signal: "KILL", after: false }, CaseCost::Process),
        once("kill-after", Fault::Signal { signal: "KILL", after: true }, CaseCost::Process),
        once("term-before", Fault::Signal { signal: "TERM", after: false }, CaseCost::Process),
        once("term-after", Fault::Signal { signal: "TERM", after: true }, CaseCost::Process),
    ];
    let repeated: [(&str, &str, Fault); 6] = [
        ("reset-before-x3", "reset-before-60s", Fault::ResetBefore),
        ("409-x3", "409-60s", respond(409, false)),
        ("429-x3", "429-60s", respond(429, false)),
        ("500-x3", "500-60s", respond(500, false)),
        ("503-x3", "503-60s", respond(503, false)),
        ("504-after-x3", "504-after-60s", respond(504, true)),
    ];
    for (three_times, for_a_minute, fault) in repeated {
        // The client honors Retry-After, and a worker waits with it.
        let cost = if three_times.starts_with("429") { CaseCost::Worker } else { CaseCost::Further };
        kinds.push(FaultKind { name: three_times, fault: fault.clone(), limit: RuleLimit::Count(3), cost });
        kinds.push(FaultKind { name: for_a_minute, fault, limit: RuleLimit::For(MINUTE), cost });
    }
    kinds
}

fn once(name: &'static str, fault: Fault, cost: CaseCost) -> FaultKind {
    FaultKind { name, fault, limit: RuleLimit::Count(1), cost }
}
