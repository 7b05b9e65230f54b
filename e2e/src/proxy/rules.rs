//! Owns the active rules, the numbering of writes, and the selection of the fault for each request.

use std::{collections::HashMap, time::Instant};

use super::{
    fault::{EventFault, EventRule, Fault, Place, Progress, Rule, Times},
    request_info::RequestInfo,
};

/// The ID of a rule, with which its progress is queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

#[derive(Default)]
pub(super) struct Rules {
    next: u64,
    requests: Vec<(RuleId, Rule, Struck)>,
    events: Vec<(RuleId, EventRule, Struck)>,
    /// The number of writes by space.
    numbers: HashMap<String, u32>,
    /// The number of requests by space and signature.
    signatures: HashMap<(Option<String>, String), u32>,
    /// The number of watch events by space and resource, counted while a rule for the space exists.
    seen: HashMap<(String, String), u32>,
}

#[derive(Default)]
struct Struck {
    hits: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        let id = self.id();
        self.requests.push((id, rule, Struck::default()));
        id
    }

    pub(super) fn add_event(&mut self, rule: EventRule) -> RuleId {
        let id = self.id();
        self.events.push((id, rule, Struck::default()));
        id
    }

    fn id(&mut self) -> RuleId {
        self.next += 1;
        RuleId(self.next)
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        self.requests.retain(|(known, ..)| *known != id);
        self.events.retain(|(known, ..)| *known != id);
    }

    /// Restarts the numbering of the writes and events of `space` at one.
    pub(super) fn restart_count(&mut self, space: &str) {
        self.numbers.remove(space);
        self.signatures.retain(|(known, _), _| known.as_deref() != Some(space));
        self.seen.retain(|(known, _), _| known != space);
    }

    pub(super) fn progress(&self, id: RuleId) -> Option<Progress> {
        let rule = self.requests.iter().find(|(known, ..)| *known == id).map(|(_, rule, struck)| struck.progress(rule.times));
        let event = || self.events.iter().find(|(known, ..)| *known == id).map(|(_, _, struck)| struck.progress(Times::Count(1)));
        rule.or_else(event)
    }

    /// Numbers a request and returns the fault that applies to it.
    pub(super) fn judge(&mut self, request_info: &RequestInfo) -> (Place, Option<(String, Fault)>) {
        let place = self.place(request_info);
        let now = Instant::now();
        let met =
            self.requests.iter_mut().find(|(_, rule, struck)| !struck.is_over(rule.times, now) && (rule.matches)(request_info, place));
        let fault = met.map(|(_, rule, struck)| {
            struck.note(now);
            (rule.name.clone(), rule.fault.clone())
        });
        (place, fault)
    }

    fn place(&mut self, request_info: &RequestInfo) -> Place {
        let nth = self.signatures.entry((request_info.space.clone(), request_info.signature())).or_default();
        *nth += 1;
        let nth = *nth;
        let number = request_info.space.as_ref().filter(|_| request_info.is_numbered()).map(|space| {
            let number = self.numbers.entry(space.clone()).or_default();
            *number += 1;
            *number
        });
        Place { number, nth }
    }

    /// Returns the fault that applies to a watch event about `space`.
    pub(super) fn judge_event(&mut self, space: &str, resource: &str) -> Option<EventFault> {
        if !self.events.iter().any(|(_, rule, _)| rule.space == space) {
            return None;
        }
        let count = self.seen.entry((space.to_owned(), resource.to_owned())).or_default();
        *count += 1;
        let count = *count;
        let (_, rule, struck) = self.events.iter_mut().find(|(_, rule, _)| {
            let right_resource = rule.resource.as_deref().is_none_or(|wanted| wanted == resource);
            rule.space == space && right_resource && rule.nth.is_none_or(|nth| nth == count)
        })?;
        struck.note(Instant::now());
        Some(rule.fault)
    }
}

impl Struck {
    fn note(&mut self, now: Instant) {
        self.hits += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn is_over(&self, times: Times, now: Instant) -> bool {
        match times {
            Times::Count(count) => self.hits >= count,
            Times::For(span) => self.first.is_some_and(|first| now >= first + span),
        }
    }

    fn progress(&self, times: Times) -> Progress {
        let over = match times {
            Times::Count(count) => self.last.filter(|_| self.hits >= count),
            Times::For(span) => self.first.map(|first| first + span),
        };
        Progress { hits: self.hits, first: self.first, over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn write(space: &str, resource: &str) -> RequestInfo {
        RequestInfo::of(&Method::DELETE, &format!("/api/v1/namespaces/{space}/{resource}/developerspace").parse().unwrap(), b"")
    }

    #[test]
    fn writes_are_numbered_by_space_and_by_signature() {
        let mut rules = Rules::default();
        let places: Vec<Place> = [("a", "limitranges"), ("a", "resourcequotas"), ("b", "limitranges"), ("a", "limitranges")]
            .map(|(space, resource)| rules.judge(&write(space, resource)).0)
            .into();
        assert_eq!(
            places.iter().map(|place| (place.number, place.nth)).collect::<Vec<_>>(),
            [(Some(1), 1), (Some(2), 1), (Some(1), 1), (Some(3), 2)]
        );
        rules.restart_count("a");
        assert_eq!(rules.judge(&write("a", "limitranges")).0, Place { number: Some(1), nth: 1 });
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says() {
        let mut rules = Rules::default();
        let rule = Rule::write("x", Fault::ResetBefore, ("a", "delete-limitranges", 2)).times(Times::Count(2));
        let id = rules.add(rule);
        let struck: Vec<bool> = (0..5).map(|_| rules.judge(&write("a", "limitranges")).1.is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert!(rules.progress(id).is_some_and(|progress| progress.hits == 2 && progress.over.is_some()));
    }

    #[test]
    fn the_nth_event_is_met() {
        let mut rules = Rules::default();
        rules.add_event(EventRule { space: "a".into(), resource: Some("namespaces".into()), nth: Some(2), fault: EventFault::Drop });
        let met: Vec<Option<EventFault>> = (0..3).map(|_| rules.judge_event("a", "namespaces")).collect();
        assert_eq!(met, [None, Some(EventFault::Drop), None]);
        assert_eq!(rules.judge_event("b", "namespaces"), None);
    }
}
