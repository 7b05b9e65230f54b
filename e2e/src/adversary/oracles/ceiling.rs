//! I1: the end of a space is within the ceilings of its class, unless the class consents.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::{
    adversary::trace::{Incarnation, ObservedState, Trace, is_living, written},
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

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    trace.incarnations().try_for_each(|incarnation| {
        within_the_class(trace, &incarnation)?;
        deleted(trace, &incarnation)
    })
}

/// The time since which a space is past the ceiling of its class, and the cause.
struct Over {
    since: DateTime<Utc>,
    /// True if a change moved the ceiling, so that the longer notice applies.
    by_a_change: bool,
}

fn within_the_class(trace: &Trace, incarnation: &Incarnation<'_>) -> Result<(), String> {
    let mut over: Option<Over> = None;
    let mut before: Option<&ObservedState> = None;
    for state in &trace.states {
        over = step(trace, incarnation, (before, state), over)?;
        before = Some(state);
    }
    let (Some(over), Some(last)) = (over, before) else { return Ok(()) };
    let shortest = trace.all_rules().map(|rules| rules.warn.1).max().unwrap_or_default();
    let longest = trace.all_rules().map(|rules| rules.warn.0).max().unwrap_or_default().max(NOTICE);
    let notice = match over.by_a_change {
        true if trace.was_endless() => WITHDRAWN.max(longest),
        true => longest,
        false => shortest,
    };
    let shortened = trace
        .last_allowed_shortening(last.at)
        .map(|at| at + if trace.was_endless() { WITHDRAWN.max(longest) } else { longest });
    let deadline = (over.since + notice).max(shortened.unwrap_or_default()) + trace.lateness + SLACK;
    if last.at > deadline {
        return Err(format!(
            "DeveloperSpace {} lives at {}: it is past the ceiling of its class since {}, and the longest notice was over at {deadline}",
            incarnation.name(),
            last.at,
            over.since
        ));
    }
    Ok(())
}

fn step(
    trace: &Trace,
    incarnation: &Incarnation<'_>,
    (before, state): (Option<&ObservedState>, &ObservedState),
    over: Option<Over>,
) -> Result<Option<Over>, String> {
    let Some(space) = own(incarnation, state).filter(|space| !holds(space, "Expired")) else { return Ok(None) };
    let in_force = text(space, "/status/className");
    let rules = trace.class(in_force).and_then(|class| trace.rules_before(class, state.at));
    let (Some(rules), Some(namespace)) = (rules, state.own_namespace(space)) else { return Ok(None) };
    if !is_living(namespace) || (space["spec"]["protected"] == true && rules.protected) {
        return Ok(None);
    }
    let never = space["spec"]["ttl"] == "never" && rules.never;
    let life_end = incarnation.created() + rules.max_lifetime;
    let bound = if never { life_end } else { life_end.min(incarnation.latest_anchor(state.at) + rules.max_ttl) };
    if written(space, "/status/expiresAt").is_none() {
        return Err(format!(
            "DeveloperSpace {} has no end at {}, and SpaceClass {in_force} consents to none",
            incarnation.name(),
            state.at
        ));
    }
    if bound > state.at {
        return Ok(None);
    }
    let was_there = before
        .and_then(|before| own(incarnation, before))
        .is_some_and(|before| text(before, "/status/className") == in_force);
    Ok(Some(match over {
        Some(over) => over,
        None if was_there => Over { since: bound, by_a_change: false },
        None => Over { since: state.at, by_a_change: true },
    }))
}

/// The space of that incarnation in a state.
fn own<'a>(incarnation: &Incarnation<'_>, state: &'a ObservedState) -> Option<&'a Value> {
    state.space(incarnation.name()).filter(|space| uid(space) == uid(&incarnation.last().space))
}

/// A deleted space is removed, unless its deletion policy retains the namespace.
fn deleted(trace: &Trace, incarnation: &Incarnation<'_>) -> Result<(), String> {
    let Some(asked) =
        incarnation.versions.iter().find(|version| !version.space["metadata"]["deletionTimestamp"].is_null())
    else {
        return Ok(());
    };
    let Some((_, state)) = trace.last_two() else { return Ok(()) };
    let Some(space) = state.space(incarnation.name()).filter(|space| uid(space) == uid(&asked.space)) else {
        return Ok(());
    };
    let changed = incarnation
        .versions
        .iter()
        .rev()
        .find(|version| text(&version.space, "/spec/deletionPolicy") == "Retain")
        .map_or(asked.at, |version| version.at);
    let deadline =
        asked.at.max(changed).max(trace.restarts.last().copied().unwrap_or_default()) + DELETED_WITHIN + trace.lateness;
    if text(space, "/spec/deletionPolicy") != "Retain" && state.at > deadline {
        Err(format!(
            "DeveloperSpace {} was deleted at {} and is still there at {}",
            incarnation.name(),
            asked.at,
            state.at
        ))
    } else {
        Ok(())
    }
}

fn uid(space: &Value) -> &str {
    crate::fixtures::uid_of(space)
}
