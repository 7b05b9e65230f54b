//! Owns playing sequences concurrently: all take the same steps in time, and each is checked after each step.

use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use http::Request;
use kube::Client;
use serde_json::Value;

use super::{
    act::Act,
    cast::{Cast, Class, Person, Space},
    generate::Rounds,
    history::History,
    oracles::{Violation, judge},
    story::{Deed, Seen, Story},
    world::{DEVELOPERS, IMPERSONATE, IMPERSONATE_GROUP, World},
};
use crate::fault_sweep::cluster_view::read_all;

/// The number of sequences that act at the same time.
const SIDE_BY_SIDE: usize = 16;
/// The number of times that a state is read before it counts as wrong: on a real API server controllers take some time.
const LOOKS: usize = 5;

/// The step in time after a round.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// The time that passes.
    pub wait: TimeDelta,
    /// True if the operator is killed and starts again.
    pub restart: bool,
}

/// One sequence, and its result.
pub struct Part {
    /// The acts of each round.
    pub rounds: Rounds,
    /// The course so far.
    pub story: Story,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

impl Part {
    /// A sequence at its start.
    pub fn new(cast: Cast, rounds: Rounds, lateness: TimeDelta) -> Self {
        Self { rounds, story: Story::new(cast, lateness), violation: None }
    }
}

/// Plays `parts` to their end, or to the first broken promise of each.
pub async fn play(world: &Arc<dyn World>, history: &History, parts: &mut [Part], ticks: &[Tick]) -> Result<()> {
    let begin = |_: &Part| Class::ALL.map(Act::CreateClass).to_vec();
    round(world, parts, begin).await?;
    step(world, history, parts).await?;
    for (number, tick) in ticks.iter().enumerate() {
        let has_passed = ticks.iter().take(number).any(|tick| !tick.wait.is_zero());
        let may = |act: &Act| !(has_passed && world.is_real() && matches!(act, Act::Create(..)));
        let acts = |part: &Part| part.rounds.get(number).into_iter().flatten().copied().filter(|act| may(act)).collect();
        round(world, parts, acts).await?;
        step(world, history, parts).await?;
        world.pass(tick.wait).await?;
        if tick.restart {
            for part in parts.iter_mut() {
                part.story.restarts.push(world.now());
            }
            world.restart().await?;
        }
        let names: Vec<String> = parts.iter().flat_map(|part| Space::ALL.map(|space| part.story.cast.space(space))).collect();
        world.wake(&names).await?;
        step(world, history, parts).await?;
    }
    Ok(())
}

/// Sends the acts of each sequence, one after the other.
async fn round(world: &Arc<dyn World>, parts: &mut [Part], acts: impl Fn(&Part) -> Vec<Act>) -> Result<()> {
    let acting = parts.iter_mut().filter(|part| part.violation.is_none()).map(|part| {
        let acts = acts(part);
        async move {
            for act in acts {
                perform(world, &mut part.story, act).await?;
            }
            anyhow::Ok(())
        }
    });
    let done: Vec<Result<()>> = stream::iter(acting).buffer_unordered(SIDE_BY_SIDE).collect().await;
    done.into_iter().collect()
}

async fn perform(world: &Arc<dyn World>, story: &mut Story, act: Act) -> Result<()> {
    let at = world.now();
    let Some(sent) = act.request(&story.cast, at, story) else { return Ok(()) };
    let body = if sent.body.is_null() { vec![] } else { serde_json::to_vec(&sent.body)? };
    let mut request = Request::builder().method(sent.method.clone()).uri(&sent.path).header("Content-Type", sent.content);
    if let Person::User(name) = story.cast.person(act.who()) {
        request = request.header(IMPERSONATE, name).header(IMPERSONATE_GROUP, DEVELOPERS);
    }
    let answer = match world.client().request::<Value>(request.body(body)?).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => return Err(error).with_context(|| sent.command(None)),
    };
    story.deeds.push(Deed::new(at, act, sent, answer));
    Ok(())
}

/// Waits until the operator is done, reads all objects and checks them.
async fn step(world: &Arc<dyn World>, history: &History, parts: &mut [Part]) -> Result<()> {
    let client = world.client();
    for look in 1..=LOOKS {
        world.settle().await?;
        let is_first = look == 1;
        look_at(world.now(), &client, history, (parts, is_first)).await?;
        let found = parts.iter_mut().filter(|part| part.violation.is_none()).filter_map(|part| {
            let violation = judge(&part.story).err()?;
            Some((part, violation))
        });
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            break;
        }
        if look == LOOKS || !world.is_real() {
            for (part, violation) in found {
                part.violation = Some(violation);
            }
            break;
        }
    }
    Ok(())
}

async fn look_at(at: DateTime<Utc>, client: &Client, history: &History, (parts, is_first): (&mut [Part], bool)) -> Result<()> {
    let mut all = read_all(client).await?;
    for part in parts.iter_mut().filter(|part| part.violation.is_none()) {
        let story = &mut part.story;
        let spaces = Space::ALL.map(|space| story.cast.space(space));
        let classes = Class::ALL.map(|class| story.cast.class(class));
        let objects = spaces.iter().chain(&classes).filter_map(|name| Some((name.clone(), all.remove(name)?))).collect();
        if !is_first {
            story.seen.pop();
        }
        story.see(Seen { at, objects });
        story.versions =
            spaces.into_iter().map(|name| (name.clone(), history.of(&name))).filter(|(_, versions)| !versions.is_empty()).collect();
    }
    Ok(())
}
