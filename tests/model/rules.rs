//! The operator's reaction to a view. The crate makes every decision; this file only calls it and turns the results
//! into requests.

use std::{cell::RefCell, collections::HashMap};

use developerspace_operator::{
    api::{DeveloperSpace, DeveloperSpaceStatus, NamespaceRef, SpaceClassSpec, conditions::Reason},
    desired::{
        expiry::{Step, step},
        lifetime::{
            inputs::{is_protected, is_sealed, lifetime_inputs, retention, rules_of, terms},
            outlook::{Outlook, outlook},
            rules::LifetimeRules,
            stage::Stage,
        },
        namespace::{Ownership, SeenNamespace, ownership},
        status::{InForceStatus, Readiness, StatusInputs, end_counts_from_write, next_status},
    },
};

use super::{
    clock::{self, Moment, Tick},
    stored::Setting,
    world::{Class, Namespace, Request, Space, Status},
};

/// The mechanisms that uphold the guarantees. The model runs with all of them, and with each of them switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// The seal carries the resourceVersion that it was decided on.
    SealVersion,
    /// The namespace's DELETE carries a UID.
    NamespaceUid,
    /// Before the finalizer is removed, the namespace is read from the API server and not from the store.
    FreshRead,
    /// Before the status of a sealed space stops recording its namespace, the namespace is read from the API server.
    ReadAtTheSeal,
    /// A space is warned before it is sealed.
    Warning,
    /// Admission refuses to change a sealed space.
    SealRule,
    /// The namespace is deleted only after the seal.
    SealFirst,
    /// A space that is sealed before its end keeps its namespace until the end.
    AwaitEnd,
    /// An end that a change of the class or of the spec brings forward is postponed by a notice.
    NoticeOfChange,
    /// The last renewal that counted keeps counting after a renewal that does not count.
    LastRenewal,
}

/// The component that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// The controller, or its second replica.
    Controller,
    /// A sweep, which creates nothing and finalizes nothing.
    Gc,
}

/// The state on which the controller or a sweep decides. The space and the namespace may be outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub who: Who,
    pub now: Moment,
    pub space: Space,
    pub namespace: Option<Namespace>,
    /// The namespace as a GET returns it at this moment.
    pub live: Option<Namespace>,
    pub class: Class,
    pub setting: Setting,
    pub without: Option<Guard>,
}

/// `plan::Observed`: the values that are derived from a view.
struct Observed {
    space: DeveloperSpace,
    class: Option<SpaceClassSpec>,
    rules: Option<LifetimeRules>,
    outlook: Outlook,
    /// The namespace with the space's name, if it belongs to the space.
    own: Option<SeenNamespace>,
}

impl Observed {
    fn alive(&self) -> Option<&SeenNamespace> {
        self.own.as_ref().filter(|own| own.terminating.is_none())
    }
}

/// The content of the next status. The terms of the class are recorded only if `admitted` is true.
struct Report<'a> {
    reason: Reason,
    working: bool,
    recorded: Option<&'a SeenNamespace>,
    sealed: bool,
    /// True if the space was admitted earlier or has just been admitted.
    admitted: bool,
}

thread_local! {
    static MEMO: RefCell<HashMap<View, Option<Request>>> = RefCell::default();
}

impl View {
    /// Returns the next request, if any. The result depends only on the view, so it is cached.
    pub(crate) fn decide(self) -> Option<Request> {
        let known = MEMO.with_borrow(|memo| memo.get(&self).copied());
        known.unwrap_or_else(|| {
            let request = self.work_out();
            MEMO.with_borrow_mut(|memo| memo.insert(self, request));
            request
        })
    }

    /// `observe::observe`.
    fn observe(self) -> Observed {
        let (mut space, now) = (self.setting.space(&self.space), self.setting.clock.now(self.now));
        if !self.has(Guard::LastRenewal) {
            space.status = space.status.map(|status| DeveloperSpaceStatus { last_renewed_at: None, ..status });
        }
        let class = self.setting.class(self.class);
        let rules = rules_of(&space, class.as_ref());
        let mut inputs =
            lifetime_inputs(&space, rules.as_ref(), self.setting.is_accepted(self.class, &self.space, self.now), now);
        inputs.before = inputs.before.filter(|_| self.has(Guard::NoticeOfChange));
        let seen = self.namespace.map(|namespace| self.setting.seen(&namespace));
        let own = seen.filter(|seen| ownership(&space, seen) == Ownership::Ours);
        Observed { class, rules, outlook: outlook(&inputs, now), own, space }
    }

    /// `reconcile::take_step` and `gc::plan`, with the crate's decisions.
    fn work_out(self) -> Option<Request> {
        // The class goes missing only after the terms were recorded. This view is older, and so is the resourceVersion
        // of any write based on it.
        if self.class == Class::Missing && self.space.status.terms.is_none() {
            return None;
        }
        let observed = self.observe();
        let now = self.setting.clock.now(self.now);
        let step =
            step(&observed.space, observed.own.as_ref(), &observed.outlook, retention(observed.rules.as_ref()), now);
        let expired = |working| self.expired(&observed, working);
        match step {
            Step::AwaitEnd(_) if self.has(Guard::AwaitEnd) => None,
            Step::Seal if self.who == Who::Gc && observed.outlook.expires_at.is_some_and(|end| now < end) => None,
            Step::Seal if self.space.deleting && observed.alive().is_none() => self.finalize(&observed),
            Step::Seal if !self.has(Guard::SealFirst) && observed.alive().is_some() => self.delete(observed.alive()),
            Step::Seal => expired(observed.own.is_some()),
            Step::Live if self.who == Who::Gc => self.announce(&observed),
            _ if self.space.deleting && self.who == Who::Controller => self.finalize(&observed),
            Step::DeleteNamespace(_) | Step::AwaitEnd(_) => self.delete(observed.alive()),
            Step::AwaitNamespace(_) | Step::Retain(_) if self.who == Who::Gc => None,
            Step::AwaitNamespace(_) => expired(true),
            Step::Retain(_) => expired(false),
            Step::DeleteSpace if self.space.deleting => None,
            Step::DeleteSpace => Some(Request::Forget { uid: self.space.uid, version: self.space.version }),
            Step::Live => self.live(&observed),
        }
    }

    /// `admit` and `provision`.
    fn live(self, observed: &Observed) -> Option<Request> {
        let own = observed.own.as_ref();
        let accepted = self.setting.is_accepted(self.class, &self.space, self.now);
        let reason = match (own, self.namespace) {
            _ if self.class == Class::Missing => Reason::ClassNotFound,
            _ if !accepted => Reason::InvalidSpec,
            (None, None) => {
                return Some(Request::CreateNamespace {
                    made_for: self.space.uid,
                    replaces: self.space.status.namespace,
                });
            }
            (None, Some(_)) => Reason::NamespaceConflict,
            (Some(own), _) if own.terminating.is_some() => Reason::NamespaceTerminating,
            (Some(_), _) => Reason::Provisioned,
        };
        let working = Readiness::new(reason, "").working;
        let admitted = accepted || self.space.status.terms.is_some();
        self.report(observed, &Report { reason, working, recorded: own, sealed: false, admitted })
    }

    /// `gc::carry_out` of a warning that is due, or of a notice that begins.
    fn announce(self, observed: &Observed) -> Option<Request> {
        let recorded = observed.own.as_ref();
        let admitted = self.space.status.terms.is_some();
        let report = Report { reason: Reason::Provisioned, working: false, recorded, sealed: false, admitted };
        end_counts_from_write(&observed.space, &observed.outlook).then(|| self.report(observed, &report))?
    }

    /// `expire::seal` and `expire::tell`.
    fn expired(self, observed: &Observed, working: bool) -> Option<Request> {
        if self.has(Guard::ReadAtTheSeal) && self.would_give_up(observed) {
            return None;
        }
        let admitted = self.space.status.terms.is_some();
        let report =
            Report { reason: Reason::Expired, working, recorded: observed.own.as_ref(), sealed: true, admitted };
        self.report(observed, &report)
    }

    /// `expire::read_before_giving_up`.
    fn would_give_up(self, observed: &Observed) -> bool {
        let live = self.live.map(|namespace| self.setting.seen(&namespace));
        observed.own.is_none() && live.is_some_and(|live| ownership(&observed.space, &live) == Ownership::Ours)
    }

    /// `finalize::finalize`: it cannot be undone, so it reads from the API server and not from the store.
    fn finalize(self, observed: &Observed) -> Option<Request> {
        let space = &observed.space;
        let protected =
            is_protected(space, observed.rules.as_ref(), self.setting.is_accepted(self.class, &self.space, self.now));
        if self.who == Who::Gc || (protected && !is_sealed(space)) {
            return None;
        }
        let read = if self.has(Guard::FreshRead) { self.live } else { self.namespace };
        let seen = read.map(|namespace| self.setting.seen(&namespace));
        match seen.filter(|seen| ownership(space, seen) == Ownership::Ours) {
            None => Some(Request::RemoveFinalizer { version: self.space.version }),
            Some(seen) if seen.terminating.is_none() => self.delete(Some(&seen)),
            Some(_) => None,
        }
    }

    fn delete(self, namespace: Option<&SeenNamespace>) -> Option<Request> {
        let uid = uid(namespace?)?;
        Some(Request::DeleteNamespace { uid: self.has(Guard::NamespaceUid).then_some(uid) })
    }

    /// `report::report`: an unchanged status is not written. The sender of a seal deletes the namespace next.
    fn report(self, observed: &Observed, report: &Report<'_>) -> Option<Request> {
        let Observed { space, class, outlook, .. } = observed;
        let Report { reason, working, recorded, sealed, admitted } = *report;
        let namespace = recorded.map(|seen| NamespaceRef { name: "alice".into(), uid: seen.uid.to_string() });
        let accepted = self.setting.is_accepted(self.class, &self.space, self.now);
        let class = class.as_ref().filter(|_| admitted);
        let in_force =
            InForceStatus { terms: class.map(|class| terms(space, class, accepted)), ..InForceStatus::default() };
        let verdict = Readiness { reason, message: String::new(), working };
        let finding = StatusInputs { space, in_force, namespace, outlook, sealed, readiness: verdict };
        let status = self.setting.read_status(&next_status(&finding, self.setting.clock.now(self.now)));
        // A field that nothing reads is cleared, so that states that differ only in that field are equal.
        let status = Status { idle: status.idle.filter(|_| status.sealed.is_some()), ..status };
        let is_seal = sealed && self.space.status.sealed.is_none();
        let version = (!sealed || self.has(Guard::SealVersion)).then_some(self.space.version);
        let then = observed.alive().filter(|_| is_seal).and_then(uid);
        (status != self.space.status).then_some(Request::Status { version, status, then })
    }

    fn has(self, guard: Guard) -> bool {
        self.without != Some(guard)
    }
}

/// Returns true if the end of a space has come according to its stored state. Once the space is sealed, this does not
/// depend on the class.
pub(crate) fn is_due(stored: &Space, class: Class, setting: Setting, now: Moment) -> bool {
    let Status { sealed, expires, last_renewed, .. } = stored.status;
    if sealed.is_some() {
        // A renewal that was still in the future when the space was sealed is later than its end.
        let is_kept = |renewed: Tick| Some(renewed) > last_renewed && expires.is_none_or(|end| renewed <= end);
        return !stored.renewed.is_some_and(is_kept) && expires.is_none_or(|end| now >= clock::moment(end));
    }
    let (moment, space, now) = (now, setting.space(stored), setting.clock.now(now));
    let rules = rules_of(&space, setting.class(class).as_ref());
    let outlook =
        outlook(&lifetime_inputs(&space, rules.as_ref(), setting.is_accepted(class, stored, moment), now), now);
    outlook.stage == Stage::Due && outlook.expires_at.is_some_and(|end| end <= now)
}

fn uid(seen: &SeenNamespace) -> Option<u8> {
    seen.uid.to_string().parse().ok()
}
