//! Owns the trace of one sequence: the requests and their responses, and the observed state after each step.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    action::{Action, ApiRequest, KnownObjects, SpecChange},
    classes::Rules,
    history::Version,
    names::{Class, Names, Space},
};
use crate::{
    fault_sweep::cluster_view::Objects,
    fixtures::{name_of, text, uid_of},
};

/// A request, and its response.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The time at which it was sent.
    pub at: DateTime<Utc>,
    /// The action.
    pub action: Action,
    /// The request.
    pub request: ApiRequest,
    /// The object as the API server stored it, or the message with which it was refused.
    pub response: Result<Value, String>,
    /// The rules of the stored class, which the oracles read again and again. `None` for other requests, and for a
    /// class that contradicts itself.
    rules: Option<Rules>,
}

impl Exchange {
    /// A request that was sent at that time, and its response.
    pub(super) fn new(at: DateTime<Utc>, action: Action, request: ApiRequest, response: Result<Value, String>) -> Self {
        let rules = match (action, &response) {
            (Action::ChangeClass(..) | Action::CreateClass(_), Ok(class)) => Rules::of(&class["spec"]),
            _ => None,
        };
        Self { at, action, request, response, rules }
    }
}

/// The state after a step.
#[derive(Clone, Debug)]
pub(super) struct ObservedState {
    /// The time at which it was read.
    pub at: DateTime<Utc>,
    /// The objects of each space, by the space's name, and the classes, by theirs.
    pub objects: BTreeMap<String, Objects>,
}

/// One space from its creation to its removal. Another space may have the same name later.
#[derive(Clone, Debug)]
pub(super) struct Incarnation<'a> {
    /// Its versions, the oldest first.
    pub versions: &'a [Version],
}

/// The course of one sequence so far.
pub(super) struct Trace {
    /// Its names.
    pub names: Names,
    /// The requests, in their order.
    pub exchanges: Vec<Exchange>,
    /// The states after each step, in their order.
    pub states: Vec<ObservedState>,
    /// The versions of its spaces, by name.
    pub versions: BTreeMap<String, Vec<Version>>,
    /// The times at which the operator was restarted.
    pub restarts: Vec<DateTime<Utc>>,
    /// The maximum delay until the operator learns that a moment has passed.
    pub lateness: TimeDelta,
}

impl Trace {
    /// A sequence at its start.
    pub(super) fn new(names: Names, lateness: TimeDelta) -> Self {
        Self { names, exchanges: vec![], states: vec![], versions: BTreeMap::new(), restarts: vec![], lateness }
    }

    /// Records the state after a step. Of older states only spaces and namespaces are kept.
    pub(super) fn record_state(&mut self, state: ObservedState) {
        if let Some(older) = self.states.len().checked_sub(2).and_then(|place| self.states.get_mut(place)) {
            older
                .objects
                .values_mut()
                .for_each(|objects| objects.retain(|kind, _| kind == "DeveloperSpace" || kind == "Namespace"));
        }
        self.states.push(state);
    }

    /// The state before the last step, and after it.
    pub(super) fn last_two(&self) -> Option<(Option<&ObservedState>, &ObservedState)> {
        let (last, before) = self.states.split_last()?;
        Some((before.last(), last))
    }

    /// The spaces that ever existed, one incarnation for each creation.
    pub(super) fn incarnations(&self) -> impl Iterator<Item = Incarnation<'_>> {
        let same = |one: &Version, other: &Version| uid_of(&one.space) == uid_of(&other.space);
        self.versions
            .values()
            .flat_map(move |versions| versions.chunk_by(same))
            .map(|versions| Incarnation { versions })
    }

    /// The class of that name.
    pub(super) fn class(&self, name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| self.names.class(*class) == name)
    }

    /// The rules that a class has had, with the time of each, except those that contradicted themselves.
    fn rules_with_times(&self, class: Class) -> impl Iterator<Item = (DateTime<Utc>, &Rules)> {
        self.exchanges.iter().filter_map(move |exchange| match exchange.action {
            Action::ChangeClass(of, _) | Action::CreateClass(of) if of == class => {
                Some((exchange.at, exchange.rules.as_ref()?))
            }
            _ => None,
        })
    }

    /// The rules of a class at that time, by the last of its specs that did not contradict itself. A deleted class
    /// keeps its rules.
    pub(super) fn rules(&self, class: Class, at: DateTime<Utc>) -> Option<&Rules> {
        self.rules_with_times(class).take_while(|(since, _)| *since <= at).map(|(_, rules)| rules).last()
    }

    /// The rules of a class just before that time. In memory, no time passes between the reading of a state and the
    /// next request.
    pub(super) fn rules_before(&self, class: Class, at: DateTime<Utc>) -> Option<&Rules> {
        self.rules_with_times(class).take_while(|(since, _)| *since < at).map(|(_, rules)| rules).last()
    }

    /// The rules of a class just before that time and at any later one.
    pub(super) fn rules_since(&self, class: Class, at: DateTime<Utc>) -> Vec<&Rules> {
        let later = self.rules_with_times(class).filter(|(since, _)| *since >= at).map(|(_, rules)| rules);
        self.rules_before(class, at).into_iter().chain(later).collect()
    }

    /// All rules that a class ever had.
    pub(super) fn all_rules(&self) -> impl Iterator<Item = &Rules> {
        Class::ALL.into_iter().flat_map(|class| self.rules_with_times(class)).map(|(_, rules)| rules)
    }

    /// The accepted requests.
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().filter(|exchange| exchange.response.is_ok())
    }

    /// The last time at which an administrator changed a class, the operator was restarted, or an owner gave up
    /// protection or a ttl of never. Such a change may bring an end near, and a warning precedes that end.
    pub(super) fn last_allowed_shortening(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let may_shorten = |action: &Action| match action {
            Action::ChangeClass(..) | Action::DeleteClass(_) | Action::CreateClass(_) => true,
            Action::ChangeSpec(_, _, SpecChange::Protected(false) | SpecChange::Until(_))
            | Action::Apply(..)
            | Action::Replace(..) => self.was_endless(),
            Action::ChangeSpec(_, _, SpecChange::Ttl(ttl)) => *ttl != "never" && self.was_endless(),
            _ => false,
        };
        let exchanges = self.accepted().filter(|exchange| may_shorten(&exchange.action)).map(|exchange| exchange.at);
        exchanges.chain(self.restarts.iter().copied()).filter(|at| *at <= until).max()
    }

    /// Returns true if a space of this sequence may ever have had no end by the consent of its class.
    pub(super) fn was_endless(&self) -> bool {
        self.versions
            .values()
            .flatten()
            .any(|version| version.space["spec"]["protected"] == true || version.space["spec"]["ttl"] == "never")
            && self.all_rules().any(|rules| rules.protected || rules.never)
    }
}

impl KnownObjects for Trace {
    fn manifest(&self, space: Space) -> Option<&Value> {
        let created = self.exchanges.iter().rev().filter(|exchange| exchange.response.is_ok());
        created
            .filter(|exchange| matches!(exchange.action, Action::Create(_, of, ..) if of == space))
            .map(|exchange| &exchange.request.body)
            .next()
    }

    fn space(&self, space: Space) -> Option<&Value> {
        self.versions.get(&self.names.space(space))?.last().map(|version| &*version.space)
    }

    fn namespace(&self, space: Space) -> Option<&Value> {
        let name = self.names.space(space);
        self.states.iter().rev().find_map(|state| state.objects.get(&name)?.get("Namespace"))
    }
}

impl ObservedState {
    /// The space of that name, if it exists.
    pub(super) fn space(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("DeveloperSpace")
    }

    /// The class of that name, if it exists.
    pub(super) fn class(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("SpaceClass")
    }

    /// The namespace of that name, if it exists.
    pub(super) fn namespace(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("Namespace")
    }

    /// The spaces.
    pub(super) fn spaces(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().filter_map(|objects| objects.get("DeveloperSpace"))
    }

    /// The namespaces.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().filter_map(|objects| objects.get("Namespace"))
    }

    /// The namespace that belongs to `space`, terminating or not.
    pub(super) fn own_namespace(&self, space: &Value) -> Option<&Value> {
        let namespace = self.namespace(name_of(space))?;
        (uid_of(namespace) == text(space, "/status/namespace/uid")).then_some(namespace)
    }

    /// The namespace that belongs to `space`, unless it is terminating.
    pub(super) fn living_namespace(&self, space: &Value) -> Option<&Value> {
        self.own_namespace(space).filter(|namespace| is_living(namespace))
    }

    /// The objects of a kind inside a namespace.
    pub(super) fn inside<'a>(&'a self, namespace: &str, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let is_kind =
            move |key: &str| key.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        self.objects.get(namespace).into_iter().flatten().filter(move |(key, _)| is_kind(key)).map(|(_, object)| object)
    }
}

impl<'a> Incarnation<'a> {
    /// The last version of the space.
    pub(super) fn last(&self) -> &'a Version {
        &self.versions[self.versions.len() - 1]
    }

    /// The name.
    pub(super) fn name(&self) -> &'a str {
        name_of(&self.last().space)
    }

    /// The creation time.
    pub(super) fn created(&self) -> DateTime<Utc> {
        written(&self.last().space, "/metadata/creationTimestamp").unwrap_or_default()
    }

    /// The renewals that took effect as soon as they were accepted: the time of acceptance and the time of the renewal.
    pub(super) fn renewals(&self) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let mut before = None;
        self.versions.iter().filter_map(move |version| {
            let renewed = version.renewed_at;
            let is_new = renewed != before;
            before = renewed;
            renewed.filter(|at| is_new && *at <= version.at + TimeDelta::seconds(59)).map(|at| (version.at, at))
        })
    }

    /// The latest moment from which its ttl may count at `now`: its creation, or a renewal that has taken effect.
    pub(super) fn latest_anchor(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let renewals =
            self.versions.iter().filter(|version| version.at <= now).filter_map(|version| version.renewed_at);
        renewals.filter(|at| *at <= now + TimeDelta::seconds(61)).chain([self.created()]).max().unwrap_or_default()
    }

    /// The index of the first version that is sealed.
    pub(super) fn sealed(&self) -> Option<usize> {
        self.versions.iter().position(|version| crate::fixtures::holds(&version.space, "Expired"))
    }
}

/// The time at `pointer`, if it is set.
pub(super) fn written(object: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    text(object, pointer).parse().ok()
}

/// Returns true if a namespace is not terminating.
pub(super) fn is_living(namespace: &Value) -> bool {
    namespace["metadata"]["deletionTimestamp"].is_null()
}
