//! What the operator does with a view. Every decision is the crate's; this file only carries values to it and back.

use std::{cell::RefCell, collections::HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use developerspace_operator::{
    api::{
        DeletionPolicy, DeveloperSpace, DeveloperSpaceSpec, DeveloperSpaceStatus, NamespaceRef, Subject, SubjectKind, Terms, Warning,
        conditions::{self, Reason, types},
        duration::{Ttl, parse_duration},
        time,
    },
    desired::{
        collect::{Step, step},
        lifetime::{Outlook, Stage, outlook},
        namespace::{Ownership, SeenNamespace, ownership},
        status::{Finding, InForce, Verdict, next},
        term::{Rules, retention, rules_of, term},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

use super::world::{Namespace, Request, Space, Status, Tick};

/// Spans of the class, in ticks.
pub const TTL: Tick = 3;
pub const NOTICE: Tick = 1;
pub const RETENTION: Tick = 1;

/// Longer than any tolerance, and half of `DEFAULT_RETENTION`, which counts where the class is missing.
const SECONDS: i64 = 302_400;

/// What keeps the promises. The model is run with all of them, and with each of them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The seal carries the resourceVersion that it was decided on.
    SealVersion,
    /// The namespace's DELETE carries a UID.
    NamespaceUid,
    /// Before the finalizer goes, the namespace is read anew instead of from the store.
    FreshRead,
    /// Warnings come first.
    Warning,
    /// Admission refuses to change a sealed space.
    SealRule,
    /// The namespace goes only after the seal.
    SealFirst,
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The controller, or its second replica.
    Controller,
    /// A sweep, which makes nothing and finalizes nothing.
    Gc,
}

/// What somebody sees: any of it may be old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub who: Who,
    pub now: Tick,
    pub space: Space,
    pub namespace: Option<Namespace>,
    /// The namespace as a GET has it at this moment.
    pub live: Option<Namespace>,
    pub class: bool,
    pub without: Option<Guard>,
}

thread_local! {
    static MEMO: RefCell<HashMap<View, Option<Request>>> = RefCell::default();
}

impl View {
    /// The next request, if there is something to do. The same view always gives the same answer, so it is worked out once.
    pub fn decide(self) -> Option<Request> {
        let known = MEMO.with_borrow(|memo| memo.get(&self).copied());
        known.unwrap_or_else(|| {
            let request = self.work_out();
            MEMO.with_borrow_mut(|memo| memo.insert(self, request));
            request
        })
    }

    /// `reconcile::take_step` and `gc::plan`, with the crate's decisions.
    fn work_out(self) -> Option<Request> {
        if self.space.deleting {
            return self.finalize();
        }
        let (space, now) = (space(&self.space), at(self.now));
        let rules = self.class.then(|| rules(self.has(Guard::Warning)));
        let seen = self.namespace.map(|namespace| seen(&namespace));
        let own = seen.as_ref().filter(|seen| ownership(&space, seen) == Ownership::Ours);
        let rules = rules.or_else(|| rules_of(&space, None));
        let outlook = outlook(&term(&space, rules.as_ref(), self.class, now), now);
        let report = |verdict: Verdict, recorded: Option<&SeenNamespace>, sealed: bool, then: Option<&SeenNamespace>| {
            self.report(&space, &outlook, (verdict, recorded, sealed), then.and_then(uid))
        };
        let expired = |working| Verdict { reason: Reason::Expired, message: String::new(), working };
        match step(&space, seen.as_ref(), &outlook, retention(rules.as_ref()), now) {
            Step::Seal if !self.has(Guard::SealFirst) && own.is_some_and(|own| own.terminating.is_none()) => self.delete(own),
            Step::Seal => report(expired(own.is_some()), own, true, own.filter(|own| own.terminating.is_none())),
            Step::AwaitEnd(_) => None,
            Step::DeleteNamespace(_) => self.delete(own),
            Step::AwaitNamespace(_) => report(expired(true), own, true, None),
            Step::Keep(_) => report(expired(false), own, true, None),
            Step::Forget => Some(Request::Forget { uid: self.space.uid, version: self.space.version }),
            Step::Live if self.who == Who::Gc => {
                let is_due = matches!(outlook.stage, Stage::Warn(_));
                is_due.then(|| report(Verdict::new(Reason::Provisioned, ""), own, false, None))?
            }
            Step::Live => match (&seen, own) {
                (None, _) if !self.class => report(Verdict::new(Reason::ClassNotFound, ""), None, false, None),
                (None, _) => Some(Request::CreateNamespace { made_for: self.space.uid, replaces: self.space.status.namespace }),
                (Some(_), None) => report(Verdict::new(Reason::NamespaceConflict, ""), None, false, None),
                (_, Some(own)) if own.terminating.is_some() => {
                    report(Verdict::new(Reason::NamespaceTerminating, ""), Some(own), false, None)
                }
                (_, Some(own)) => report(Verdict::new(Reason::Provisioned, ""), Some(own), false, None),
            },
        }
    }

    /// `finalize::finalize`: what it does cannot be undone, so it asks the server and not the store.
    fn finalize(self) -> Option<Request> {
        if self.who == Who::Gc {
            return None;
        }
        let read = if self.has(Guard::FreshRead) { self.live } else { self.namespace };
        let space = space(&self.space);
        match read.map(|namespace| seen(&namespace)).filter(|seen| ownership(&space, seen) == Ownership::Ours) {
            None => Some(Request::RemoveFinalizer { version: self.space.version }),
            Some(seen) if seen.terminating.is_none() => self.delete(Some(&seen)),
            Some(_) => None,
        }
    }

    fn delete(self, namespace: Option<&SeenNamespace>) -> Option<Request> {
        let uid = uid(namespace?)?;
        Some(Request::DeleteNamespace { uid: self.has(Guard::NamespaceUid).then_some(uid) })
    }

    /// `report::report`: nothing is written where nothing differs.
    fn report(
        self,
        space: &DeveloperSpace,
        outlook: &Outlook,
        (verdict, recorded, sealed): (Verdict, Option<&SeenNamespace>, bool),
        then: Option<u8>,
    ) -> Option<Request> {
        let namespace = recorded.map(|seen| NamespaceRef { name: "alice".into(), uid: seen.uid.to_string() });
        let in_force = InForce::default();
        let status = read_status(&next(&Finding { space, in_force, namespace, outlook, sealed, verdict }, at(self.now)));
        // What nothing reads is left out, so that states that differ only there are one.
        let status = Status { idle: status.idle.filter(|_| status.sealed.is_some()), ..status };
        let version = (!sealed || self.has(Guard::SealVersion)).then_some(self.space.version);
        (status != self.space.status).then_some(Request::Status { version, status, then })
    }

    fn has(self, guard: Guard) -> bool {
        self.without != Some(guard)
    }
}

/// Whether the time of a stored space is up, by what is stored.
pub fn is_due(stored: &Space, class: bool, now: Tick) -> bool {
    let (space, rules) = (space(stored), rules(true));
    outlook(&term(&space, Some(&rules), class, at(now)), at(now)).stage == Stage::Due
}

fn rules(warnings: bool) -> Rules {
    Rules {
        default_ttl: Some(Ttl::After(span(TTL))),
        warn_before: if warnings { vec![span(NOTICE)] } else { Vec::new() },
        retain_expired: Some(span(RETENTION)),
        ..Rules::default()
    }
}

fn span(ticks: Tick) -> TimeDelta {
    TimeDelta::seconds(i64::from(ticks) * SECONDS)
}

fn at(tick: Tick) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + span(tick)
}

fn tick(time: DateTime<Utc>) -> Tick {
    let seconds = (time - at(0)).num_seconds();
    assert_eq!(seconds % SECONDS, 0, "between two ticks: {time}");
    Tick::try_from(seconds / SECONDS).unwrap()
}

fn uid(seen: &SeenNamespace) -> Option<u8> {
    seen.uid.to_string().parse().ok()
}

fn seen(namespace: &Namespace) -> SeenNamespace {
    SeenNamespace {
        uid: namespace.uid.to_string().as_str().into(),
        version: 1,
        created: at(namespace.created),
        claim: namespace.made_for.map(|uid| uid.to_string().as_str().into()),
        replaces: namespace.replaces.map(|uid| Box::new(uid.to_string().as_str().into())),
        terminating: namespace.terminating.then(String::new),
        ..SeenNamespace::default()
    }
}

fn space(stored: &Space) -> DeveloperSpace {
    let Space { uid, version, created, renewed, deleting: _, status } = *stored;
    let metadata = ObjectMeta {
        name: Some("alice".into()),
        uid: Some(uid.to_string()),
        resource_version: Some(version.to_string()),
        creation_timestamp: Some(time::to_k8s(at(created))),
        ..ObjectMeta::default()
    };
    let spec = DeveloperSpaceSpec {
        class_name: Some("standard".into()),
        owner: Subject { kind: SubjectKind::User, name: "alice@example.com".into(), namespace: None },
        members: Vec::new(),
        display_name: None,
        description: None,
        contact: None,
        labels: [].into(),
        annotations: [].into(),
        ttl: None,
        expires_at: None,
        renewed_at: renewed.map(at),
        quota: [].into(),
        limit_range: Vec::new(),
        protected: false,
        deletion_policy: DeletionPolicy::Delete,
    };
    DeveloperSpace { metadata, spec, status: Some(write_status(&status)) }
}

fn write_status(status: &Status) -> DeveloperSpaceStatus {
    let Status { warned, sealed, idle, namespace, expires, last_renewed } = *status;
    let condition = |type_: &str, is: bool, since: Option<Tick>| Condition {
        type_: type_.to_owned(),
        status: conditions::status_str(is).to_owned(),
        reason: "Because".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: time::to_k8s(at(since.unwrap_or_default())),
    };
    let seconds = |ticks: Tick| format!("{}s", i64::from(ticks) * SECONDS);
    DeveloperSpaceStatus {
        terms: Some(Terms {
            ttl: Some(seconds(TTL)),
            warn_before: vec![seconds(NOTICE)],
            retain_expired: Some(seconds(RETENTION)),
            ..Terms::default()
        }),
        namespace: namespace.map(|uid| NamespaceRef { name: "alice".into(), uid: uid.to_string() }),
        expires_at: expires.map(at),
        last_renewed_at: last_renewed.map(at),
        last_warning: warned.map(|(given, of)| Warning {
            at: at(given),
            before: format!("{}s", i64::from(NOTICE) * SECONDS),
            expires_at: at(of),
        }),
        conditions: vec![condition(types::EXPIRED, sealed.is_some(), sealed), condition(types::RECONCILING, idle.is_none(), idle)],
        ..DeveloperSpaceStatus::default()
    }
}

fn read_status(status: &DeveloperSpaceStatus) -> Status {
    let since = |type_: &str, is: &str| {
        let condition = conditions::find(&status.conditions, type_).filter(|condition| condition.status == is)?;
        conditions::since(&condition.last_transition_time).map(tick)
    };
    if let Some(warning) = &status.last_warning {
        assert_eq!(parse_duration(&warning.before), Ok(span(NOTICE)), "the class has one edge");
    }
    assert_eq!((&status.postponed, &status.last_notice), (&None, &None), "no class and no ttl changes here");
    Status {
        warned: status.last_warning.as_ref().map(|warning| (tick(warning.at), tick(warning.expires_at))),
        sealed: since(types::EXPIRED, "True"),
        idle: since(types::RECONCILING, "False"),
        namespace: status.namespace.as_ref().and_then(|namespace| namespace.uid.parse().ok()),
        expires: status.expires_at.map(tick),
        last_renewed: status.last_renewed_at.map(tick),
    }
}
