//! Every order in which users, the operator, its second replica, `gc`, the network and time can take turns.

use std::{cell::RefCell, collections::HashMap};

use stateright::{Model, Property};

use super::{
    clock::{self, Moment, Tick, ceil, is_whole},
    rules::{Guard, View, Who, is_due},
    stored::{SHORT_TTL, Setting, TTL},
    world::{Budget, Class, Namespace, Request, Space, Spec, World},
};

/// The parameters of one exploration.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    /// The settings of the space and its class.
    pub setting: Setting,
    /// The last tick.
    pub horizon: Tick,
    /// The number of user actions and faults in one run.
    pub budget: Budget,
    /// True if renewals also come from clocks that are one tick behind or ahead.
    pub skewed: bool,
    /// The maximum number of writes to the space. Without it, two views of different ages could overwrite each other's
    /// status indefinitely.
    pub versions: u8,
    /// The maximum number of requests in flight: from replicas, from sweeps, and from processes that have died.
    pub senders: usize,
    /// The guard that is off.
    pub without: Option<Guard>,
    /// The permitted lag of the operator and the network.
    pub delay: Delay,
}

/// The permitted lag of the operator and the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Delay {
    /// Every view may be arbitrarily old, and a request may arrive at any later time.
    Any,
    /// As `Any`, but a namespace is created only from a current view, and its request arrives immediately.
    PromptCreation,
    /// As `PromptCreation`. In addition, the UID of a namespace is recorded only from a current view, and no namespace
    /// is created while that write is in flight.
    SettledCreation,
    /// As `SettledCreation`, and a status arrives in the tick in which it was decided.
    PromptStatus,
    /// Views are current, and time waits while the operator has work to do. The only faults are crashes and lost
    /// responses.
    None,
}

/// One turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    Tick,
    Renew(Tick),
    Edit(Spec),
    Meddle,
    DeleteSpace,
    RecreateSpace,
    ChangeClass(Class),
    NamespaceGone,
    /// The controller or a sweep decides on a view and sends a request.
    Send(Who, Request),
    /// A request arrives, and its sender continues.
    Arrive(Request),
    /// A request arrives, but its sender never receives the response or has died.
    ArriveUnheard(Request),
    /// A request never arrives.
    Lose(Request),
}

/// The part of the state on which the rest of a run depends if only the operator acts.
type Situation = (Option<Space>, Option<Namespace>, Moment, Class, Setting, Option<Guard>);

impl Protocol {
    fn view(&self, world: &World, who: Who, space: Space, namespace: Option<Namespace>) -> View {
        let setting = Setting { warns: self.setting.warns && self.without != Some(Guard::Warning), ..self.setting };
        View {
            who,
            now: world.now,
            space,
            namespace,
            live: world.namespace,
            class: world.class,
            setting,
            without: self.without,
        }
    }

    /// Returns every request on which the controller or a sweep may decide at this moment.
    fn decisions(&self, world: &World) -> Vec<(Who, Request)> {
        let mut decided = Vec::new();
        let present = world.space.map(|space| (space, world.namespace));
        let past = world.spaces.iter().flat_map(|space| world.namespaces.iter().map(|namespace| (*space, *namespace)));
        let views: Vec<_> = if self.delay == Delay::None { present.into_iter().collect() } else { past.collect() };
        for (space, namespace) in views {
            let is_present = Some((space, namespace)) == present;
            // A sweep lists the spaces from the API server, then the namespaces, and acts on both lists later.
            let gc = (Some(space) == world.space).then_some(Who::Gc);
            decided.extend([Who::Controller].into_iter().chain(gc).filter_map(|who| {
                let request = self.view(world, who, space, namespace).decide()?;
                (is_present || !self.needs_the_present(world, request)).then_some((who, request))
            }));
        }
        let is_settling = self.delay >= Delay::SettledCreation
            && world.in_flight.iter().any(|request| world.records_another(request));
        decided.retain(|(_, request)| !(world.is_dead(request) || is_settling && self.is_prompt(*request)));
        decided.sort_unstable_by_key(|(who, request)| (*request, *who == Who::Gc));
        decided.dedup_by_key(|(_, request)| *request);
        decided
    }

    fn is_prompt(&self, request: Request) -> bool {
        matches!(request, Request::CreateNamespace { .. }) && self.delay != Delay::Any
    }

    fn needs_the_present(&self, world: &World, request: Request) -> bool {
        self.is_prompt(request) || (self.delay >= Delay::SettledCreation && world.records_another(&request))
    }

    /// Returns true if time may advance.
    fn may_tick(&self, world: &World) -> bool {
        world.now < clock::moment(self.horizon)
            && match self.delay {
                Delay::Any | Delay::PromptCreation | Delay::SettledCreation => true,
                Delay::PromptStatus => !world.in_flight.iter().any(Request::is_status),
                Delay::None => {
                    world.in_flight.is_empty()
                        && self.decisions(world).is_empty()
                        && !world.namespace.is_some_and(|namespace| namespace.terminating)
                        && !(world.space.is_none() && world.left.recreations == 0)
                }
            }
    }

    /// Advances to the next moment. The moment shortly before a tick is skipped if no version of the space ends at that
    /// tick.
    fn tick(&self, world: &mut World) {
        world.now += 1;
        let tick = ceil(world.now);
        let ends = |space: &Space| {
            let anchors = [Some(space.created), space.renewed, space.status.last_renewed];
            let is_end = |anchor: Tick| [anchor + TTL, anchor + SHORT_TTL].contains(&tick);
            space.status.expires == Some(tick) || anchors.into_iter().flatten().any(is_end)
        };
        if !is_whole(world.now) && !world.spaces.iter().any(ends) {
            world.now += 1;
        }
    }

    fn take_turn(&self, world: &mut World, turn: Turn) {
        let spend = |budget: &mut u8| *budget = budget.saturating_sub(1);
        match turn {
            Turn::Tick => self.tick(world),
            Turn::Renew(at) => {
                spend(&mut world.left.renewals);
                world.renew(at, self.without != Some(Guard::SealRule));
            }
            Turn::Edit(spec) => {
                spend(&mut world.left.edits);
                world.edit(spec);
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
                world.create_space(self.setting);
            }
            Turn::ChangeClass(class) => {
                spend(&mut world.left.class_changes);
                world.change_class(class);
            }
            Turn::NamespaceGone => world.namespace_gone(),
            Turn::Send(_, request) if self.is_prompt(request) => self.arrive(world, request, true),
            Turn::Send(_, request) => world.in_flight.push(request),
            Turn::Arrive(request) | Turn::ArriveUnheard(request) | Turn::Lose(request) => {
                world.in_flight.retain(|other| *other != request);
                if !matches!(turn, Turn::Arrive(_)) {
                    spend(&mut world.left.faults);
                }
                if !matches!(turn, Turn::Lose(_)) {
                    self.arrive(world, request, matches!(turn, Turn::Arrive(_)));
                }
            }
        }
    }

    fn people(&self, world: &World, turns: &mut Vec<Turn>) {
        let Budget { renewals, strangers, user_deletions, recreations, class_changes, edits, faults: _ } = world.left;
        let (space, tick) = (world.space, ceil(world.now));
        let living = space.filter(|space| !space.deleting);
        if let Some(space) = living.filter(|_| renewals > 0) {
            let clocks = if self.skewed { vec![tick.saturating_sub(1), tick, tick + 1] } else { vec![tick] };
            let is_new = |at: &Tick| space.renewed != Some(*at) && *at > space.created;
            turns.extend(clocks.into_iter().filter(is_new).map(Turn::Renew));
        }
        if let Some(Space { spec, .. }) = living.filter(|_| edits > 0) {
            turns.push(Turn::Edit(Spec { short: !spec.short, ..spec }));
            turns.push(Turn::Edit(Spec { protected: !spec.protected, ..spec }));
        }
        if strangers > 0 && !world.namespace.is_some_and(|namespace| namespace.terminating) {
            turns.push(Turn::Meddle);
        }
        if user_deletions > 0 && space.is_some_and(|space| !space.deleting) {
            turns.push(Turn::DeleteSpace);
        }
        if recreations > 0 && space.is_none() && is_whole(world.now) {
            turns.push(Turn::RecreateSpace);
        }
        // If the class is missing, the recorded terms apply. Without recorded terms, the space does not end before the
        // class exists again.
        if class_changes > 0 && space.is_some_and(|space| space.status.terms.is_some()) {
            let classes = [Class::Tight, Class::Missing]
                .into_iter()
                .filter(|class| *class != world.class && world.class != Class::Missing);
            turns.extend(classes.map(Turn::ChangeClass));
        }
        if world.namespace.is_some_and(|namespace| namespace.terminating) {
            turns.push(Turn::NamespaceGone);
        }
    }

    /// Delivers a request, which the API server accepts or refuses. After a successful seal, its sender deletes the
    /// namespace if the end has come.
    fn arrive(&self, world: &mut World, request: Request, heard: bool) {
        let due = |world: &World| world.space.is_some_and(|space| is_due(&space, world.class, self.setting, world.now));
        let done = world.receive(request, self.setting, due);
        let has_ended = |end| world.now >= clock::moment(end) || self.without == Some(Guard::AwaitEnd);
        if let (true, true, Request::Status { then: Some(uid), status, .. }) = (heard, done, request)
            && status.expires.is_none_or(has_ended)
        {
            let uid = (self.without != Some(Guard::NamespaceUid)).then_some(uid);
            world.in_flight.push(Request::DeleteNamespace { uid });
        }
    }

    /// Returns true if, with no actions but the operator's from this state on, the space is deleted and none of its
    /// namespaces remains.
    fn ends(&self, world: &World) -> bool {
        thread_local! {
            static MEMO: RefCell<HashMap<Situation, bool>> = RefCell::default();
        }
        let space = world.space.map(|space| Space { version: 0, ..space });
        let key = (space, world.namespace, world.now, world.class, self.setting, self.without);
        let known = MEMO.with_borrow(|memo| memo.get(&key).copied());
        known.unwrap_or_else(|| {
            let ends = self.play_out(world);
            MEMO.with_borrow_mut(|memo| memo.insert(key, ends));
            ends
        })
    }

    fn play_out(&self, world: &World) -> bool {
        const ENOUGH: usize = 128;
        let mut world = World { in_flight: Vec::new(), ..world.clone() };
        let uid = world.space.map(|space| space.uid);
        for _ in 0..ENOUGH {
            let Some(space) = world.space else {
                return world.namespace.is_none_or(|left| left.made_for != uid);
            };
            let request =
                world.in_flight.pop().or_else(|| self.view(&world, Who::Controller, space, world.namespace).decide());
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
        vec![World::new(self.budget, self.setting)]
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
        self.take_turn(&mut world, turn);
        // A request that can only be refused is dropped, since the wait for its response changes nothing.
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
    /// Returns true if every space that exists ends, see [`Self::ends`].
    pub(crate) fn can_end(&self, world: &World) -> bool {
        let endless = world.space.is_some_and(|space| space.spec.protected) && world.class != Class::Tight;
        world.wrong.is_some() || world.space.is_none() || endless || self.ends(world)
    }

    /// Returns true if the space has been deleted and no namespace is orphaned.
    pub(crate) fn is_over(&self, world: &World) -> bool {
        world.space.is_none() && !world.is_orphaned()
    }

    /// Returns true if no further action is possible.
    pub(crate) fn is_stuck(&self, world: &World) -> bool {
        let mut turns = Vec::new();
        self.actions(world, &mut turns);
        turns.is_empty()
    }
}
