//! Owns admission in memory: it refuses the requests that the CRDs and the policies refuse according to the contract.
//! The policies themselves are tested on the real API server.

use serde_json::Value;

use super::{
    objects::{Key, Objects},
    server::Refused,
};
use crate::fixtures::{holds, text};

/// The operator's finalizer.
const FINALIZER: &str = "developerspace.dev/namespace";

/// A caller of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The operator's ServiceAccount.
    Operator,
    /// A caller that holds every verb.
    Administrator,
    /// Another user, by name.
    User(String),
}

/// A request that would change an object.
pub(super) struct Change<'a> {
    /// The key of the object.
    pub key: &'a Key,
    /// The subresource, or nothing.
    pub subresource: &'a str,
    /// The stored object; `None` for a creation.
    pub before: Option<&'a Value>,
    /// The object afterwards; `None` for a deletion.
    pub after: Option<&'a Value>,
}

/// Refuses the requests that admission refuses.
pub(super) fn validate(caller: &Caller, change: &Change<'_>, objects: &Objects) -> Result<(), Refused> {
    match change.key.resource.as_str() {
        "developerspaces" if change.subresource == "status" => only_the_operator(caller),
        "developerspaces" => {
            for_all_callers(change)?;
            match caller {
                Caller::User(name) => for_owners(name, change, objects),
                Caller::Operator | Caller::Administrator => Ok(()),
            }
        }
        "networkpolicies" => network(caller, change, objects),
        _ => match caller {
            Caller::User(name) => Err(forbidden(format!("{name} may not change {}", change.key.resource))),
            Caller::Operator | Caller::Administrator => Ok(()),
        },
    }
}

fn only_the_operator(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Operator => Ok(()),
        Caller::Administrator | Caller::User(_) => Err(forbidden("only the operator writes the status".to_owned())),
    }
}

/// The rules of the CRD, and those for protected spaces.
fn for_all_callers(change: &Change<'_>) -> Result<(), Refused> {
    let Change { before, after, .. } = *change;
    let is_protected = |space: Option<&Value>| space.is_some_and(|space| space["spec"]["protected"] == true);
    let is_sealed = before.is_some_and(|before| holds(before, "Expired"));
    let Some(after) = after else {
        let never_admitted = before.is_some_and(|before| before["status"]["namespace"].is_null());
        let stays = is_protected(before) && !is_sealed && !never_admitted;
        return if stays { Err(invalid("a protected space cannot be deleted")) } else { Ok(()) };
    };
    let spec = &after["spec"];
    if !spec["ttl"].is_null() && !spec["expiresAt"].is_null() {
        return Err(invalid("set ttl or expiresAt, not both"));
    }
    if let Some(before) = before {
        if is_sealed && before["spec"] != *spec {
            return Err(invalid("this DeveloperSpace has expired and can no longer be changed"));
        }
        let is_terminating = !before["metadata"]["deletionTimestamp"].is_null();
        if is_terminating && is_protected(Some(after)) && !is_protected(Some(before)) {
            return Err(invalid("what is being deleted cannot become protected"));
        }
        return Ok(());
    }
    let name = text(after, "/metadata/name");
    if name == "default" || name.starts_with("kube-") || name.starts_with("openshift-") {
        return Err(invalid("the name belongs to the cluster"));
    }
    Ok(())
}

/// The rules for callers that do not hold `assign`.
fn for_owners(name: &str, change: &Change<'_>, objects: &Objects) -> Result<(), Refused> {
    let Change { before, after, .. } = *change;
    let owner = before.or(after).map(|space| &space["spec"]["owner"]);
    if owner.is_none_or(|owner| owner["kind"] != "User" || owner["name"] != name) {
        return Err(forbidden(format!("the space belongs to {}", owner.unwrap_or(&Value::Null))));
    }
    let Some(after) = after else { return Ok(()) };
    let finalizers = |space: &Value| {
        space["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == FINALIZER))
    };
    if before.is_some_and(|before| finalizers(before) && !finalizers(after)) {
        return Err(forbidden("the finalizer is the operator's".to_owned()));
    }
    let is_missing = before.is_some_and(|before| {
        let conditions = before["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["reason"] == "ClassNotFound"))
    });
    let class_of = |space: &Value| text(space, "/spec/className").to_owned();
    let named_before = before.map(class_of).unwrap_or_default();
    let named = class_of(after);
    let in_force = before.map(|before| text(before, "/status/className").to_owned()).unwrap_or_default();
    let comes = named != named_before;
    let handed_over = before.is_some_and(|before| before["spec"]["owner"] != after["spec"]["owner"]);
    if handed_over {
        if before.is_some_and(|before| before["status"]["namespace"].is_null()) {
            return Err(forbidden("a space without a namespace cannot be handed over".to_owned()));
        }
        let asked = [&named, &named_before, &in_force];
        let refuses =
            |class: &&&String| find(objects, class).is_some_and(|class| !consents(class, "/spec/allowTransfer"));
        if is_missing || asked.iter().any(|class| refuses(&class)) {
            return Err(forbidden("the class does not allow a transfer".to_owned()));
        }
    }
    let class = find(objects, &named);
    for (field, value, consent) in [
        ("protected", Value::Bool(true), "/spec/lifetime/allowProtected"),
        ("deletionPolicy", Value::from("Retain"), "/spec/allowRetain"),
    ] {
        let was_set = before.is_some_and(|before| before["spec"][field] == value);
        let refused = class.is_some_and(|class| !consents(class, consent)) || (is_missing && !comes);
        if after["spec"][field] == value && (!was_set || comes) && refused {
            return Err(forbidden(format!("the class does not allow spec.{field}")));
        }
    }
    match class {
        Some(class) if comes => names(class, text(after, "/metadata/name"), before.is_none()),
        _ => Ok(()),
    }?;
    if before.is_none() { reserved(objects, text(after, "/metadata/name")) } else { Ok(()) }
}

/// The names that a class allows.
fn names(class: &Value, name: &str, is_new: bool) -> Result<(), Refused> {
    let matches = |pattern: &Value| {
        pattern
            .as_str()
            .is_some_and(|pattern| pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start)))
    };
    let rules = &class["spec"]["names"];
    if rules["denied"].as_array().is_some_and(|denied| denied.iter().any(matches)) {
        return Err(invalid("the class denies the name"));
    }
    let allowed = rules["allowed"].as_array();
    if allowed.is_some_and(|allowed| !allowed.is_empty() && !allowed.iter().any(matches)) {
        return Err(invalid("the class does not allow the name"));
    }
    let is_listed = allowed.is_some_and(|allowed| allowed.iter().any(|one| one == name));
    if is_new && (!name.contains('-') || name.starts_with("xn--")) && !is_listed {
        return Err(invalid("the name could answer for a top-level domain"));
    }
    Ok(())
}

/// The namespaces that any class admits.
fn reserved(objects: &Objects, name: &str) -> Result<(), Refused> {
    let admits = |class: &Value| {
        let selectors = class["spec"]["network"]["allowFromNamespaces"].as_array();
        selectors.is_some_and(|all| all.iter().any(|one| one["matchLabels"]["kubernetes.io/metadata.name"] == name))
    };
    if objects.list("spaceclasses", "").any(|(_, class)| admits(class)) {
        Err(invalid("a class admits the namespace of that name"))
    } else {
        Ok(())
    }
}

/// Owners open their own namespaces, unless the class enforces the isolation.
fn network(caller: &Caller, change: &Change<'_>, objects: &Objects) -> Result<(), Refused> {
    let Caller::User(_) = caller else { return Ok(()) };
    let home = Key { resource: "namespaces".to_owned(), namespace: String::new(), name: change.key.namespace.clone() };
    let is_enforced = objects
        .get(&home)
        .is_some_and(|home| home["metadata"]["labels"]["developerspace.dev/network-enforced"] == "true");
    match change.after {
        Some(_) if is_enforced => Err(forbidden("the class keeps NetworkPolicies to the operator".to_owned())),
        _ => Ok(()),
    }
}

fn find<'a>(objects: &'a Objects, class: &str) -> Option<&'a Value> {
    objects.get(&Key { resource: "spaceclasses".to_owned(), namespace: String::new(), name: class.to_owned() })
}

/// A class that is not Accepted at its present generation consents to nothing.
fn consents(class: &Value, field: &str) -> bool {
    let conditions = class["status"]["conditions"].as_array();
    let accepted = conditions.is_some_and(|all| {
        all.iter().any(|one| {
            one["type"] == "Accepted"
                && one["status"] == "True"
                && one["observedGeneration"] == class["metadata"]["generation"]
        })
    });
    accepted && class.pointer(field) == Some(&Value::Bool(true))
}

fn forbidden(message: String) -> Refused {
    Refused { code: 403, reason: "Forbidden", message }
}

fn invalid(message: &str) -> Refused {
    Refused { code: 422, reason: "Invalid", message: message.to_owned() }
}
