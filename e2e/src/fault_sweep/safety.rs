//! Owns the checks of everything that the operator wrote, and of the final state.

use std::collections::HashMap;

use anyhow::Result;
use chrono::TimeDelta;

use super::{
    cluster_view::{Objects, read_all},
    dump::dump,
    path::{EndState, LifecyclePath, PermittedDeletion},
    reference::References,
    rig::{BYSTANDER, Rig},
};
use crate::{
    fixtures::{condition, ensure_equal, holds, text},
    proxy::Entry,
};

/// The retention of the class of the path that ends with an expiry.
const RETENTION: TimeDelta = TimeDelta::seconds(3);

/// The longest time before its end at which a space may be sealed.
const SEAL_LEAD: TimeDelta = TimeDelta::milliseconds(250);

/// The path of each space of the batch.
pub type PathsBySpace<'a> = HashMap<String, &'a LifecyclePath>;

/// The violations of the writes from number `from` on: the space, and a message.
pub fn unsafe_writes(rig: &Rig, spaces: &PathsBySpace<'_>, from: usize) -> Vec<(String, String)> {
    let violations = rig.proxy.journal().writes(from).into_iter().filter_map(|entry| {
        let reason = violation(rig, spaces, &entry)?;
        Some((entry.request_info.space.clone().unwrap_or_default(), format!("{reason}: {}", entry.line())))
    });
    violations.collect()
}

/// The violation of one write, if any.
fn violation(rig: &Rig, spaces: &PathsBySpace<'_>, entry: &Entry) -> Option<&'static str> {
    let request_info = &entry.request_info;
    let name = request_info.space.as_deref().unwrap_or_default();
    if name == BYSTANDER {
        return Some("a namespace that is not ours was written to");
    }
    // Classes are shared by spaces, and Events may concern deleted objects.
    if matches!(request_info.resource.as_str(), "events" | "spaceclasses") {
        return None;
    }
    let Some(path) = spaces.get(name) else { return Some("something was written that no case asked for") };
    let due = rig.due_time(name);
    let is_early = |retention: TimeDelta| due.is_none_or(|due| entry.at < due + retention);
    let lacks_uid = request_info.uid.is_none();
    match (request_info.verb, request_info.resource.as_str()) {
        (_, "namespaces") if path.end_state == EndState::Refused => Some("a foreign namespace was written to"),
        ("delete", "namespaces") if path.deletion == PermittedDeletion::Never => {
            Some("a namespace was deleted that nobody wants to go")
        }
        ("delete", "namespaces") if is_early(TimeDelta::zero()) => Some("a namespace was deleted before its time"),
        ("delete", _) if lacks_uid => Some("something was deleted without its UID"),
        ("delete", "developerspaces") if path.deletion != PermittedDeletion::WhenDue || is_early(RETENTION) => {
            Some("a space was deleted before its time")
        }
        ("delete", "developerspaces") if request_info.version.is_none() => {
            Some("a space was deleted without its resourceVersion")
        }
        ("deletecollection", _) => Some("a whole collection was deleted"),
        ("patch", "developerspaces") if request_info.subresource == "status" && request_info.version.is_none() => {
            Some("a status was written without its resourceVersion")
        }
        ("patch", "developerspaces")
            if request_info.seals && (path.deletion != PermittedDeletion::WhenDue || is_early(-SEAL_LEAD)) =>
        {
            Some("a space was sealed before its time")
        }
        _ if !request_info.namespace.is_empty() && !is_operator_object(&request_info.name) => {
            Some("somebody else's object was written to")
        }
        _ => None,
    }
}

fn is_operator_object(name: &str) -> bool {
    name == "developerspace" || name.starts_with("developerspace-")
}

/// Compares the final state in the API server with the reference runs, and finds orphans. All objects are listed again.
pub async fn final_state(rig: &Rig, spaces: &PathsBySpace<'_>, references: &References) -> Result<FinalState> {
    let all = read_all(&rig.client).await?;
    let nothing = Objects::new();
    let mut found = FinalState::default();
    for (name, path) in spaces {
        let objects = all.get(name).unwrap_or(&nothing);
        let Some(reference) = references.get(path.name) else { continue };
        if let Err(error) = ensure_equal(name, &dump(name, objects), &reference.end) {
            found.end_violations.push((name.clone(), format!("{error:#}")));
        }
    }
    found.orphans = find_orphans(&all);
    Ok(found)
}

/// The ORPH violations by space, from a new list of all objects.
pub async fn orphans(rig: &Rig) -> Result<Vec<(String, String)>> {
    Ok(find_orphans(&read_all(&rig.client).await?))
}

fn find_orphans(all: &HashMap<String, Objects>) -> Vec<(String, String)> {
    let known = all.iter().filter(|(name, _)| *name != BYSTANDER);
    known.filter_map(|(name, objects)| Some((name.clone(), orphan(objects)?))).collect()
}

/// The violations of the final state, by space.
#[derive(Debug, Default)]
pub struct FinalState {
    /// The END violations.
    pub end_violations: Vec<(String, String)>,
    /// The ORPH violations.
    pub orphans: Vec<(String, String)>,
}

/// The ORPH violation of one space, if any.
fn orphan(objects: &Objects) -> Option<String> {
    let (space, namespace) = (objects.get("DeveloperSpace"), objects.get("Namespace"));
    let is_managed =
        |object| text(object, "/metadata/labels/app.kubernetes.io~1managed-by") == "developerspace-operator";
    match (space, namespace) {
        (None, Some(namespace)) if is_managed(namespace) => Some("a namespace of ours has no space".to_owned()),
        (Some(space), None) if !holds(space, "Expired") && condition(space, "Ready")["status"] == "True" => {
            Some(format!("a space that says it is ready has no namespace: {}", space["status"]))
        }
        _ => None,
    }
}
