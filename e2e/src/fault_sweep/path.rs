//! Owns the life-cycle paths: the initial state, the actions of users, and the permitted end state.

use serde_json::{Value, json};

/// One action of a user. `$NAME`, `$NOW` and `$SOON` in its JSON are placeholders for the case's name and for times.
#[derive(Clone, Debug)]
pub enum UserAction {
    /// Creates an object.
    Create(Value),
    /// Changes an object by a merge patch: kind, name, patch.
    Patch(&'static str, &'static str, Value),
    /// Deletes an object: kind, name.
    Delete(&'static str, &'static str),
}

/// The end state of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// The space is ready.
    Ready,
    /// The space is not ready and reports the reason.
    Refused,
    /// The space is sealed, and the namespace no longer exists.
    Collected,
    /// Neither the space nor the namespace exists.
    Gone,
    /// The space no longer exists, and the namespace remains.
    Released,
}

/// The condition under which the operator may delete the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermittedDeletion {
    /// Never.
    Never,
    /// After the user requested it.
    WhenAsked,
    /// After the space has expired.
    WhenDue,
}

/// A life-cycle path.
#[derive(Clone, Debug)]
pub struct LifecyclePath {
    /// Its name.
    pub name: &'static str,
    /// The actions that create the initial state.
    pub setup: Vec<UserAction>,
    /// The actions of the path.
    pub actions: Vec<UserAction>,
    /// The end state.
    pub end_state: EndState,
    /// The condition under which a namespace may be deleted.
    pub deletion: PermittedDeletion,
}

/// The seconds from the action to the expiry of a space, on a path that ends with an expiry.
pub const SOON_SECONDS: i64 = 6;

/// The times of a spec that expires soon. The renewal sets that end: an end that a change of the spec alone brings this
/// near is postponed.
pub fn soon() -> Value {
    json!({"renewedAt": "$NOW", "expiresAt": "$SOON"})
}

/// A class whose spaces expire without a warning, so that a stale view alone can make one look expired.
pub const UNWARNED: &str = "sweep-unwarned";

/// All paths of the controller.
pub fn all() -> Vec<LifecyclePath> {
    let create = || vec![UserAction::Create(space(&spec(&json!({}))))];
    let begin = |changes: &Value| vec![UserAction::Create(space(&spec(changes)))];
    let delete = || UserAction::Delete("DeveloperSpace", "$NAME");
    let tightened = json!({"spec": {"quota": {"hard": {"requests.memory": "3Gi"}}, "network": {"isolation": "None"}}});
    let own_class = [vec![UserAction::Create(class("$NAME"))], begin(&json!({"className": "$NAME"}))].concat();
    let brief = begin(&json!({"className": "sweep-brief"}));
    let handed_over =
        vec![UserAction::Create(namespace(json!({"developerspace.dev/adopt": "$NAME/User:alice@example.com"})))];
    let foreign = vec![UserAction::Create(namespace(json!({})))];
    let mut paths = vec![
        LifecyclePath {
            name: "create",
            setup: vec![],
            actions: create(),
            end_state: EndState::Ready,
            deletion: PermittedDeletion::Never,
        },
        LifecyclePath {
            name: "adopt",
            setup: handed_over,
            actions: create(),
            end_state: EndState::Ready,
            deletion: PermittedDeletion::Never,
        },
        LifecyclePath {
            name: "conflict",
            setup: foreign,
            actions: create(),
            end_state: EndState::Refused,
            deletion: PermittedDeletion::Never,
        },
        LifecyclePath { setup: own_class, ..path("class-edit", UserAction::Patch("SpaceClass", "$NAME", tightened)) },
        LifecyclePath {
            setup: brief,
            end_state: EndState::Gone,
            deletion: PermittedDeletion::WhenDue,
            ..path("expire", update(soon()))
        },
        LifecyclePath { end_state: EndState::Gone, deletion: PermittedDeletion::WhenAsked, ..path("delete", delete()) },
        LifecyclePath {
            setup: begin(&json!({"deletionPolicy": "Retain"})),
            end_state: EndState::Released,
            ..path("delete-retain", delete())
        },
    ];
    paths.extend(updates());
    paths.extend(drifts());
    paths
}

/// The path of `gc` alone, while no controller runs.
pub fn gc() -> LifecyclePath {
    let setup = vec![UserAction::Create(space(&spec(&json!({"className": UNWARNED}))))];
    LifecyclePath {
        setup,
        end_state: EndState::Collected,
        deletion: PermittedDeletion::WhenDue,
        ..path("gc", update(soon()))
    }
}

fn updates() -> Vec<LifecyclePath> {
    let roomy_limits = json!([{"type": "Container", "default": {"cpu": "200m", "memory": "200Mi"}, "defaultRequest": {"cpu": "20m", "memory": "20Mi"}}]);
    let members = json!([{"kind": "User", "name": "bob@example.com", "role": "view"}, {"kind": "Group", "name": "ops", "role": "edit"}]);
    [
        ("update-owner", json!({"owner": {"name": "carol@example.com"}})),
        ("update-member-added", json!({"members": members})),
        ("update-member-removed", json!({"members": []})),
        ("update-quota", json!({"quota": {"requests.cpu": "3"}})),
        ("update-limits", json!({"limitRange": roomy_limits})),
        (
            "update-labels",
            json!({"labels": {"example.com/stage": "test"}, "annotations": {"example.com/note": "a note"}}),
        ),
        ("update-ttl", json!({"ttl": "3d"})),
        ("update-contact", json!({"contact": {"team": "others", "url": "https://wiki.example.com/others"}})),
        ("class-change", json!({"className": "sweep-roomy"})),
        ("renew", json!({"renewedAt": "$NOW"})),
    ]
    .map(|(name, patch)| path(name, update(patch)))
    .into()
}

fn drifts() -> Vec<LifecyclePath> {
    vec![
        path("drift-quota-deleted", UserAction::Delete("ResourceQuota", "developerspace")),
        path("drift-limits-edited", UserAction::Patch("LimitRange", "developerspace", json!({"spec": {"limits": []}}))),
        path(
            "drift-network-stripped",
            UserAction::Patch("NetworkPolicy", "developerspace-isolation", json!({"metadata": {"labels": null}})),
        ),
        path("drift-binding-edited", UserAction::Patch("RoleBinding", "developerspace-view", json!({"subjects": []}))),
        path(
            "drift-labels-stripped",
            UserAction::Patch(
                "Namespace",
                "$NAME",
                json!({"metadata": {"labels": {"developerspace.dev/space": null, "developerspace.dev/team": "wrong"}}}),
            ),
        ),
        path("drift-namespace-deleted", UserAction::Delete("Namespace", "$NAME")),
    ]
}

/// A path from a ready space to a ready space.
fn path(name: &'static str, action: UserAction) -> LifecyclePath {
    LifecyclePath {
        name,
        setup: vec![UserAction::Create(space(&spec(&json!({}))))],
        actions: vec![action],
        end_state: EndState::Ready,
        deletion: PermittedDeletion::Never,
    }
}

fn update(patch: Value) -> UserAction {
    let mut body = json!({});
    body["spec"] = patch;
    UserAction::Patch("DeveloperSpace", "$NAME", body)
}

/// The spec of the space that every path starts with or creates, with `changes`.
pub fn spec(changes: &Value) -> Value {
    let mut spec = json!({
        "className": "sweep-steady", "owner": {"kind": "User", "name": "alice@example.com"},
        "members": [{"kind": "User", "name": "bob@example.com", "role": "view"}],
        "displayName": "One of the sweep", "contact": {"team": "sweep", "email": "sweep@example.com"}, "quota": {"requests.cpu": "2"},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

/// A space with the case's name.
pub fn space(spec: &Value) -> Value {
    crate::fixtures::space("$NAME", spec.clone())
}

fn namespace(annotations: Value) -> Value {
    crate::fixtures::namespace("$NAME", json!({"kept": "yes"}), annotations)
}

/// The class that most paths use, under another name.
pub fn class(name: &str) -> Value {
    crate::fixtures::class(
        name,
        json!({
            "ownerRole": "edit", "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
            "quota": {"hard": {"requests.cpu": "4", "requests.memory": "2Gi", "count/configmaps": "20"}},
            "limitRange": [{"type": "Container", "default": {"cpu": "100m", "memory": "64Mi"}, "defaultRequest": {"cpu": "10m", "memory": "32Mi"}}],
            "network": {"isolation": "Namespace"},
            "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "warnBefore": ["1d"]},
            "metadata": {"allowedKeys": ["example.com/*"]},
            "allowRetain": true,
        }),
    )
}

/// The classes that paths share.
pub fn classes() -> Vec<Value> {
    let mut roomy = class("sweep-roomy");
    roomy["spec"]["ownerRole"] = "admin".into();
    if let Some(roles) = roomy["spec"]["roles"].as_array_mut() {
        roles.push(json!({"name": "admin", "clusterRole": "admin"}));
    }
    roomy["spec"]["network"] = json!({"isolation": "None"});
    roomy["spec"]["quota"]["hard"]["requests.memory"] = "8Gi".into();
    let mut brief = class("sweep-brief");
    brief["spec"]["lifetime"] = json!({"defaultTTL": "7d", "warnBefore": ["3s"], "retainExpired": "3s"});
    let mut unwarned = class(UNWARNED);
    unwarned["spec"]["lifetime"] = json!({"defaultTTL": "7d", "retainExpired": "1h"});
    vec![class("sweep-steady"), roomy, brief, unwarned]
}
