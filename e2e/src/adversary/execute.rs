//! Owns the concurrent execution of sequences: all take the same steps in time, and each is checked after each step.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use futures::{StreamExt, stream};
use http::Request;
use serde_json::Value;

use super::{
    action::Action,
    freshness::is_current,
    generate::Rounds,
    history::History,
    names::{Class, Identity, Names, Space},
    oracles::{Violation, check_all},
    trace::{Exchange, ObservedState, Trace},
    world::{DEVELOPERS, IMPERSONATE, IMPERSONATE_GROUP, World},
};
use crate::{
    fault_sweep::cluster_view::{Objects, read_all},
    fixtures::name_of,
};

/// The number of sequences that send requests at the same time.
const MAX_CONCURRENT_SEQUENCES: usize = 16;
/// The number of times that a state is read before it counts as wrong: on a real API server controllers take some time.
const MAX_READS: u32 = 5;
/// The additional wait before the third read; before each later one it is longer by the same time.
const REREAD_DELAY: Duration = Duration::from_millis(500);

/// The step in time after a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// The time that passes.
    pub wait: TimeDelta,
    /// True if the operator is killed and starts again.
    pub restart: bool,
}

/// One sequence, and its result.
pub(super) struct SequenceRun {
    /// The actions of each round.
    pub rounds: Rounds,
    /// The course so far.
    pub trace: Trace,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

impl SequenceRun {
    /// A sequence at its start.
    pub(super) fn new(names: Names, rounds: Rounds, lateness: TimeDelta) -> Self {
        Self { rounds, trace: Trace::new(names, lateness), violation: None }
    }
}

/// Executes `runs` to their end, or to the first broken promise of each.
pub(super) async fn execute(
    world: &Arc<dyn World>,
    history: &History,
    runs: &mut [SequenceRun],
    ticks: &[Tick],
) -> Result<()> {
    let begin = |_: &SequenceRun| Class::ALL.map(Action::CreateClass).to_vec();
    round(world, runs, begin).await?;
    step(world, history, runs, ticks.is_empty()).await?;
    for (number, tick) in ticks.iter().enumerate() {
        let has_passed = ticks.iter().take(number).any(|tick| !tick.wait.is_zero());
        let may = |action: &Action| !(has_passed && world.is_real() && matches!(action, Action::Create(..)));
        let actions = |run: &SequenceRun| {
            run.rounds.get(number).into_iter().flatten().copied().filter(|action| may(action)).collect()
        };
        round(world, runs, actions).await?;
        let is_last_round = number + 1 == ticks.len();
        let is_idle = tick.wait.is_zero() && !tick.restart;
        step(world, history, runs, is_last_round && is_idle).await?;
        if is_idle {
            // Nothing happens between this step and the next.
            continue;
        }
        world.advance(tick.wait).await?;
        if tick.restart {
            for run in runs.iter_mut() {
                run.trace.restarts.push(world.now());
            }
            world.restart().await?;
        }
        let states = runs.iter().filter(|run| run.violation.is_none()).filter_map(|run| run.trace.states.last());
        let names: Vec<String> =
            states.flat_map(ObservedState::spaces).map(|space| name_of(space).to_owned()).collect();
        world.requeue(&names).await?;
        step(world, history, runs, is_last_round).await?;
    }
    Ok(())
}

/// Sends the actions of each sequence, one after the other.
async fn round(
    world: &Arc<dyn World>,
    runs: &mut [SequenceRun],
    actions: impl Fn(&SequenceRun) -> Vec<Action>,
) -> Result<()> {
    let sent = runs.iter_mut().filter(|run| run.violation.is_none()).map(|run| {
        let actions = actions(run);
        async move {
            for action in actions {
                send(world, &mut run.trace, action).await?;
            }
            anyhow::Ok(())
        }
    });
    let done: Vec<Result<()>> = stream::iter(sent).buffer_unordered(MAX_CONCURRENT_SEQUENCES).collect().await;
    done.into_iter().collect()
}

async fn send(world: &Arc<dyn World>, trace: &mut Trace, action: Action) -> Result<()> {
    let at = world.now();
    let Some(request) = action.request(&trace.names, at, trace) else { return Ok(()) };
    let body = if request.body.is_null() { vec![] } else { serde_json::to_vec(&request.body)? };
    let mut http_request =
        Request::builder().method(request.method.clone()).uri(&request.path).header("Content-Type", request.content);
    if let Identity::User(name) = trace.names.identity(action.persona()) {
        http_request = http_request.header(IMPERSONATE, name).header(IMPERSONATE_GROUP, DEVELOPERS);
    }
    let response = match world.client().request::<Value>(http_request.body(body)?).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => return Err(error).with_context(|| request.command(None)),
    };
    trace.exchanges.push(Exchange::new(at, action, request, response));
    Ok(())
}

/// Waits until the operator is done, reads the objects and checks them. On a real API server a sequence whose state is
/// wrong, or older than a response, is checked again, since controllers and watches take some time.
async fn step(world: &Arc<dyn World>, history: &History, runs: &mut [SequenceRun], is_last_step: bool) -> Result<()> {
    let mut left: Vec<&mut SequenceRun> = runs.iter_mut().filter(|run| run.violation.is_none()).collect();
    for read in 1..=MAX_READS {
        world.wait_until_idle().await?;
        if read > 2 {
            tokio::time::sleep(REREAD_DELAY * (read - 2)).await;
        }
        // A violation counts only in the state that the API server lists, and a sequence passes only in such a state:
        // neither relies on watches.
        let listed = if world.is_real() && (read == MAX_READS || is_last_step) {
            Some(read_all(&world.client()).await?)
        } else {
            None
        };
        let must_be_compared = world.is_real() && listed.is_none();
        record_states(world, history, &mut left, Reading { is_first: read == 1, listed });
        let is_last = read == MAX_READS || !world.is_real();
        let mut wrong = vec![];
        for run in left {
            match check_all(&run.trace) {
                Err(violation) if is_last => run.violation = Some(violation),
                Err(_) => wrong.push(run),
                Ok(()) if must_be_compared && !is_current(&run.trace) => wrong.push(run),
                Ok(()) => {}
            }
        }
        if wrong.is_empty() {
            break;
        }
        left = wrong;
    }
    Ok(())
}

/// One reading of the state after a step.
struct Reading {
    /// True if it is the first one after the step. Each later one replaces the one before.
    is_first: bool,
    /// The objects of all spaces, by name, if they were listed.
    listed: Option<HashMap<String, Objects>>,
}

/// Records the state of each sequence: the listed one, or that of the watches.
fn record_states(world: &Arc<dyn World>, history: &History, runs: &mut [&mut SequenceRun], reading: Reading) {
    let at = world.now();
    let Reading { is_first, mut listed } = reading;
    for run in runs {
        let trace = &mut run.trace;
        let spaces = Space::ALL.map(|space| trace.names.space(space));
        let classes = Class::ALL.map(|class| trace.names.class(class));
        let mut objects = BTreeMap::new();
        for name in spaces.iter().chain(&classes) {
            let found = match &mut listed {
                Some(all) => all.remove(name).unwrap_or_default(),
                None => world.objects_of(name),
            };
            if !found.is_empty() {
                objects.insert(name.clone(), found);
            }
        }
        if !is_first {
            trace.states.pop();
        }
        trace.record_state(ObservedState { at, objects });
        trace.versions = spaces
            .into_iter()
            .map(|name| (name.clone(), history.of(&name)))
            .filter(|(_, versions)| !versions.is_empty())
            .collect();
    }
}
