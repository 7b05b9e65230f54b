//! I7: a class that is refused or missing deletes nothing and suppresses nothing, and objects that others created remain.

use serde_json::Value;

use crate::{
    adversary::{
        act::Act,
        cast::Class,
        classes::Rules,
        story::{Seen, Story, is_living},
    },
    fixtures::{condition, holds, is_observed, name_of, text, uid_of},
};

pub(super) fn check(story: &Story) -> Result<(), String> {
    let Some((before, seen)) = story.last_two() else { return Ok(()) };
    judged(story, seen)?;
    restored(story, seen)?;
    for space in seen.spaces() {
        let reason = &condition(space, "Ready")["reason"];
        if reason == "ClassNotAccepted"
            && seen.living_namespace(space).is_some()
            && text(space, "/status/className") == text(space, "/spec/className")
        {
            return Err(format!("DeveloperSpace {} has its namespace and is not Ready, since its class was refused later", name_of(space)));
        }
    }
    match before {
        Some(before) => before.spaces().try_for_each(|space| still_there(story, (before, seen), space)),
        None => Ok(()),
    }
}

/// A class that contradicts itself is not accepted.
fn judged(story: &Story, seen: &Seen) -> Result<(), String> {
    for class in Class::ALL {
        let name = story.cast.class(class);
        let Some(object) = seen.class(&name).filter(|class| is_observed(class)) else { continue };
        if holds(object, "Accepted") && Rules::of(&object["spec"]).is_none() {
            return Err(format!("SpaceClass {name} contradicts itself and is accepted: {}", object["spec"]));
        }
    }
    Ok(())
}

/// Only an administrator may delete a namespace that an administrator restored.
fn restored(story: &Story, seen: &Seen) -> Result<(), String> {
    for deed in story.accepted() {
        let (Act::RestoreNamespace(space), Ok(namespace)) = (deed.act, &deed.answer) else { continue };
        let deleted = story.accepted().any(|later| later.act == Act::DeleteNamespace(space) && later.at > deed.at);
        let stays = seen.namespace(&story.cast.space(space)).is_some_and(|now| uid_of(now) == uid_of(namespace) && is_living(now));
        if !deleted && !stays {
            return Err(format!("namespace {} was restored by an administrator and was deleted", name_of(namespace)));
        }
    }
    Ok(())
}

/// A namespace is deleted only when its space has expired or is deleted, or by an administrator.
fn still_there(story: &Story, (before, seen): (&Seen, &Seen), space: &Value) -> Result<(), String> {
    let Some(namespace) = before.living_namespace(space) else { return Ok(()) };
    let name = name_of(space);
    let stays = seen.namespace(name).is_some_and(|now| uid_of(now) == uid_of(namespace) && is_living(now));
    let by_hand =
        story.accepted().any(|deed| matches!(deed.act, Act::DeleteNamespace(of) if story.cast.space(of) == name) && deed.at >= before.at);
    if stays || by_hand {
        return Ok(());
    }
    let mut versions = story.versions.get(name).into_iter().flatten().filter(|version| uid_of(&version.space) == uid_of(space));
    let is_ended = versions.any(|version| holds(&version.space, "Expired") || !version.space["metadata"]["deletionTimestamp"].is_null());
    if is_ended { Ok(()) } else { Err(format!("namespace {name} went, and its space has neither expired nor been deleted")) }
}
