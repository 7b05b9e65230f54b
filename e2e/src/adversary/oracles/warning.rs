//! I6: no space expires without a warning that was in place for the required time, or before the end that its status
//! showed.

use chrono::TimeDelta;

use crate::{
    adversary::{
        history::Version,
        trace::{Incarnation, Trace},
    },
    fixtures::{holds, text},
};

/// A warning within ten seconds of its threshold counts as given at the threshold.
const LATE: TimeDelta = TimeDelta::seconds(12);

/// A seal is written shortly before the end.
const EARLY: TimeDelta = TimeDelta::seconds(2);

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    trace.incarnations().try_for_each(|incarnation| warned(trace, &incarnation))
}

fn warned(trace: &Trace, incarnation: &Incarnation<'_>) -> Result<(), String> {
    let Some(place) = incarnation.sealed() else { return Ok(()) };
    let seal = &incarnation.versions[place];
    let had_namespace =
        incarnation.versions[..place].iter().any(|version| !version.space["status"]["namespace"].is_null());
    let (Some(end), true) = (seal.expires_at, had_namespace) else { return Ok(()) };
    let shown = incarnation.versions[place - 1].expires_at;
    if shown.is_none_or(|shown| shown > seal.at + EARLY) {
        let shown = shown.map_or_else(|| "never".to_owned(), |shown| shown.to_string());
        return Err(format!(
            "DeveloperSpace {} was sealed at {}, and its status said before that it ends at {shown}",
            incarnation.name(),
            seal.at
        ));
    }
    // A class whose shortest warning is longer moves the end until the given warning has been in place for that time.
    // After a renewal, a new warning is given.
    let longest_move = trace.all_rules().map(|rules| rules.warn.1).max().unwrap_or_default() + LATE;
    let is_of_this_end = |version: &Version| {
        let moved = version.expires_at.map(|warned| end - warned);
        let is_near = moved.is_some_and(|moved| moved >= -LATE && moved <= longest_move);
        let space = &version.space;
        holds(space, "Expiring") && is_near && space["spec"]["renewedAt"] == seal.space["spec"]["renewedAt"]
    };
    let standing = incarnation.versions[..place].iter().rev().take_while(|version| is_of_this_end(version)).last();
    let present_for = standing.map_or_else(TimeDelta::zero, |version| seal.at - version.at);
    let in_force = trace.class(text(&seal.space, "/status/className"));
    let rules = in_force.map(|class| trace.rules_since(class, incarnation.created())).unwrap_or_default();
    let shortest = rules.iter().map(|rules| rules.warn.1).min().unwrap_or_default();
    let begun = incarnation.renewals().map(|(at, _)| at).chain([incarnation.created()]).max().unwrap_or_default();
    let needed = shortest.min(end - begun);
    if present_for < needed - LATE {
        return Err(format!(
            "DeveloperSpace {} was sealed at {}: a warning of its end at {end} has to stand for {} s, and stood for {} s",
            incarnation.name(),
            seal.at,
            needed.num_seconds(),
            present_for.num_seconds()
        ));
    }
    Ok(())
}
