//! I4: no user has an effect outside their own namespaces, and only the owner and the members of a space have access to
//! its namespace.

use chrono::TimeDelta;
use serde_json::Value;

use crate::{
    adversary::{
        action::Action,
        names::{Persona, Space},
        trace::{Exchange, ObservedState, Trace},
    },
    fixtures::{name_of, text},
};

/// The possible difference between the two clocks that are read for one exchange.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(2);

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    let Some((before, state)) = trace.last_two() else { return Ok(()) };
    state
        .spaces()
        .filter(|space| state.living_namespace(space).is_some())
        .try_for_each(|space| bindings(state, space))?;
    for space in Space::ALL.into_iter().filter(|space| !space.is_allowed()) {
        let name = trace.names.space(space);
        if state.namespace(&name).is_some() {
            return Err(format!("there is a namespace {name}, whose name is reserved or refused"));
        }
    }
    let since = before.map(|before| before.at);
    for exchange in trace.accepted().filter(|exchange| {
        exchange.action.persona() != Persona::Admin
            && since.is_none_or(|since| exchange.at > since - MAX_CLOCK_DIFFERENCE)
    }) {
        by_the_owner(trace, exchange)?;
        handed_over(trace, exchange)?;
    }
    Ok(())
}

/// Only the owner and the members that the space names have access.
fn bindings(state: &ObservedState, space: &Value) -> Result<(), String> {
    let name = name_of(space);
    let owner = text(space, "/spec/owner/name");
    let members: Vec<&str> =
        space["spec"]["members"].as_array().into_iter().flatten().map(|member| text(member, "/name")).collect();
    for binding in state.inside(name, "RoleBinding").filter(|binding| name_of(binding).starts_with("developerspace-")) {
        let subjects = binding["subjects"].as_array().into_iter().flatten().map(|subject| text(subject, "/name"));
        let is_owners = name_of(binding) == "developerspace-owner";
        let stranger =
            subjects.into_iter().find(|subject| if is_owners { *subject != owner } else { !members.contains(subject) });
        if let Some(stranger) = stranger {
            return Err(format!(
                "RoleBinding {} in namespace {name} lets {stranger} in; the owner is {owner}, the members are {members:?}",
                name_of(binding)
            ));
        }
    }
    Ok(())
}

/// Only its owner changes a space.
fn by_the_owner(trace: &Trace, exchange: &Exchange) -> Result<(), String> {
    let persona = exchange.action.persona();
    let (Action::ChangeSpec(_, space, _)
    | Action::Move(_, space, _)
    | Action::HandOver(_, space, _)
    | Action::Renew(_, space, _)
    | Action::Delete(_, space)) = exchange.action
    else {
        return Ok(());
    };
    let name = trace.names.space(space);
    let versions = trace
        .versions
        .get(&name)
        .into_iter()
        .flatten()
        .filter(|version| version.at <= exchange.at + MAX_CLOCK_DIFFERENCE);
    let latest: Vec<_> = versions.collect();
    let near =
        latest.iter().rev().take_while(|version| version.at >= exchange.at - MAX_CLOCK_DIFFERENCE).count().max(1) + 1;
    let owns = latest
        .iter()
        .rev()
        .take(near)
        .any(|version| text(&version.space, "/spec/owner/name") == trace.names.user(persona));
    if owns {
        Ok(())
    } else {
        Err(format!(
            "{} changed DeveloperSpace {name} of somebody else: {}",
            trace.names.user(persona),
            exchange.request.command(None)
        ))
    }
}

/// A new owner needs the consent of the class in force.
fn handed_over(trace: &Trace, exchange: &Exchange) -> Result<(), String> {
    let Action::HandOver(persona, space, to) = exchange.action else { return Ok(()) };
    let name = trace.names.space(space);
    let versions: Vec<_> = trace
        .versions
        .get(&name)
        .into_iter()
        .flatten()
        .filter(|version| version.at <= exchange.at + MAX_CLOCK_DIFFERENCE)
        .collect();
    let near = versions.iter().rev().take_while(|version| version.at >= exchange.at - MAX_CLOCK_DIFFERENCE).count() + 1;
    let mut in_force =
        versions.iter().rev().take(near).filter_map(|version| trace.class(text(&version.space, "/status/className")));
    let consents = in_force
        .any(|class| trace.rules_since(class, exchange.at - MAX_CLOCK_DIFFERENCE).iter().any(|rules| rules.transfer));
    if persona == to || consents {
        Ok(())
    } else {
        Err(format!(
            "{} handed DeveloperSpace {name} over, and the class in force does not allow it",
            trace.names.user(persona)
        ))
    }
}
