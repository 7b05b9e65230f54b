//! Every way in which people, the operator, its second replica, `gc`, the network and time can take turns.

use std::{cell::RefCell, collections::HashMap};

use stateright::{Model, Property};

use super::{
    rules::{Guard, View, Who, is_due},
    world::{Budget, Namespace, Request, Space, Tick, World},
};

/// What is explored.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The last tick.
    pub horizon: Tick,
    /// What people and faults may do.
    pub budget: Budget,
    /// How often the space may be written: two views of different age can take turns at the status for ever.
    pub versions: u8,
    /// How many requests may be on their way at once: replicas, sweeps, and requests of processes that have died.
    pub senders: usize,
    /// The guard that is off.
    pub without: Option<Guard>,
    /// How far the operator and the network may fall behind.
    pub delay: Delay,
}

/// How far the operator and the network may fall behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Every view may be any old one; a request may arrive at any later time.
    Any,
    /// As `Any`, but a namespace is made only on a view of the present, and at once.
    PromptCreation,
    /// As `PromptCreation`, and a status arrives in the tick in which it was decided.
    PromptStatus,
    /// Views are of the present, and time waits while the operator has something to do: what is left is crashes and lost answers.
    None,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    Tick,
    Renew,
    Meddle,
    DeleteSpace,
    RecreateSpace,
    RemoveClass,
    NamespaceGone,
    /// Somebody decides on a view and sends.
    Send(Who, Request),
    /// A request arrives; its sender goes on.
    Arrive(Request),
    /// A request arrives; its sender never hears of it, or has died.
    ArriveUnheard(Request),
    /// A request never arrives.
    Lose(Request),
}

/// What the rest of a run depends on, if only the operator acts.
type Situation = (Option<Space>, Option<Namespace>, Tick, bool, Option<Guard>);

impl Protocol {
    fn view(&self, world: &World, who: Who, space: Space, namespace: Option<Namespace>) -> View {
        View { who, now: world.now, space, namespace, live: world.namespace, class: world.class_exists, without: self.without }
    }

    /// What may be decided now, by anybody.
    fn decisions(&self, world: &World) -> Vec<(Who, Request)> {
        let mut decided = Vec::new();
        let present = world.space.map(|space| (space, world.namespace));
        let past = world.spaces.iter().flat_map(|space| world.namespaces.iter().map(|namespace| (*space, *namespace)));
        let views: Vec<_> = if self.delay == Delay::None { present.into_iter().collect() } else { past.collect() };
        for (space, namespace) in views {
            let is_present = Some((space, namespace)) == present;
            decided.extend(
                self.view(world, Who::Controller, space, namespace)
                    .decide()
                    .filter(|request| is_present || !self.is_prompt(*request))
                    .map(|request| (Who::Controller, request)),
            );
            // A sweep lists the spaces afresh, the namespaces after them, and acts on that later.
            if Some(space) == world.space {
                decided.extend(self.view(world, Who::Gc, space, namespace).decide().map(|request| (Who::Gc, request)));
            }
        }
        decided.retain(|(_, request)| !world.is_dead(request));
        decided.sort_unstable_by_key(|(who, request)| (*request, *who == Who::Gc));
        decided.dedup_by_key(|(_, request)| *request);
        decided
    }

    fn is_prompt(&self, request: Request) -> bool {
        matches!(request, Request::CreateNamespace { .. }) && self.delay != Delay::Any
    }

    /// Whether time may go on.
    fn may_tick(&self, world: &World) -> bool {
        let status = |request: &Request| matches!(request, Request::Status { .. });
        world.now < self.horizon
            && match self.delay {
                Delay::Any | Delay::PromptCreation => true,
                Delay::PromptStatus => !world.in_flight.iter().any(status),
                Delay::None => {
                    world.in_flight.is_empty()
                        && self.decisions(world).is_empty()
                        && !world.namespace.is_some_and(|namespace| namespace.terminating)
                        && !(world.space.is_none() && world.left.recreations == 0)
                }
            }
    }

    fn people(&self, world: &World, turns: &mut Vec<Turn>) {
        let Budget { renewals, strangers, user_deletions, recreations, class_removals, faults: _ } = world.left;
        let space = world.space;
        if renewals > 0 && space.is_some_and(|space| space.renewed != Some(world.now) && world.now > space.created && !space.deleting) {
            turns.push(Turn::Renew);
        }
        if strangers > 0 && !world.namespace.is_some_and(|namespace| namespace.terminating) {
            turns.push(Turn::Meddle);
        }
        if user_deletions > 0 && space.is_some_and(|space| !space.deleting) {
            turns.push(Turn::DeleteSpace);
        }
        if recreations > 0 && space.is_none() {
            turns.push(Turn::RecreateSpace);
        }
        // Without a class the end is the one in the status; where none stands yet, none comes before the class is back.
        if class_removals > 0 && world.class_exists && space.is_some_and(|space| space.status.expires.is_some()) {
            turns.push(Turn::RemoveClass);
        }
        if world.namespace.is_some_and(|namespace| namespace.terminating) {
            turns.push(Turn::NamespaceGone);
        }
    }

    /// A request arrives: it is carried out or refused, and whoever sealed goes on to delete.
    fn arrive(&self, world: &mut World, request: Request, heard: bool) {
        let due = |world: &World| world.space.is_some_and(|space| is_due(&space, world.class_exists, world.now));
        let done = world.receive(request, due);
        if let (true, true, Request::Status { then: Some(uid), .. }) = (heard, done, request) {
            let uid = (self.without != Some(Guard::NamespaceUid)).then_some(uid);
            world.in_flight.push(Request::DeleteNamespace { uid });
        }
    }

    /// What happens from here if nobody but the operator does anything any more: does it end with nothing of the space left?
    fn ends(&self, world: &World) -> bool {
        thread_local! {
            static MEMO: RefCell<HashMap<Situation, bool>> = RefCell::default();
        }
        let space = world.space.map(|space| Space { version: 0, ..space });
        let key = (space, world.namespace, world.now, world.class_exists, self.without);
        let known = MEMO.with_borrow(|memo| memo.get(&key).copied());
        known.unwrap_or_else(|| {
            let ends = self.play_out(world);
            MEMO.with_borrow_mut(|memo| memo.insert(key, ends));
            ends
        })
    }

    fn play_out(&self, world: &World) -> bool {
        const ENOUGH: usize = 64;
        let mut world = World { in_flight: Vec::new(), ..world.clone() };
        let uid = world.space.map(|space| space.uid);
        for _ in 0..ENOUGH {
            let Some(space) = world.space else {
                return world.namespace.is_none_or(|left| left.made_for != uid);
            };
            let request = world.in_flight.pop().or_else(|| self.view(&world, Who::Controller, space, world.namespace).decide());
            match request {
                Some(request) => self.arrive(&mut world, request, true),
                None if world.namespace.is_some_and(|namespace| namespace.terminating) => world.namespace_gone(),
                None => world.now += 1,
            }
        }
        false
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Turn;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.budget)]
    }

    fn actions(&self, world: &World, turns: &mut Vec<Turn>) {
        if world.wrong.is_some() {
            return;
        }
        if self.may_tick(world) {
            turns.push(Turn::Tick);
        }
        self.people(world, turns);
        if world.in_flight.len() < self.senders {
            turns.extend(
                self.decisions(world)
                    .into_iter()
                    .filter(|(_, request)| !world.in_flight.contains(request))
                    .map(|(who, request)| Turn::Send(who, request)),
            );
        }
        for request in &world.in_flight {
            turns.push(Turn::Arrive(*request));
            if self.delay != Delay::None || world.left.faults > 0 {
                turns.extend([Turn::ArriveUnheard(*request), Turn::Lose(*request)]);
            }
        }
    }

    fn next_state(&self, last: &World, turn: Turn) -> Option<World> {
        let mut world = last.clone();
        let spend = |budget: &mut u8| *budget = budget.saturating_sub(1);
        let take = |world: &mut World, request: Request| world.in_flight.retain(|other| *other != request);
        match turn {
            Turn::Tick => world.now += 1,
            Turn::Renew => {
                spend(&mut world.left.renewals);
                if !world.renew(self.without != Some(Guard::SealRule)) {
                    return None;
                }
            }
            Turn::Meddle => {
                spend(&mut world.left.strangers);
                world.meddle();
            }
            Turn::DeleteSpace => {
                spend(&mut world.left.user_deletions);
                world.delete_space();
            }
            Turn::RecreateSpace => {
                spend(&mut world.left.recreations);
                world.create_space();
            }
            Turn::RemoveClass => {
                spend(&mut world.left.class_removals);
                world.class_exists = false;
            }
            Turn::NamespaceGone => world.namespace_gone(),
            Turn::Send(_, request) if self.is_prompt(request) => self.arrive(&mut world, request, true),
            Turn::Send(_, request) => world.in_flight.push(request),
            Turn::Arrive(request) => {
                take(&mut world, request);
                self.arrive(&mut world, request, true);
            }
            Turn::ArriveUnheard(request) => {
                spend(&mut world.left.faults);
                take(&mut world, request);
                self.arrive(&mut world, request, false);
            }
            Turn::Lose(request) => {
                spend(&mut world.left.faults);
                take(&mut world, request);
            }
        }
        // Whoever waits for an answer that can only be a refusal may as well have had it.
        let dead: Vec<Request> = world.in_flight.iter().filter(|request| world.is_dead(request)).copied().collect();
        world.in_flight.retain(|request| !dead.contains(request));
        world.in_flight.sort_unstable();
        world.in_flight.dedup();
        Some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.last_version <= self.versions
    }

    fn properties(&self) -> Vec<Property<Self>> {
        super::properties::all(self)
    }
}

impl Protocol {
    /// Whether every space that exists ends, see [`Self::ends`].
    pub fn can_end(&self, world: &World) -> bool {
        world.wrong.is_some() || world.space.is_none() || self.ends(world)
    }

    /// Whether everything has come to its end.
    pub fn is_over(&self, world: &World) -> bool {
        world.space.is_none() && !world.is_orphaned()
    }

    /// Whether nothing can happen any more.
    pub fn is_stuck(&self, world: &World) -> bool {
        let mut turns = Vec::new();
        self.actions(world, &mut turns);
        turns.is_empty()
    }
}
