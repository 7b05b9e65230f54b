//! Owns the acts of users: each act is one request, which a user could send with kubectl.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::Method;
use serde_json::{Value, json};

use super::cast::{Cast, Class, Space, Who};

/// One request of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A caller creates a space of their own.
    Create(Who, Space, Class, Ask),
    /// A caller changes fields of a space's spec.
    Ask(Who, Space, Ask),
    /// A caller moves a space to another class.
    Move(Who, Space, Class),
    /// A caller hands a space over to another owner.
    HandOver(Who, Space, Who),
    /// A caller with a clock that is off by some seconds renews a space.
    Renew(Who, Space, Skew),
    /// A caller applies the original manifest of the space again, server-side.
    Apply(Who, Space),
    /// A caller replaces the space by its original manifest.
    Replace(Who, Space),
    /// A caller deletes a space.
    Delete(Who, Space),
    /// A caller opens the namespace of a space with a NetworkPolicy.
    Open(Who, Space),
    /// A caller deletes that NetworkPolicy.
    Shut(Who, Space),
    /// The administrator changes a class.
    Edit(Class, Edit),
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
pub struct Skew(pub i64);

impl Skew {
    /// From a slow clock to one that is too far ahead to be accepted, and a time in the distant future.
    pub const ALL: [Self; 7] = [Self(-45), Self(0), Self(3), Self(30), Self(55), Self(90), Self(70 * 365 * 24 * 3600)];
}

/// The fields that a request sets in a space's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
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
pub enum Edit {
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
pub struct Sent {
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
pub const OPENING: &str = "open-to-all";

/// The results of earlier acts that a later one needs.
pub trait Recall {
    /// The manifest with which the space was created last.
    fn manifest(&self, space: Space) -> Option<&Value>;
    /// The current space.
    fn space(&self, space: Space) -> Option<&Value>;
    /// The last known namespace of the space.
    fn namespace(&self, space: Space) -> Option<&Value>;
}

impl Act {
    /// The caller.
    pub fn who(&self) -> Who {
        match *self {
            Self::Create(who, ..)
            | Self::Ask(who, ..)
            | Self::Move(who, ..)
            | Self::HandOver(who, ..)
            | Self::Renew(who, ..)
            | Self::Apply(who, _)
            | Self::Replace(who, _)
            | Self::Delete(who, _)
            | Self::Open(who, _)
            | Self::Shut(who, _) => who,
            Self::Edit(..) | Self::DeleteClass(_) | Self::CreateClass(_) | Self::DeleteNamespace(_) | Self::RestoreNamespace(_) => {
                Who::Admin
            }
        }
    }

    /// The request; `None` if an object that it needs is unknown.
    pub fn request(&self, cast: &Cast, now: DateTime<Utc>, recall: &impl Recall) -> Option<Sent> {
        let of_space = |space: Space| format!("{SPACES}/{}", cast.space(space));
        let spec = |space: Space, spec: Value| Sent::patch(of_space(space), json!({"spec": spec}));
        Some(match *self {
            Self::Create(who, space, class, ask) => {
                Sent::new(Method::POST, SPACES.to_owned(), manifest(cast, now, (who, space, class, ask)))
            }
            Self::Ask(_, space, ask) => spec(space, ask.spec(cast, now)),
            Self::Move(_, space, class) => spec(space, json!({"className": cast.class(class)})),
            Self::HandOver(_, space, to) => spec(space, json!({"owner": cast.subject(to)})),
            Self::Renew(_, space, Skew(ahead)) => spec(space, json!({"renewedAt": written(now + TimeDelta::seconds(ahead))})),
            Self::Apply(_, space) => {
                let path = format!("{}?fieldManager=gitops&force=true", of_space(space));
                Sent { content: APPLY, ..Sent::new(Method::PATCH, path, recall.manifest(space)?.clone()) }
            }
            Self::Replace(_, space) => {
                let mut manifest = recall.manifest(space)?.clone();
                manifest["metadata"]["resourceVersion"] = recall.space(space)?["metadata"]["resourceVersion"].clone();
                Sent::new(Method::PUT, of_space(space), manifest)
            }
            Self::Delete(_, space) => Sent::delete(of_space(space)),
            Self::Open(_, space) => Sent::new(Method::POST, policies(&cast.space(space)), opening(&cast.space(space))),
            Self::Shut(_, space) => Sent::delete(format!("{}/{OPENING}", policies(&cast.space(space)))),
            Self::Edit(class, edit) => Sent::patch(format!("{CLASSES}/{}", cast.class(class)), json!({"spec": edit.spec(class)})),
            Self::DeleteClass(class) => Sent::delete(format!("{CLASSES}/{}", cast.class(class))),
            Self::CreateClass(class) => Sent::new(Method::POST, CLASSES.to_owned(), super::classes::manifest(cast, class)),
            Self::DeleteNamespace(space) => Sent::delete(format!("{NAMESPACES}/{}", cast.space(space))),
            Self::RestoreNamespace(space) => Sent::new(Method::POST, NAMESPACES.to_owned(), backup(recall.namespace(space)?)),
        })
    }
}

impl Ask {
    /// The fields of the spec, as a merge patch.
    fn spec(self, cast: &Cast, now: DateTime<Utc>) -> Value {
        match self {
            Self::Nothing => json!({}),
            Self::Ttl(ttl) => json!({"ttl": ttl, "expiresAt": null}),
            Self::Until(minutes) => json!({"ttl": null, "expiresAt": written(now + TimeDelta::minutes(minutes))}),
            Self::Protected(protected) => json!({"protected": protected}),
            Self::Retain(retain) => json!({"deletionPolicy": if retain { "Retain" } else { "Delete" }}),
            Self::Pods(pods) => json!({"quota": {"pods": pods}}),
            Self::LoadBalancers => json!({"quota": {"services.loadbalancers": "3"}}),
            Self::Defaults(cpu) => json!({"limitRange": [{"type": "Container", "default": {"cpu": cpu, "memory": "128Mi"}}]}),
            Self::Member(true) => json!({"members": [{"kind": "User", "name": cast.user(Who::Cem), "role": "view"}]}),
            Self::Member(false) => json!({"members": []}),
        }
    }
}

impl Edit {
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

impl Sent {
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
    pub fn command(&self, caller: Option<&str>) -> String {
        let caller = caller.map(|name| format!(" --as={name}")).unwrap_or_default();
        let path = self.path.split('?').next().unwrap_or_default();
        let body = self.body.to_string().replace('\'', r"'\''");
        match (&self.method, self.content) {
            (&Method::POST, _) => format!("kubectl{caller} create -f - <<<'{body}'"),
            (&Method::PUT, _) => format!("kubectl{caller} replace -f - <<<'{body}'"),
            (&Method::DELETE, _) => format!("kubectl{caller} delete {} --wait=false", named(path)),
            (_, APPLY) => format!("kubectl{caller} apply --server-side --force-conflicts --field-manager=gitops -f - <<<'{body}'"),
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

fn manifest(cast: &Cast, now: DateTime<Utc>, (who, space, class, ask): (Who, Space, Class, Ask)) -> Value {
    let mut spec = json!({
        "className": cast.class(class), "owner": cast.subject(who), "contact": {"team": "adversaries", "email": "adversaries@example.com"},
        "members": [{"kind": "User", "name": cast.user(Who::Cem), "role": "view"}],
    });
    json_patch::merge(&mut spec, &ask.spec(cast, now));
    crate::fixtures::space(&cast.space(space), spec)
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
    crate::fixtures::namespace(crate::fixtures::name_of(namespace), metadata["labels"].clone(), metadata["annotations"].clone())
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
