//! I4: no user has an effect outside their own namespaces, and only the owner and the members of a space have access to its namespace.

use chrono::TimeDelta;
use serde_json::Value;

use crate::{
    adversary::{
        act::Act,
        cast::{Space, Who},
        story::{Deed, Seen, Story},
    },
    fixtures::{name_of, text},
};

/// The possible difference between the two clocks that are read for one deed.
const APART: TimeDelta = TimeDelta::seconds(2);

pub(super) fn check(story: &Story) -> Result<(), String> {
    let Some((before, seen)) = story.last_two() else { return Ok(()) };
    seen.spaces().filter(|space| seen.living_namespace(space).is_some()).try_for_each(|space| bindings(seen, space))?;
    for space in Space::ALL.into_iter().filter(|space| !space.is_allowed()) {
        let name = story.cast.space(space);
        if seen.namespace(&name).is_some() {
            return Err(format!("there is a namespace {name}, whose name is reserved or refused"));
        }
    }
    let since = before.map(|before| before.at);
    for deed in story.accepted().filter(|deed| deed.act.who() != Who::Admin && since.is_none_or(|since| deed.at > since - APART)) {
        by_the_owner(story, deed)?;
        handed_over(story, deed)?;
    }
    Ok(())
}

/// Only the owner and the members that the space names have access.
fn bindings(seen: &Seen, space: &Value) -> Result<(), String> {
    let name = name_of(space);
    let owner = text(space, "/spec/owner/name");
    let members: Vec<&str> = space["spec"]["members"].as_array().into_iter().flatten().map(|member| text(member, "/name")).collect();
    for binding in seen.inside(name, "RoleBinding").filter(|binding| name_of(binding).starts_with("developerspace-")) {
        let subjects = binding["subjects"].as_array().into_iter().flatten().map(|subject| text(subject, "/name"));
        let is_owners = name_of(binding) == "developerspace-owner";
        let stranger = subjects.into_iter().find(|subject| if is_owners { *subject != owner } else { !members.contains(subject) });
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
fn by_the_owner(story: &Story, deed: &Deed) -> Result<(), String> {
    let who = deed.act.who();
    let (Act::Ask(_, space, _) | Act::Move(_, space, _) | Act::HandOver(_, space, _) | Act::Renew(_, space, _) | Act::Delete(_, space)) =
        deed.act
    else {
        return Ok(());
    };
    let name = story.cast.space(space);
    let versions = story.versions.get(&name).into_iter().flatten().filter(|version| version.at <= deed.at + APART);
    let latest: Vec<_> = versions.collect();
    let near = latest.iter().rev().take_while(|version| version.at >= deed.at - APART).count().max(1) + 1;
    let owns = latest.iter().rev().take(near).any(|version| text(&version.space, "/spec/owner/name") == story.cast.user(who));
    if owns {
        Ok(())
    } else {
        Err(format!("{} changed DeveloperSpace {name} of somebody else: {}", story.cast.user(who), deed.sent.command(None)))
    }
}

/// A new owner needs the consent of the class in force.
fn handed_over(story: &Story, deed: &Deed) -> Result<(), String> {
    let Act::HandOver(who, space, to) = deed.act else { return Ok(()) };
    let name = story.cast.space(space);
    let versions: Vec<_> = story.versions.get(&name).into_iter().flatten().filter(|version| version.at <= deed.at + APART).collect();
    let near = versions.iter().rev().take_while(|version| version.at >= deed.at - APART).count() + 1;
    let mut in_force = versions.iter().rev().take(near).filter_map(|version| story.class(text(&version.space, "/status/className")));
    let consents = in_force.any(|class| story.rules_since(class, deed.at - APART).iter().any(|rules| rules.transfer));
    if who == to || consents {
        Ok(())
    } else {
        Err(format!("{} handed DeveloperSpace {name} over, and the class in force does not allow it", story.cast.user(who)))
    }
}
