//! Owns the active rules, the numbering of writes, and the selection of the fault for each request and watch event.

use std::{collections::HashMap, time::Instant};

use super::{
    fault::{EventFault, EventRule, Fault, FaultRule, RequestPosition, RuleLimit, RuleProgress},
    request_info::RequestInfo,
};

/// The ID of a rule, with which its progress is queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

#[derive(Default)]
pub(super) struct ActiveRules {
    next: u64,
    requests: Vec<(RuleId, FaultRule, Hits)>,
    events: Vec<(RuleId, EventRule, Hits)>,
    /// The number of writes by space.
    numbers: HashMap<String, u32>,
    /// The number of requests by space and signature.
    signatures: HashMap<(Option<String>, String), u32>,
    /// The number of watch events by space and resource, counted while a rule for the space exists.
    watch_events: HashMap<(String, String), u32>,
}

/// The requests or events that a rule has affected.
#[derive(Default)]
struct Hits {
    count: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl ActiveRules {
    pub(super) fn add(&mut self, rule: FaultRule) -> RuleId {
        let id = self.id();
        self.requests.push((id, rule, Hits::default()));
        id
    }

    pub(super) fn add_event(&mut self, rule: EventRule) -> RuleId {
        let id = self.id();
        self.events.push((id, rule, Hits::default()));
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
        self.watch_events.retain(|(known, _), _| known != space);
    }

    pub(super) fn progress(&self, id: RuleId) -> Option<RuleProgress> {
        let rule =
            self.requests.iter().find(|(known, ..)| *known == id).map(|(_, rule, hits)| hits.progress(rule.limit));
        let event = || {
            self.events.iter().find(|(known, ..)| *known == id).map(|(_, _, hits)| hits.progress(RuleLimit::Count(1)))
        };
        rule.or_else(event)
    }

    /// Numbers a request and returns the fault that applies to it.
    pub(super) fn match_request(&mut self, request_info: &RequestInfo) -> (RequestPosition, Option<(String, Fault)>) {
        let position = self.next_position(request_info);
        let now = Instant::now();
        let matched = self
            .requests
            .iter_mut()
            .find(|(_, rule, hits)| !hits.is_exhausted(rule.limit, now) && (rule.matches)(request_info, position));
        let fault = matched.map(|(_, rule, hits)| {
            hits.record(now);
            (rule.name.clone(), rule.fault.clone())
        });
        (position, fault)
    }

    /// Numbers a request.
    fn next_position(&mut self, request_info: &RequestInfo) -> RequestPosition {
        let nth = self.signatures.entry((request_info.space.clone(), request_info.signature())).or_default();
        *nth += 1;
        let nth = *nth;
        let number = request_info.space.as_ref().filter(|_| request_info.is_numbered()).map(|space| {
            let number = self.numbers.entry(space.clone()).or_default();
            *number += 1;
            *number
        });
        RequestPosition { number, nth }
    }

    /// Returns the fault that applies to a watch event about `space`.
    pub(super) fn match_event(&mut self, space: &str, resource: &str) -> Option<EventFault> {
        if !self.events.iter().any(|(_, rule, _)| rule.space == space) {
            return None;
        }
        let count = self.watch_events.entry((space.to_owned(), resource.to_owned())).or_default();
        *count += 1;
        let count = *count;
        let (_, rule, hits) = self.events.iter_mut().find(|(_, rule, _)| {
            let right_resource = rule.resource.as_deref().is_none_or(|wanted| wanted == resource);
            rule.space == space && right_resource && rule.nth.is_none_or(|nth| nth == count)
        })?;
        hits.record(Instant::now());
        Some(rule.fault)
    }
}

impl Hits {
    fn record(&mut self, now: Instant) {
        self.count += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn is_exhausted(&self, limit: RuleLimit, now: Instant) -> bool {
        match limit {
            RuleLimit::Count(count) => self.count >= count,
            RuleLimit::For(duration) => self.first.is_some_and(|first| now >= first + duration),
        }
    }

    fn progress(&self, limit: RuleLimit) -> RuleProgress {
        let end = match limit {
            RuleLimit::Count(count) => self.last.filter(|_| self.count >= count),
            RuleLimit::For(duration) => self.first.map(|first| first + duration),
        };
        RuleProgress { hits: self.count, first: self.first, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fault::WriteSelector;
    use http::Method;

    fn write(space: &str, resource: &str) -> RequestInfo {
        RequestInfo::parse(
            &Method::DELETE,
            &format!("/api/v1/namespaces/{space}/{resource}/developerspace").parse().unwrap(),
            b"",
        )
    }

    #[test]
    fn writes_are_numbered_by_space_and_by_signature() {
        let mut rules = ActiveRules::default();
        let positions: Vec<RequestPosition> =
            [("a", "limitranges"), ("a", "resourcequotas"), ("b", "limitranges"), ("a", "limitranges")]
                .map(|(space, resource)| rules.match_request(&write(space, resource)).0)
                .into();
        assert_eq!(
            positions.iter().map(|position| (position.number, position.nth)).collect::<Vec<_>>(),
            [(Some(1), 1), (Some(2), 1), (Some(1), 1), (Some(3), 2)]
        );
        rules.restart_count("a");
        assert_eq!(rules.match_request(&write("a", "limitranges")).0, RequestPosition { number: Some(1), nth: 1 });
    }

    #[test]
    fn a_rule_affects_as_many_requests_as_its_limit() {
        let mut rules = ActiveRules::default();
        let rule = FaultRule::write(
            "x",
            Fault::ResetBefore,
            WriteSelector { space: "a", signature: "delete-limitranges", nth: 2 },
        )
        .limit(RuleLimit::Count(2));
        let id = rules.add(rule);
        let hits: Vec<bool> = (0..5).map(|_| rules.match_request(&write("a", "limitranges")).1.is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(rules.progress(id).is_some_and(|progress| progress.hits == 2 && progress.end.is_some()));
    }

    #[test]
    fn a_rule_for_the_nth_event_affects_that_event_only() {
        let mut rules = ActiveRules::default();
        rules.add_event(EventRule {
            space: "a".into(),
            resource: Some("namespaces".into()),
            nth: Some(2),
            fault: EventFault::Drop,
        });
        let matched: Vec<Option<EventFault>> = (0..3).map(|_| rules.match_event("a", "namespaces")).collect();
        assert_eq!(matched, [None, Some(EventFault::Drop), None]);
        assert_eq!(rules.match_event("b", "namespaces"), None);
    }
}
