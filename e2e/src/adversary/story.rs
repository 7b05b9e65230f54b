//! Owns the events of one sequence: the requests and their answers, and the state that was seen after each step.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    act::{Act, Ask, Recall, Sent},
    cast::{Cast, Class, Space},
    classes::Rules,
    history::Version,
};
use crate::{
    fault_sweep::cluster_view::Objects,
    fixtures::{name_of, text, uid_of},
};

/// A request, and its answer.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The time at which it was sent.
    pub at: DateTime<Utc>,
    /// The act.
    pub act: Act,
    /// The request.
    pub sent: Sent,
    /// The object as the API server stored it, or the sentence with which it was refused.
    pub answer: Result<Value, String>,
    /// The rules of the stored class, which the oracles read again and again. `None` for other requests, and for a class that contradicts itself.
    rules: Option<Rules>,
}

impl Deed {
    /// A request that was sent at that time, and its answer.
    pub fn new(at: DateTime<Utc>, act: Act, sent: Sent, answer: Result<Value, String>) -> Self {
        let rules = match (act, &answer) {
            (Act::Edit(..) | Act::CreateClass(_), Ok(class)) => Rules::of(&class["spec"]),
            _ => None,
        };
        Self { at, act, sent, answer, rules }
    }
}

/// The state after a step.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The time at which it was read.
    pub at: DateTime<Utc>,
    /// The objects of each space, by the space's name, and the classes, by theirs.
    pub objects: BTreeMap<String, Objects>,
}

/// A space from its creation to its end.
#[derive(Clone, Debug)]
pub struct Life<'a> {
    /// Its versions, the oldest first.
    pub versions: &'a [Version],
}

/// The course of one sequence so far.
pub struct Story {
    /// Its names.
    pub cast: Cast,
    /// The requests, in their order.
    pub deeds: Vec<Deed>,
    /// The states after each step, in their order.
    pub seen: Vec<Seen>,
    /// The versions of its spaces, by name.
    pub versions: BTreeMap<String, Vec<Version>>,
    /// The times at which the operator was restarted.
    pub restarts: Vec<DateTime<Utc>>,
    /// The maximum delay until the operator learns that a moment has passed.
    pub lateness: TimeDelta,
}

impl Story {
    /// A sequence at its start.
    pub fn new(cast: Cast, lateness: TimeDelta) -> Self {
        Self { cast, deeds: vec![], seen: vec![], versions: BTreeMap::new(), restarts: vec![], lateness }
    }

    /// Records the state after a step. Of older states only spaces and namespaces are kept.
    pub fn see(&mut self, seen: Seen) {
        if let Some(older) = self.seen.len().checked_sub(2).and_then(|place| self.seen.get_mut(place)) {
            older.objects.values_mut().for_each(|objects| objects.retain(|kind, _| kind == "DeveloperSpace" || kind == "Namespace"));
        }
        self.seen.push(seen);
    }

    /// The state before the last step, and after it.
    pub fn last_two(&self) -> Option<(Option<&Seen>, &Seen)> {
        let (last, before) = self.seen.split_last()?;
        Some((before.last(), last))
    }

    /// The spaces that ever existed, one life for each creation.
    pub fn lives(&self) -> impl Iterator<Item = Life<'_>> {
        let same = |one: &Version, other: &Version| uid_of(&one.space) == uid_of(&other.space);
        self.versions.values().flat_map(move |versions| versions.chunk_by(same)).map(|versions| Life { versions })
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| self.cast.class(*class) == name)
    }

    /// The rules that a class has had, with the time of each, except those that contradicted themselves.
    fn rules_with_times(&self, class: Class) -> impl Iterator<Item = (DateTime<Utc>, &Rules)> {
        self.deeds.iter().filter_map(move |deed| match deed.act {
            Act::Edit(of, _) | Act::CreateClass(of) if of == class => Some((deed.at, deed.rules.as_ref()?)),
            _ => None,
        })
    }

    /// The rules of a class at that time, by the last of its specs that did not contradict itself. A deleted class keeps its rules.
    pub fn rules(&self, class: Class, at: DateTime<Utc>) -> Option<&Rules> {
        self.rules_with_times(class).take_while(|(since, _)| *since <= at).map(|(_, rules)| rules).last()
    }

    /// The rules of a class just before that time and at any later one.
    pub fn rules_since(&self, class: Class, at: DateTime<Utc>) -> Vec<&Rules> {
        let at = at - TimeDelta::microseconds(1);
        let later = self.rules_with_times(class).filter(|(since, _)| *since > at).map(|(_, rules)| rules);
        self.rules(class, at).into_iter().chain(later).collect()
    }

    /// All rules that a class ever had.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rules> {
        Class::ALL.into_iter().flat_map(|class| self.rules_with_times(class)).map(|(_, rules)| rules)
    }

    /// The accepted requests.
    pub fn accepted(&self) -> impl Iterator<Item = &Deed> {
        self.deeds.iter().filter(|deed| deed.answer.is_ok())
    }

    /// The last time at which an administrator changed a class, the operator was restarted, or an owner gave up a protection or an endless life. Such
    /// a change may bring an end near, and a warning precedes that end.
    pub fn last_excuse(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let is_excuse = |act: &Act| match act {
            Act::Edit(..) | Act::DeleteClass(_) | Act::CreateClass(_) => true,
            Act::Ask(_, _, Ask::Protected(false) | Ask::Until(_)) | Act::Apply(..) | Act::Replace(..) => self.was_endless(),
            Act::Ask(_, _, Ask::Ttl(ttl)) => *ttl != "never" && self.was_endless(),
            _ => false,
        };
        let deeds = self.accepted().filter(|deed| is_excuse(&deed.act)).map(|deed| deed.at);
        deeds.chain(self.restarts.iter().copied()).filter(|at| *at <= until).max()
    }

    /// Returns true if a space of this sequence may ever have had no end by the consent of its class.
    pub fn was_endless(&self) -> bool {
        self.versions
            .values()
            .flatten()
            .any(|version| version.space["spec"]["protected"] == true || version.space["spec"]["ttl"] == "never")
            && self.all_rules().any(|rules| rules.protected || rules.never)
    }
}

impl Recall for Story {
    fn manifest(&self, space: Space) -> Option<&Value> {
        let created = self.deeds.iter().rev().filter(|deed| deed.answer.is_ok());
        created.filter(|deed| matches!(deed.act, Act::Create(_, of, ..) if of == space)).map(|deed| &deed.sent.body).next()
    }

    fn space(&self, space: Space) -> Option<&Value> {
        self.versions.get(&self.cast.space(space))?.last().map(|version| &*version.space)
    }

    fn namespace(&self, space: Space) -> Option<&Value> {
        let name = self.cast.space(space);
        self.seen.iter().rev().find_map(|seen| seen.objects.get(&name)?.get("Namespace"))
    }
}

impl Seen {
    /// The space of that name, if it exists.
    pub fn space(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("DeveloperSpace")
    }

    /// The class of that name, if it exists.
    pub fn class(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("SpaceClass")
    }

    /// The namespace of that name, if it exists.
    pub fn namespace(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)?.get("Namespace")
    }

    /// The spaces.
    pub fn spaces(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().filter_map(|objects| objects.get("DeveloperSpace"))
    }

    /// The namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().filter_map(|objects| objects.get("Namespace"))
    }

    /// The namespace that belongs to `space`, terminating or not.
    pub fn own_namespace(&self, space: &Value) -> Option<&Value> {
        let namespace = self.namespace(name_of(space))?;
        (uid_of(namespace) == text(space, "/status/namespace/uid")).then_some(namespace)
    }

    /// The namespace that belongs to `space`, unless it is terminating.
    pub fn living_namespace(&self, space: &Value) -> Option<&Value> {
        self.own_namespace(space).filter(|namespace| is_living(namespace))
    }

    /// The objects of a kind inside a namespace.
    pub fn inside<'a>(&'a self, namespace: &str, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let is_kind = move |key: &str| key.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        self.objects.get(namespace).into_iter().flatten().filter(move |(key, _)| is_kind(key)).map(|(_, object)| object)
    }
}

impl<'a> Life<'a> {
    /// The last version of the space.
    pub fn last(&self) -> &'a Version {
        &self.versions[self.versions.len() - 1]
    }

    /// The name.
    pub fn name(&self) -> &'a str {
        name_of(&self.last().space)
    }

    /// The creation time.
    pub fn created(&self) -> DateTime<Utc> {
        written(&self.last().space, "/metadata/creationTimestamp").unwrap_or_default()
    }

    /// The renewals that took effect as soon as they were accepted: the time of acceptance and the time of the renewal.
    pub fn renewals(&self) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let mut before = None;
        self.versions.iter().filter_map(move |version| {
            let renewed = version.renewed_at;
            let is_new = renewed != before;
            before = renewed;
            renewed.filter(|at| is_new && *at <= version.at + TimeDelta::seconds(59)).map(|at| (version.at, at))
        })
    }

    /// The latest moment from which its ttl may count at `now`: its creation, or a renewal that has taken effect.
    pub fn latest_anchor(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let renewals = self.versions.iter().filter(|version| version.at <= now).filter_map(|version| version.renewed_at);
        renewals.filter(|at| *at <= now + TimeDelta::seconds(61)).chain([self.created()]).max().unwrap_or_default()
    }

    /// The index of the first version that is sealed.
    pub fn sealed(&self) -> Option<usize> {
        self.versions.iter().position(|version| crate::fixtures::holds(&version.space, "Expired"))
    }
}

/// The time at `pointer`, if it is set.
pub fn written(object: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    text(object, pointer).parse().ok()
}

/// Returns true if a namespace is not terminating.
pub fn is_living(namespace: &Value) -> bool {
    namespace["metadata"]["deletionTimestamp"].is_null()
}
