//! Conversion between the model's values and the objects on which the crate decides. No decision is made here.

use developerspace_operator::{
    api::{
        DeletionPolicy, DeveloperSpace, DeveloperSpaceSpec, DeveloperSpaceStatus, Lifetime, NamespaceRef, Notice,
        OwnerInForce, SpaceClassSpec, Subject, SubjectKind, Terms, Warning,
        conditions::{self, types},
        duration::{format_duration, parse_duration},
        time,
    },
    desired::{lifetime::inputs, namespace::SeenNamespace},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

use super::{
    clock::{Clock, Moment, Tick, ceil},
    world::{Accepted, Class, Namespace, Space, Spec, Status},
};

/// Spans of the class, in ticks.
pub(crate) const TTL: Tick = 3;
pub(crate) const NOTICE: Tick = 1;
pub(crate) const RETENTION: Tick = 1;
/// The ttl of the class once it is tightened.
pub(crate) const SHORT_TTL: Tick = 1;
/// The notice for a space that was protected, in ticks of [`super::clock::DAYS`].
pub(crate) const NOTICE_OF_WITHDRAWAL: Tick = 2;

/// The settings that stay the same for a whole exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Setting {
    pub clock: Clock,
    /// True if the space asks for protection from the start. The class allows it until it is tightened.
    pub protected: bool,
    /// True if the class has warnings.
    pub warns: bool,
}

impl Setting {
    pub(crate) fn class(self, class: Class) -> Option<SpaceClassSpec> {
        let span = |ticks: Tick| format_duration(self.clock.span(ticks));
        let (ttl, allow_protected) = match class {
            Class::Standard => (TTL, true),
            Class::Tight => (SHORT_TTL, false),
            Class::Missing => return None,
        };
        let lifetime = Lifetime {
            default_ttl: Some(span(ttl)),
            max_ttl: Some(span(ttl)),
            allow_protected,
            warn_before: if self.warns { vec![span(NOTICE)] } else { Vec::new() },
            retain_expired: Some(span(RETENTION)),
            ..Lifetime::default()
        };
        Some(SpaceClassSpec { lifetime: Some(lifetime), ..SpaceClassSpec::default() })
    }

    /// Returns true if `class` accepts the spec of the space at the moment `now`. A renewal that is one tick ahead is
    /// refused until that tick.
    pub(crate) fn is_accepted(self, class: Class, space: &Space, now: Moment) -> bool {
        let consents = class == Class::Standard || (class == Class::Tight && !space.spec.protected);
        consents && space.renewed.is_none_or(|at| at <= ceil(now))
    }

    pub(crate) fn seen(self, namespace: &Namespace) -> SeenNamespace {
        let uid = |uid: u8| uid.to_string().as_str().into();
        SeenNamespace {
            uid: uid(namespace.uid),
            version: 1,
            created: self.clock.at(namespace.created),
            claim: namespace.made_for.map(uid),
            replaces: namespace.replaces.map(|replaced| Box::new(uid(replaced))),
            terminating: namespace.terminating.then(String::new),
            ..SeenNamespace::default()
        }
    }

    pub(crate) fn space(self, stored: &Space) -> DeveloperSpace {
        let Space { uid, version, created, renewed, spec, deleting: _, status } = *stored;
        let metadata = ObjectMeta {
            name: Some("alice".into()),
            uid: Some(uid.to_string()),
            resource_version: Some(version.to_string()),
            creation_timestamp: Some(time::to_k8s(self.clock.at(created))),
            ..ObjectMeta::default()
        };
        let spec = DeveloperSpaceSpec { renewed_at: renewed.map(|at| self.clock.at(at)), ..self.spec(spec) };
        DeveloperSpace { metadata, spec, status: Some(self.write_status(&status)) }
    }

    fn spec(self, Spec { short, protected }: Spec) -> DeveloperSpaceSpec {
        DeveloperSpaceSpec {
            class_name: Some("standard".into()),
            owner: Subject { kind: SubjectKind::User, name: "alice@example.com".into(), namespace: None },
            members: Vec::new(),
            display_name: None,
            description: None,
            contact: None,
            labels: [].into(),
            annotations: [].into(),
            ttl: short.then(|| format_duration(self.clock.span(SHORT_TTL))),
            expires_at: None,
            renewed_at: None,
            quota: [].into(),
            limit_range: Vec::new(),
            protected,
            deletion_policy: DeletionPolicy::Delete,
        }
    }

    /// Builds the terms: the space's own part as accepted under one class, and the class's part from another class.
    fn terms(self, ((spec, accepted_by), class): Accepted) -> Option<Terms> {
        let mut space = DeveloperSpace { metadata: ObjectMeta::default(), spec: self.spec(spec), status: None };
        let own = inputs::terms(&space, &self.class(accepted_by)?, true);
        space.status = Some(DeveloperSpaceStatus { terms: Some(own), ..DeveloperSpaceStatus::default() });
        Some(inputs::terms(&space, &self.class(class)?, false))
    }

    fn write_status(self, status: &Status) -> DeveloperSpaceStatus {
        let Status { warned, sealed, idle, namespace, expires, last_renewed, terms, postponed } = *status;
        let at = |tick: Tick| self.clock.at(tick);
        let condition = |type_: &str, is: bool, since: Option<Tick>| Condition {
            type_: type_.to_owned(),
            status: conditions::status_str(is).to_owned(),
            reason: "Because".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: time::to_k8s(at(since.unwrap_or_default())),
        };
        let admitted = terms.map(|_| OwnerInForce::from(&self.spec(Spec::default()).owner));
        DeveloperSpaceStatus {
            class_name: admitted.is_some().then(|| "standard".into()),
            owner: admitted,
            terms: terms.and_then(|terms| self.terms(terms)),
            namespace: namespace.map(|uid| NamespaceRef { name: "alice".into(), uid: uid.to_string() }),
            expires_at: expires.map(at),
            last_renewed_at: last_renewed.map(at),
            last_warning: warned.map(|(given, before, of)| Warning {
                at: at(given),
                before: format_duration(self.clock.span(before)),
                expires_at: at(of),
            }),
            postponed: postponed.map(|(of, from, until)| Notice { of: at(of), from: at(from), until: at(until) }),
            conditions: vec![
                condition(types::EXPIRED, sealed.is_some(), sealed),
                condition(types::RECONCILING, idle.is_none(), idle),
            ],
            ..DeveloperSpaceStatus::default()
        }
    }

    pub(crate) fn read_status(self, status: &DeveloperSpaceStatus) -> Status {
        let tick = |time| self.clock.tick(time);
        let since = |type_: &str, is: &str| {
            let condition = conditions::find(&status.conditions, type_).filter(|condition| condition.status == is)?;
            conditions::since(&condition.last_transition_time).map(|time| self.clock.nearest(time))
        };
        assert_eq!(status.last_notice, None, "no class has a maxLifetime");
        Status {
            warned: status.last_warning.as_ref().map(|warning| {
                (tick(warning.at), self.clock.ticks(parse_duration(&warning.before).unwrap()), tick(warning.expires_at))
            }),
            sealed: since(types::EXPIRED, "True"),
            idle: since(types::RECONCILING, "False"),
            namespace: status.namespace.as_ref().and_then(|namespace| namespace.uid.parse().ok()),
            expires: status.expires_at.map(tick),
            last_renewed: status.last_renewed_at.map(tick),
            terms: status.terms.as_ref().map(|terms| self.read_terms(terms)),
            postponed: status.postponed.as_ref().map(|notice| (tick(notice.of), tick(notice.from), tick(notice.until))),
        }
    }

    /// Returns the first combination of spec and classes that gives `terms`. Several combinations may give the same
    /// terms.
    fn read_terms(self, terms: &Terms) -> Accepted {
        let classes = [Class::Standard, Class::Tight];
        let specs = Spec::ALL.into_iter().flat_map(|spec| classes.map(|class| (spec, class)));
        let mut all = specs.flat_map(|own| classes.map(|class| (own, class)));
        all.find(|accepted| self.terms(*accepted).as_ref() == Some(terms)).unwrap()
    }
}
