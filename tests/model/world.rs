//! The API server of the model: the objects that it stores, the requests that it refuses, and the violations that only
//! the model can detect.

use super::{
    clock::{self, Moment, Tick, ceil},
    stored::{NOTICE, NOTICE_OF_WITHDRAWAL, SHORT_TTL, Setting, TTL},
};

/// The class of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The class as it was when the space was created.
    Standard,
    /// With a shorter ttl, and without consent to protection.
    Tight,
    Missing,
}

/// The part of the spec that determines the lifetime, except for the renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spec {
    /// True if `spec.ttl` is [`SHORT_TTL`]; otherwise the class's default applies.
    pub short: bool,
    /// `spec.protected`.
    pub protected: bool,
}

impl Spec {
    pub(crate) const ALL: [Self; 4] = [
        Self { short: false, protected: false },
        Self { short: false, protected: true },
        Self { short: true, protected: false },
        Self { short: true, protected: true },
    ];
}

/// `terms`: the spec and the class with which the space's own part was accepted, and the class of the other part.
pub(crate) type Accepted = ((Spec, Class), Class);

/// A stored version of the space. Times are ticks. It contains every field that affects a decision, and no texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Space {
    pub uid: u8,
    pub version: u8,
    pub created: Tick,
    /// `spec.renewedAt`.
    pub renewed: Option<Tick>,
    pub spec: Spec,
    /// True if `metadata.deletionTimestamp` is set. The finalizer exists from the start.
    pub deleting: bool,
    pub status: Status,
}

/// The fields of the status that affect a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Status {
    /// `lastWarning`: its time, its threshold and the end that it announces.
    pub warned: Option<(Tick, Tick, Tick)>,
    /// The time since which `Expired` is `True`.
    pub sealed: Option<Tick>,
    /// The time since which `Reconciling` is `False`.
    pub idle: Option<Tick>,
    /// UID in `namespace`.
    pub namespace: Option<u8>,
    pub expires: Option<Tick>,
    pub last_renewed: Option<Tick>,
    pub terms: Option<Accepted>,
    /// `postponed`: the postponed end, and the start and the end of the notice.
    pub postponed: Option<(Tick, Tick, Tick)>,
}

impl Space {
    /// Returns true if the operator has recorded that the space has no end.
    fn is_endless(&self) -> bool {
        self.status.terms.is_some() && self.status.expires.is_none()
    }

    /// Returns true if the operator has recorded that the space is protected.
    fn is_recorded_protected(&self) -> bool {
        self.status.terms.is_some_and(|((spec, _), _)| spec.protected)
    }
}

/// A stored version of the namespace with the space's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Namespace {
    pub uid: u8,
    pub created: Tick,
    /// The UID of the space for which it was created; `None` if the operator did not create it.
    pub made_for: Option<u8>,
    /// The UID of the recorded namespace that it replaces.
    pub replaces: Option<u8>,
    pub terminating: bool,
}

/// A request in flight, with the versions and UIDs on which it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Request {
    /// PATCH of the status; `then` is the namespace that the sender of a seal deletes next.
    Status { version: Option<u8>, status: Status, then: Option<u8> },
    /// DELETE of the namespace; without a UID it applies to any namespace of that name.
    DeleteNamespace { uid: Option<u8> },
    /// POST of the namespace, which cannot carry a precondition.
    CreateNamespace { made_for: u8, replaces: Option<u8> },
    /// DELETE of the space, which waits for its finalizer.
    Forget { uid: u8, version: u8 },
    /// PATCH that removes the finalizer.
    RemoveFinalizer { version: u8 },
}

impl Request {
    pub(crate) fn is_status(&self) -> bool {
        matches!(self, Self::Status { .. })
    }
}

/// A violation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A namespace was deleted although its space had not expired according to the stored spec.
    RenewalLost,
    /// Sealed or deleted earlier than the ttl after the last accepted renewal.
    Early,
    /// A namespace that the operator did not create was deleted.
    Foreign,
    /// Sealed before the full notice of the last warning had passed, by the times in the status.
    Unwarned,
    /// A seal was removed.
    Unsealed,
}

/// The stored objects and all their earlier versions, any of which a cache may return.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub now: Moment,
    pub space: Option<Space>,
    pub namespace: Option<Namespace>,
    /// Every version of the space that was ever stored.
    pub spaces: Vec<Space>,
    /// Every state of the namespace that was ever stored; `None` is its absence.
    pub namespaces: Vec<Option<Namespace>>,
    pub class: Class,
    /// The time at which the class was tightened, and the shortest notice that is due for it.
    pub tightened: Option<(Tick, Tick)>,
    /// The first time at which the owner set the shorter ttl, or the creation of a space that was not admitted by then:
    /// no notice is due to it.
    pub shortened: Option<Tick>,
    /// The end of the shortest notice that is due after the owner removed a protection that was in force.
    pub unprotected: Option<Tick>,
    pub last_version: u8,
    pub last_uid: u8,
    /// Sorted: senders are interchangeable, since each of them decides only on a view and the time.
    pub in_flight: Vec<Request>,
    /// The remaining number of user actions and faults.
    pub left: Budget,
    /// The latest renewal that a status ever recorded, or the creation if there is none.
    pub recorded: Tick,
    /// The time at which the API server stored the current warning.
    pub warning_stored: Option<Moment>,
    /// The age of the stored warning at the time of the seal.
    pub warning_stood: Option<Moment>,
    /// True if a renewal was refused between the seal and the end.
    pub refused: bool,
    pub wrong: Option<Wrong>,
}

/// The number of user actions and faults in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub renewals: u8,
    /// Another user deletes the namespace, or creates one of that name.
    pub strangers: u8,
    pub user_deletions: u8,
    /// A space of the same name is created after the first one has been deleted.
    pub recreations: u8,
    /// The class is tightened, or goes missing.
    pub class_changes: u8,
    /// The owner changes the ttl or the protection.
    pub edits: u8,
    /// Crashes and lost responses; limited only if time waits for the operator.
    pub faults: u8,
}

impl World {
    /// A world with a new space and no other objects.
    pub(crate) fn new(left: Budget, setting: Setting) -> Self {
        let mut world = Self {
            now: 0,
            space: None,
            namespace: None,
            spaces: Vec::new(),
            namespaces: vec![None],
            class: Class::Standard,
            tightened: None,
            shortened: None,
            unprotected: None,
            last_version: 0,
            last_uid: 0,
            in_flight: Vec::new(),
            left,
            recorded: 0,
            warning_stored: None,
            warning_stood: None,
            refused: false,
            wrong: None,
        };
        world.create_space(setting);
        world
    }

    /// Creates the space.
    pub(crate) fn create_space(&mut self, setting: Setting) {
        let (uid, created) = (self.fresh_uid(), ceil(self.now));
        let spec = Spec { protected: setting.protected, short: false };
        self.store(Some(Space {
            uid,
            version: 0,
            created,
            renewed: None,
            spec,
            deleting: false,
            status: Status::default(),
        }));
        self.recorded = created;
        (self.warning_stored, self.warning_stood) = (None, None);
        (self.shortened, self.unprotected) = (None, None);
    }

    /// Writes `spec.renewedAt`, which the API server stores unless the space is sealed.
    pub(crate) fn renew(&mut self, at: Tick, seal_rule: bool) {
        let Some(space) = self.space else { return };
        if seal_rule && space.status.sealed.is_some() {
            self.refused |= space.status.expires.is_some_and(|end| self.now < clock::moment(end));
            return;
        }
        self.store(Some(Space { renewed: Some(at), ..space }));
    }

    /// Changes the ttl or the protection, as the owner. Admission refuses both once the space is sealed, and refuses to
    /// protect a space that is being deleted.
    pub(crate) fn edit(&mut self, spec: Spec) {
        let Some(space) = self.space.filter(|space| space.status.sealed.is_none()) else { return };
        if spec.protected && space.deleting {
            return;
        }
        let tick = ceil(self.now);
        if spec.short && !space.spec.short {
            let is_admitted = space.status.terms.is_some() || space.status.namespace.is_some();
            self.shortened = self.shortened.or(Some(if is_admitted { tick } else { 0 }));
        }
        if space.spec.protected && !spec.protected && space.is_endless() {
            self.unprotected = Some(tick + NOTICE);
        }
        self.store(Some(Space { spec, ..space }));
    }

    /// Changes or removes the class, as an administrator.
    pub(crate) fn change_class(&mut self, class: Class) {
        self.class = class;
        if class == Class::Tight {
            let withdrawn = self.space.is_some_and(|space| space.spec.protected && space.is_endless());
            self.tightened = Some((ceil(self.now), if withdrawn { NOTICE_OF_WITHDRAWAL } else { NOTICE }));
        }
    }

    /// Creates a namespace with the space's name, or deletes the existing one, as another user.
    pub(crate) fn meddle(&mut self) {
        match self.namespace {
            None => {
                let uid = self.fresh_uid();
                self.put(Some(Namespace {
                    uid,
                    created: ceil(self.now),
                    made_for: None,
                    replaces: None,
                    terminating: false,
                }));
            }
            Some(namespace) => self.put(Some(Namespace { terminating: true, ..namespace })),
        }
    }

    /// Deletes the space, as a user; the finalizer keeps it. Admission refuses the deletion while the space is
    /// protected.
    pub(crate) fn delete_space(&mut self) {
        if let Some(space) = self.space.filter(|space| !space.spec.protected) {
            self.store(Some(Space { deleting: true, ..space }));
        }
    }

    /// Removes the namespace, as the namespace controller does after it has deleted the contents.
    pub(crate) fn namespace_gone(&mut self) {
        self.put(None);
    }

    /// Carries out a request or refuses it. Returns true if it was carried out. `due` returns true if the end of the
    /// stored space has come.
    pub(crate) fn receive(&mut self, request: Request, setting: Setting, due: impl Fn(&Self) -> bool) -> bool {
        match (request, self.space) {
            (Request::Status { version, status, .. }, Some(space))
                if version.is_none_or(|version| version == space.version) =>
            {
                self.check_status(&space, &status, setting);
                self.store(Some(Space { status, ..space }));
                true
            }
            (Request::Forget { uid, version }, Some(space)) if (uid, version) == (space.uid, space.version) => {
                self.store(Some(Space { deleting: true, ..space }));
                true
            }
            (Request::RemoveFinalizer { version }, Some(space)) if version == space.version && space.deleting => {
                self.space = None;
                true
            }
            (Request::CreateNamespace { made_for, replaces }, _) if self.namespace.is_none() => {
                let uid = self.fresh_uid();
                self.put(Some(Namespace {
                    uid,
                    created: ceil(self.now),
                    made_for: Some(made_for),
                    replaces,
                    terminating: false,
                }));
                true
            }
            (Request::DeleteNamespace { uid }, _) => self.receive_delete(uid, due),
            _ => false,
        }
    }

    /// Returns true if a request records a namespace that is not recorded yet.
    pub(crate) fn records_another(&self, request: &Request) -> bool {
        let recorded = self.space.and_then(|space| space.status.namespace);
        matches!(request, Request::Status { status: Status { namespace: Some(uid), .. }, .. } if Some(*uid) != recorded)
    }

    /// Returns true if a request can only be refused from this state on.
    pub(crate) fn is_dead(&self, request: &Request) -> bool {
        let at_present = |version: u8| self.space.is_some_and(|space| space.version == version);
        match *request {
            Request::Status { version, .. } => {
                !version.map_or(self.space.is_some() || self.left.recreations > 0, at_present)
            }
            Request::Forget { version, .. } | Request::RemoveFinalizer { version } => !at_present(version),
            Request::DeleteNamespace { uid: Some(uid) } => {
                !self.namespace.is_some_and(|namespace| namespace.uid == uid && !namespace.terminating)
            }
            Request::DeleteNamespace { uid: None } | Request::CreateNamespace { .. } => false,
        }
    }

    /// Returns true if the namespace is not terminating and was created for a space that does not exist.
    pub(crate) fn is_orphaned(&self) -> bool {
        let made_for =
            self.namespace.filter(|namespace| !namespace.terminating).and_then(|namespace| namespace.made_for);
        made_for.is_some_and(|uid| self.space.is_none_or(|space| space.uid != uid))
    }

    fn receive_delete(&mut self, uid: Option<u8>, due: impl Fn(&Self) -> bool) -> bool {
        let Some(namespace) =
            self.namespace.filter(|namespace| uid.is_none_or(|uid| uid == namespace.uid) && !namespace.terminating)
        else {
            return false;
        };
        match (namespace.made_for, self.space) {
            (None, _) => self.blame(Wrong::Foreign),
            (Some(owner), Some(space)) if owner == space.uid && !space.deleting => {
                if !due(self) {
                    self.blame(Wrong::RenewalLost);
                }
                if self.now < clock::moment(self.earliest_end()) {
                    self.blame(Wrong::Early);
                }
            }
            _ => {}
        }
        self.put(Some(Namespace { terminating: true, ..namespace }));
        true
    }

    /// The earliest tick at which the space may end, whatever was written later. It is a lower bound: a write that the
    /// operator has not observed yet need not count.
    fn earliest_end(&self) -> Tick {
        let Some(space) = self.space else { return 0 };
        if space.spec.protected && self.consents(&space) {
            return Tick::MAX / 2;
        }
        let by = space.status.sealed.unwrap_or(Tick::MAX).min(ceil(self.now));
        let counts = space.renewed.filter(|at| *at <= by);
        let anchor = counts.unwrap_or_default().max(self.recorded);
        let (full, short) = (anchor + TTL, anchor + SHORT_TTL);
        let brought_near = |notice_ends: Tick| short.max(full.min(notice_ends));
        // The ttl of a tightened class is as short.
        let recorded_short = space.status.terms.is_some_and(|((spec, class), _)| spec.short || class == Class::Tight);
        let shortened =
            self.shortened.filter(|_| space.spec.short || recorded_short).map(|at| brought_near(at + NOTICE));
        let tightened = self.tightened.map(|(at, notice)| match notice {
            NOTICE_OF_WITHDRAWAL if space.spec.protected => short.max(at + notice),
            _ => brought_near(at + NOTICE),
        });
        let end = shortened.into_iter().chain(tightened).fold(full, Tick::min);
        end.max(self.unprotected.unwrap_or_default())
    }

    /// Returns true if the class consents to protection. If the class is missing, the class under which the space was
    /// protected counts.
    fn consents(&self, space: &Space) -> bool {
        match self.class {
            Class::Standard => space.renewed.is_none_or(|at| at <= ceil(self.now)) || space.is_recorded_protected(),
            Class::Tight => false,
            Class::Missing => self.tightened.is_none() && space.is_recorded_protected(),
        }
    }

    /// Checks a status write with independent arithmetic, since the crate's arithmetic is under test. A time in the
    /// status is that of the next tick, so a seal shortly before the end counts as a seal at the end.
    fn check_status(&mut self, space: &Space, new: &Status, setting: Setting) {
        let old = &space.status;
        if old.sealed.is_some() && new.sealed.is_none() {
            self.blame(Wrong::Unsealed);
        }
        if let (None, Some(sealed)) = (old.sealed, new.sealed) {
            let end = self.earliest_end();
            // A late warning announces an end that is later than the one it was given for.
            let announces = |(at, before, of): &(Tick, Tick, Tick)| (*of).max(at + before) >= end;
            let stood = old.warned.filter(announces).is_some_and(|(at, ..)| at + NOTICE <= sealed);
            if sealed < end {
                self.blame(Wrong::Early);
            } else if !stood && setting.warns {
                self.blame(Wrong::Unwarned);
            }
            self.warning_stood = self.warning_stored.map(|stored| self.now - stored);
        }
        if new.warned != old.warned {
            self.warning_stored = Some(self.now);
        }
        self.recorded = self.recorded.max(new.last_renewed.unwrap_or_default());
    }

    fn blame(&mut self, wrong: Wrong) {
        self.wrong = self.wrong.or(Some(wrong));
    }

    fn store(&mut self, space: Option<Space>) {
        self.last_version += 1;
        self.space = space.map(|space| Space { version: self.last_version, ..space });
        self.spaces.extend(self.space);
    }

    fn put(&mut self, namespace: Option<Namespace>) {
        self.namespace = namespace;
        if !self.namespaces.contains(&namespace) {
            self.namespaces.push(namespace);
            self.namespaces.sort_unstable();
        }
    }

    fn fresh_uid(&mut self) -> u8 {
        self.last_uid += 1;
        self.last_uid
    }
}
