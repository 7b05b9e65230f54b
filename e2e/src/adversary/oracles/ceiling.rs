//! I1: the end of a space is within the ceilings of its class, unless the class consents.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{
    adversary::story::{Life, Seen, Story, is_living, written},
    fixtures::{holds, text},
};

/// The time that a write may take.
const SLACK: TimeDelta = TimeDelta::seconds(20);
/// The shortest notice of an end that a change brought near.
const NOTICE: TimeDelta = TimeDelta::minutes(5);
/// The shortest notice of a consent that was withdrawn.
const WITHDRAWN: TimeDelta = TimeDelta::days(7);
/// The time within which an unblocked deletion is complete.
const DELETED_WITHIN: TimeDelta = TimeDelta::seconds(90);

pub(super) fn check(story: &Story) -> Result<(), String> {
    story.lives().try_for_each(|life| {
        within_the_class(story, &life)?;
        deleted(story, &life)
    })
}

/// The time since which a space is past the ceiling of its class, and the cause.
struct Over {
    since: DateTime<Utc>,
    /// True if a change moved the ceiling, so that the longer notice applies.
    by_a_change: bool,
}

fn within_the_class(story: &Story, life: &Life<'_>) -> Result<(), String> {
    let mut over: Option<Over> = None;
    let mut before: Option<&Seen> = None;
    for seen in &story.seen {
        over = step(story, life, (before, seen), over)?;
        before = Some(seen);
    }
    let (Some(over), Some(last)) = (over, before) else { return Ok(()) };
    let shortest = story.all_rules().map(|rules| rules.warn.1).max().unwrap_or_default();
    let longest = story.all_rules().map(|rules| rules.warn.0).max().unwrap_or_default().max(NOTICE);
    let notice = match over.by_a_change {
        true if story.was_endless() => WITHDRAWN.max(longest),
        true => longest,
        false => shortest,
    };
    let excused = story.last_excuse(last.at).map(|at| at + if story.was_endless() { WITHDRAWN.max(longest) } else { longest });
    let deadline = (over.since + notice).max(excused.unwrap_or_default()) + story.lateness + SLACK;
    if last.at > deadline {
        return Err(format!(
            "DeveloperSpace {} lives at {}: it is past the ceiling of its class since {}, and the longest notice was over at {deadline}",
            life.name(),
            last.at,
            over.since
        ));
    }
    Ok(())
}

fn step(story: &Story, life: &Life<'_>, (before, seen): (Option<&Seen>, &Seen), over: Option<Over>) -> Result<Option<Over>, String> {
    let Some(space) = own(life, seen).filter(|space| !holds(space, "Expired")) else { return Ok(None) };
    let in_force = text(space, "/status/className");
    let rules = story.class(in_force).and_then(|class| story.rules(class, seen.at));
    let (Some(rules), Some(namespace)) = (rules, seen.own_namespace(space)) else { return Ok(None) };
    if !is_living(namespace) || (space["spec"]["protected"] == true && rules.protected) {
        return Ok(None);
    }
    let never = space["spec"]["ttl"] == "never" && rules.never;
    let life_end = life.created() + rules.max_lifetime;
    let bound = if never { life_end } else { life_end.min(life.latest_anchor(seen.at) + rules.max_ttl) };
    if written(space, "/status/expiresAt").is_none() {
        return Err(format!("DeveloperSpace {} has no end at {}, and SpaceClass {in_force} consents to none", life.name(), seen.at));
    }
    if bound > seen.at {
        return Ok(None);
    }
    let was_there = before.and_then(|before| own(life, before)).is_some_and(|before| text(before, "/status/className") == in_force);
    Ok(Some(match over {
        Some(over) => over,
        None if was_there => Over { since: bound, by_a_change: false },
        None => Over { since: seen.at, by_a_change: true },
    }))
}

/// The space of that life in a state.
fn own<'a>(life: &Life<'_>, seen: &'a Seen) -> Option<&'a Value> {
    seen.space(life.name()).filter(|space| uid(space) == uid(&life.last().space))
}

/// A deleted space is removed, unless its deletion policy retains the namespace.
fn deleted(story: &Story, life: &Life<'_>) -> Result<(), String> {
    let Some(asked) = life.versions.iter().find(|version| !version.space["metadata"]["deletionTimestamp"].is_null()) else { return Ok(()) };
    let Some((_, seen)) = story.last_two() else { return Ok(()) };
    let Some(space) = seen.space(life.name()).filter(|space| uid(space) == uid(&asked.space)) else { return Ok(()) };
    let changed = life
        .versions
        .iter()
        .rev()
        .find(|version| text(&version.space, "/spec/deletionPolicy") == "Retain")
        .map_or(asked.at, |version| version.at);
    let deadline = asked.at.max(changed).max(story.restarts.last().copied().unwrap_or_default()) + DELETED_WITHIN + story.lateness;
    if text(space, "/spec/deletionPolicy") != "Retain" && seen.at > deadline {
        Err(format!("DeveloperSpace {} was deleted at {} and is still there at {}", life.name(), asked.at, seen.at))
    } else {
        Ok(())
    }
}

fn uid(space: &Value) -> &str {
    crate::fixtures::uid_of(space)
}
