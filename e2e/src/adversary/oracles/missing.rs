//! I7: a class that is refused or missing deletes nothing and suppresses nothing, and objects that others created
//! remain.

use serde_json::Value;

use crate::{
    adversary::{
        action::Action,
        classes::Rules,
        names::Class,
        trace::{ObservedState, Trace, is_living},
    },
    fixtures::{condition, holds, is_observed, name_of, text, uid_of},
};

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    let Some((before, state)) = trace.last_two() else { return Ok(()) };
    contradictory_classes_are_refused(trace, state)?;
    restored(trace, state)?;
    for space in state.spaces() {
        let reason = &condition(space, "Ready")["reason"];
        if reason == "ClassNotAccepted"
            && state.living_namespace(space).is_some()
            && text(space, "/status/className") == text(space, "/spec/className")
        {
            return Err(format!(
                "DeveloperSpace {} has its namespace and is not Ready, since its class was refused later",
                name_of(space)
            ));
        }
    }
    match before {
        Some(before) => before.spaces().try_for_each(|space| still_there(trace, (before, state), space)),
        None => Ok(()),
    }
}

/// A class that contradicts itself is not accepted.
fn contradictory_classes_are_refused(trace: &Trace, state: &ObservedState) -> Result<(), String> {
    for class in Class::ALL {
        let name = trace.names.class(class);
        let Some(object) = state.class(&name).filter(|class| is_observed(class)) else { continue };
        if holds(object, "Accepted") && Rules::of(&object["spec"]).is_none() {
            return Err(format!("SpaceClass {name} contradicts itself and is accepted: {}", object["spec"]));
        }
    }
    Ok(())
}

/// Only an administrator may delete a namespace that an administrator restored.
fn restored(trace: &Trace, state: &ObservedState) -> Result<(), String> {
    for (number, exchange) in trace.accepted().enumerate() {
        let (Action::RestoreNamespace(space), Ok(namespace)) = (exchange.action, &exchange.response) else { continue };
        let deleted = trace.accepted().skip(number + 1).any(|later| later.action == Action::DeleteNamespace(space));
        let stays = state
            .namespace(&trace.names.space(space))
            .is_some_and(|now| uid_of(now) == uid_of(namespace) && is_living(now));
        if !deleted && !stays {
            return Err(format!("namespace {} was restored by an administrator and was deleted", name_of(namespace)));
        }
    }
    Ok(())
}

/// A namespace is deleted only when its space has expired or is deleted, or by an administrator.
fn still_there(trace: &Trace, (before, state): (&ObservedState, &ObservedState), space: &Value) -> Result<(), String> {
    let Some(namespace) = before.living_namespace(space) else { return Ok(()) };
    let name = name_of(space);
    let stays = state.namespace(name).is_some_and(|now| uid_of(now) == uid_of(namespace) && is_living(now));
    let by_hand = trace.accepted().any(|exchange| {
        matches!(exchange.action, Action::DeleteNamespace(of) if trace.names.space(of) == name)
            && exchange.at >= before.at
    });
    if stays || by_hand {
        return Ok(());
    }
    let mut versions =
        trace.versions.get(name).into_iter().flatten().filter(|version| uid_of(&version.space) == uid_of(space));
    let is_ended = versions
        .any(|version| holds(&version.space, "Expired") || !version.space["metadata"]["deletionTimestamp"].is_null());
    if is_ended {
        Ok(())
    } else {
        Err(format!("namespace {name} went, and its space has neither expired nor been deleted"))
    }
}
