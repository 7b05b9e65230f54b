//! Owns playing sequences concurrently: all take the same steps in time, and each is checked after each step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use futures::{StreamExt, stream};
use http::Request;
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
use crate::{fault_sweep::cluster_view::read_all, fixtures::name_of};

/// The number of sequences that act at the same time.
const SIDE_BY_SIDE: usize = 16;
/// The number of times that a state is read before it counts as wrong: on a real API server controllers take some time.
const LOOKS: u32 = 5;
/// The additional wait before the third look; before each later one it is longer by the same time.
const LATER_LOOKS: Duration = Duration::from_millis(500);

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
        if tick.wait.is_zero() && !tick.restart {
            // Nothing happens between this step and the next.
            continue;
        }
        world.pass(tick.wait).await?;
        if tick.restart {
            for part in parts.iter_mut() {
                part.story.restarts.push(world.now());
            }
            world.restart().await?;
        }
        let states = parts.iter().filter(|part| part.violation.is_none()).filter_map(|part| part.story.seen.last());
        let names: Vec<String> = states.flat_map(Seen::spaces).map(|space| name_of(space).to_owned()).collect();
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

/// Waits until the operator is done, reads the objects and checks them. On a real API server a sequence whose state is wrong is checked again,
/// since controllers take some time.
async fn step(world: &Arc<dyn World>, history: &History, parts: &mut [Part]) -> Result<()> {
    let mut left: Vec<&mut Part> = parts.iter_mut().filter(|part| part.violation.is_none()).collect();
    for look in 1..=LOOKS {
        world.settle().await?;
        if look > 2 {
            tokio::time::sleep(LATER_LOOKS * (look - 2)).await;
        }
        look_at(world, history, &mut left, look).await?;
        let is_last = look == LOOKS || !world.is_real();
        let mut wrong = vec![];
        for part in left {
            match judge(&part.story) {
                Err(violation) if is_last => part.violation = Some(violation),
                Err(_) => wrong.push(part),
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

/// Records the state of each sequence. A violation counts only in the state that the API server lists: the last look does not rely on watches.
async fn look_at(world: &Arc<dyn World>, history: &History, parts: &mut [&mut Part], look: u32) -> Result<()> {
    let at = world.now();
    let mut listed = if look == LOOKS { Some(read_all(&world.client()).await?) } else { None };
    for part in parts {
        let story = &mut part.story;
        let spaces = Space::ALL.map(|space| story.cast.space(space));
        let classes = Class::ALL.map(|class| story.cast.class(class));
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
        if look > 1 {
            story.seen.pop();
        }
        story.see(Seen { at, objects });
        story.versions =
            spaces.into_iter().map(|name| (name.clone(), history.of(&name))).filter(|(_, versions)| !versions.is_empty()).collect();
    }
    Ok(())
}
