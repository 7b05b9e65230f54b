//! Owns the actions of users: each action is one request, which a user could send with kubectl.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};

use super::names::{Class, Names, Persona, Space};

/// One request of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A caller creates a space of their own.
    Create(Persona, Space, Class, SpecChange),
    /// A caller changes fields of a space's spec.
    ChangeSpec(Persona, Space, SpecChange),
    /// A caller moves a space to another class.
    Move(Persona, Space, Class),
    /// A caller hands a space over to another owner.
    HandOver(Persona, Space, Persona),
    /// A caller with a clock that is off by some seconds renews a space.
    Renew(Persona, Space, Skew),
    /// A caller applies the original manifest of the space again, server-side.
    Apply(Persona, Space),
    /// A caller replaces the space by its original manifest.
    Replace(Persona, Space),
    /// A caller deletes a space.
    Delete(Persona, Space),
    /// A caller opens the namespace of a space with a NetworkPolicy.
    Open(Persona, Space),
    /// A caller deletes that NetworkPolicy.
    Shut(Persona, Space),
    /// The administrator changes a class.
    ChangeClass(Class, ClassChange),
    /// The administrator deletes a class.
    DeleteClass(Class),
    /// The administrator creates a class again, in its original form.
    CreateClass(Class),
    /// The administrator deletes the namespace of a space by hand.
    DeleteNamespace(Space),
    /// The administrator restores the namespace of a space from a backup, labels and annotations included.
    RestoreNamespace(Space),
}

/// The seconds by which the clock of a caller that renews is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skew(pub i64);

impl Skew {
    /// From a slow clock to one that is too far ahead to be accepted, and a time in the distant future.
    pub(super) const ALL: [Self; 7] =
        [Self(-45), Self(0), Self(3), Self(30), Self(55), Self(90), Self(70 * 365 * 24 * 3600)];
}

/// The fields that a request sets in a space's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpecChange {
    /// No field.
    Nothing,
    /// A ttl, within the bounds of the class or not.
    Ttl(&'static str),
    /// An end after this number of minutes.
    Until(i64),
    /// Protection.
    Protected(bool),
    /// The retention of the namespace when the space is deleted.
    Retain(bool),
    /// A quota of pods.
    Pods(&'static str),
    /// A quota of load balancers, which the class limits or not.
    LoadBalancers,
    /// Other defaults of containers, within the class's bounds or not.
    Defaults(&'static str),
    /// The member, or no member.
    Member(bool),
}

/// A change of a class by an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassChange {
    /// A typo: a maximum ttl below the default one.
    Typo,
    /// Shorter lifetimes.
    Tighten,
    /// The original lifetimes.
    Loosen,
    /// Other warning thresholds.
    Warn(&'static [&'static str]),
    /// The owner limit.
    Limit(i64),
    /// `lifetime.allowProtected`.
    Protected(bool),
    /// `lifetime.allowNever`.
    Never(bool),
    /// `allowRetain`.
    Retain(bool),
    /// `allowTransfer`.
    Transfer(bool),
    /// `network.enforced`.
    Enforced(bool),
    /// `podSecurity.enforce`.
    Level(&'static str),
    /// A ceiling for load balancers without a limit, which is invalid.
    Ceiling(bool),
    /// The class's limit of pods.
    Pods(&'static str),
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub path: String,
    /// The content type.
    pub content: &'static str,
    /// The body; null for none.
    pub body: Value,
}

const SPACES: &str = "/apis/developerspace.dev/v1alpha1/developerspaces";
const CLASSES: &str = "/apis/developerspace.dev/v1alpha1/spaceclasses";
const NAMESPACES: &str = "/api/v1/namespaces";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// The NetworkPolicy by which owners open their namespaces.
pub(super) const OPENING: &str = "open-to-all";

/// The objects of earlier actions that a later one needs.
pub(super) trait KnownObjects {
    /// The manifest with which the space was created last.
    fn manifest(&self, space: Space) -> Option<&Value>;
    /// The current space.
    fn space(&self, space: Space) -> Option<&Value>;
    /// The last known namespace of the space.
    fn namespace(&self, space: Space) -> Option<&Value>;
}

impl Action {
    /// The persona that sends the request.
    pub(super) fn persona(&self) -> Persona {
        match *self {
            Self::Create(persona, ..)
            | Self::ChangeSpec(persona, ..)
            | Self::Move(persona, ..)
            | Self::HandOver(persona, ..)
            | Self::Renew(persona, ..)
            | Self::Apply(persona, _)
            | Self::Replace(persona, _)
            | Self::Delete(persona, _)
            | Self::Open(persona, _)
            | Self::Shut(persona, _) => persona,
            Self::ChangeClass(..)
            | Self::DeleteClass(_)
            | Self::CreateClass(_)
            | Self::DeleteNamespace(_)
            | Self::RestoreNamespace(_) => Persona::Admin,
        }
    }

    /// The request; `None` if an object that it needs is unknown.
    pub(super) fn request(&self, names: &Names, now: DateTime<Utc>, known: &impl KnownObjects) -> Option<ApiRequest> {
        let of_space = |space: Space| format!("{SPACES}/{}", names.space(space));
        let spec = |space: Space, spec: Value| ApiRequest::patch(of_space(space), json!({"spec": spec}));
        Some(match *self {
            Self::Create(persona, space, class, change) => {
                ApiRequest::new(Method::POST, SPACES.to_owned(), manifest(names, now, (persona, space, class, change)))
            }
            Self::ChangeSpec(_, space, change) => spec(space, change.spec(names, now)),
            Self::Move(_, space, class) => spec(space, json!({"className": names.class(class)})),
            Self::HandOver(_, space, to) => spec(space, json!({"owner": names.subject(to)})),
            Self::Renew(_, space, Skew(ahead)) => {
                spec(space, json!({"renewedAt": written(now + TimeDelta::seconds(ahead))}))
            }
            Self::Apply(_, space) => {
                let path = format!("{}?fieldManager=gitops&force=true", of_space(space));
                ApiRequest { content: APPLY, ..ApiRequest::new(Method::PATCH, path, known.manifest(space)?.clone()) }
            }
            Self::Replace(_, space) => {
                let mut manifest = known.manifest(space)?.clone();
                manifest["metadata"]["resourceVersion"] = known.space(space)?["metadata"]["resourceVersion"].clone();
                ApiRequest::new(Method::PUT, of_space(space), manifest)
            }
            Self::Delete(_, space) => ApiRequest::delete(of_space(space)),
            Self::Open(_, space) => {
                ApiRequest::new(Method::POST, policies(&names.space(space)), opening(&names.space(space)))
            }
            Self::Shut(_, space) => ApiRequest::delete(format!("{}/{OPENING}", policies(&names.space(space)))),
            Self::ChangeClass(class, change) => {
                ApiRequest::patch(format!("{CLASSES}/{}", names.class(class)), json!({"spec": change.spec(class)}))
            }
            Self::DeleteClass(class) => ApiRequest::delete(format!("{CLASSES}/{}", names.class(class))),
            Self::CreateClass(class) => {
                ApiRequest::new(Method::POST, CLASSES.to_owned(), super::classes::manifest(names, class))
            }
            Self::DeleteNamespace(space) => ApiRequest::delete(format!("{NAMESPACES}/{}", names.space(space))),
            Self::RestoreNamespace(space) => {
                ApiRequest::new(Method::POST, NAMESPACES.to_owned(), backup(known.namespace(space)?))
            }
        })
    }
}

impl SpecChange {
    /// The fields of the spec, as a merge patch.
    fn spec(self, names: &Names, now: DateTime<Utc>) -> Value {
        match self {
            Self::Nothing => json!({}),
            Self::Ttl(ttl) => json!({"ttl": ttl, "expiresAt": null}),
            Self::Until(minutes) => json!({"ttl": null, "expiresAt": written(now + TimeDelta::minutes(minutes))}),
            Self::Protected(protected) => json!({"protected": protected}),
            Self::Retain(retain) => json!({"deletionPolicy": if retain { "Retain" } else { "Delete" }}),
            Self::Pods(pods) => json!({"quota": {"pods": pods}}),
            Self::LoadBalancers => json!({"quota": {"services.loadbalancers": "3"}}),
            Self::Defaults(cpu) => {
                json!({"limitRange": [{"type": "Container", "default": {"cpu": cpu, "memory": "128Mi"}}]})
            }
            Self::Member(true) => {
                json!({"members": [{"kind": "User", "name": names.user(Persona::Cem), "role": "view"}]})
            }
            Self::Member(false) => json!({"members": []}),
        }
    }
}

impl ClassChange {
    /// The fields of the class's spec, as a merge patch.
    fn spec(self, class: Class) -> Value {
        match self {
            Self::Typo => json!({"lifetime": {"maxTTL": "2s"}}),
            Self::Tighten => json!({"lifetime": {"defaultTTL": "6m", "maxTTL": "9m", "maxLifetime": "20m"}}),
            Self::Loosen => json!({"lifetime": super::classes::lifetime(class)}),
            Self::Warn(edges) => json!({"lifetime": {"warnBefore": edges}}),
            Self::Limit(limit) => json!({"maxSpacesPerOwner": limit}),
            Self::Protected(allowed) => json!({"lifetime": {"allowProtected": allowed}}),
            Self::Never(allowed) => json!({"lifetime": {"allowNever": allowed}}),
            Self::Retain(allowed) => json!({"allowRetain": allowed}),
            Self::Transfer(allowed) => json!({"allowTransfer": allowed}),
            Self::Enforced(enforced) => json!({"network": {"enforced": enforced}}),
            Self::Level(level) => json!({"podSecurity": {"enforce": level}}),
            Self::Ceiling(true) => json!({"quota": {"max": {"services.loadbalancers": "2"}}}),
            Self::Ceiling(false) => json!({"quota": {"max": {"services.loadbalancers": null}}}),
            Self::Pods(pods) => json!({"quota": {"hard": {"pods": pods}}}),
        }
    }
}

impl ApiRequest {
    fn new(method: Method, path: String, body: Value) -> Self {
        Self { method, path, content: JSON, body }
    }

    fn patch(path: String, body: Value) -> Self {
        Self { content: MERGE, ..Self::new(Method::PATCH, path, body) }
    }

    fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, json!({}))
    }

    /// The command that sends the request, for a user to paste.
    pub(super) fn command(&self, caller: Option<&str>) -> String {
        let caller = caller.map(|name| format!(" --as={name}")).unwrap_or_default();
        let path = self.path.split('?').next().unwrap_or_default();
        let body = self.body.to_string().replace('\'', r"'\''");
        match (&self.method, self.content) {
            (&Method::POST, _) => format!("kubectl{caller} create -f - <<<'{body}'"),
            (&Method::PUT, _) => format!("kubectl{caller} replace -f - <<<'{body}'"),
            (&Method::DELETE, _) => format!("kubectl{caller} delete {} --wait=false", named(path)),
            (_, APPLY) => {
                format!("kubectl{caller} apply --server-side --force-conflicts --field-manager=gitops -f - <<<'{body}'")
            }
            _ => format!("kubectl{caller} patch {} --type=merge -p '{body}'", named(path)),
        }
    }
}

/// `--namespace=n plural/name` from a path.
fn named(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "namespaces", namespace, plural, name] => format!("--namespace={namespace} {plural}/{name}"),
        [.., plural, name] => format!("{plural}/{name}"),
        _ => path.to_owned(),
    }
}

fn manifest(
    names: &Names,
    now: DateTime<Utc>,
    (persona, space, class, change): (Persona, Space, Class, SpecChange),
) -> Value {
    let mut spec = json!({
        "className": names.class(class), "owner": names.subject(persona), "contact": {"team": "adversaries", "email": "adversaries@example.com"},
        "members": [{"kind": "User", "name": names.user(Persona::Cem), "role": "view"}],
    });
    json_patch::merge(&mut spec, &change.spec(names, now));
    crate::fixtures::space(&names.space(space), spec)
}

fn policies(namespace: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
}

fn opening(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": OPENING, "namespace": namespace},
        "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]},
    })
}

/// A namespace as a backup tool restores it.
fn backup(namespace: &Value) -> Value {
    let metadata = &namespace["metadata"];
    crate::fixtures::namespace(
        crate::fixtures::name_of(namespace),
        metadata["labels"].clone(),
        metadata["annotations"].clone(),
    )
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
