//! I5: an accepted renewal never shortens a lifetime and is never lost, and no space expires early.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adversary::{
        classes::seconds,
        trace::{Incarnation, Trace, written},
    },
    fixtures::text,
};

/// The time by which a seal may be written early; times have whole seconds.
const EARLY: TimeDelta = TimeDelta::milliseconds(1_300);
/// A warning within ten seconds of its threshold counts as given at the threshold, so an end can come nearer by that
/// time.
const TOLERANCE: TimeDelta = TimeDelta::seconds(12);
/// The recorded times that set an end, except renewals. `warnBefore` is not one of them.
const TIMES: [&str; 7] = ["ttl", "expiresAt", "protected", "maxTTL", "maxLifetime", "allowNever", "allowProtected"];

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    trace.incarnations().try_for_each(|incarnation| {
        sealed_in_time(trace, &incarnation)?;
        announced_ends_stay(&incarnation)
    })
}

/// Between two versions with the same recorded times, only renewals, other warnings and the operator can change the
/// end.
fn announced_ends_stay(incarnation: &Incarnation<'_>) -> Result<(), String> {
    for (before, after) in incarnation.versions.iter().zip(incarnation.versions.iter().skip(1)) {
        let (terms, present) = (&before.space["status"]["terms"], &after.space["status"]["terms"]);
        let is_same = terms.is_object() && TIMES.iter().all(|time| terms[*time] == present[*time]);
        if let (true, Some(announced), Some(end)) = (is_same, before.expires_at, after.expires_at)
            && end < announced - TOLERANCE
        {
            let (name, at) = (incarnation.name(), after.at);
            return Err(format!(
                "DeveloperSpace {name} ends at {end} since {at}, although its times did not change: it showed {announced}"
            ));
        }
    }
    Ok(())
}

fn sealed_in_time(trace: &Trace, incarnation: &Incarnation<'_>) -> Result<(), String> {
    let Some(place) = incarnation.sealed() else { return Ok(()) };
    let seal = &incarnation.versions[place];
    let end = earliest_end(trace, &Incarnation { versions: &incarnation.versions[..place] });
    if seal.at < end - EARLY {
        return Err(format!(
            "DeveloperSpace {} was sealed at {}, and nothing that was ever accepted ends it before {end}",
            incarnation.name(),
            seal.at
        ));
    }
    let in_force = trace.class(text(&seal.space, "/status/className"));
    let consents = in_force.and_then(|class| trace.rules(class, seal.at)).is_some_and(|rules| rules.protected);
    if consents && seal.space["spec"]["protected"] == true {
        Err(format!("DeveloperSpace {} was sealed at {} while it was protected", incarnation.name(), seal.at))
    } else {
        Ok(())
    }
}

/// The earliest possible end, from the last renewal that counted and the shortest of all terms that were ever accepted.
fn earliest_end(trace: &Trace, incarnation: &Incarnation<'_>) -> DateTime<Utc> {
    let specs = || incarnation.versions.iter().map(|version| &version.space);
    let anchor = incarnation.renewals().map(|(_, at)| at).chain([incarnation.created()]).max().unwrap_or_default();
    let asked = specs().filter_map(|space| seconds(space["spec"]["ttl"].as_str()?));
    let allowed = trace.all_rules().flat_map(|rules| [rules.default_ttl, rules.max_ttl]);
    let ttl = asked.chain(allowed).min().unwrap_or_default();
    let longest = trace.all_rules().map(|rules| incarnation.created() + rules.max_lifetime).min();
    let until = specs().filter_map(|space| written(space, "/spec/expiresAt")).min();
    [Some(anchor + ttl), longest, until].into_iter().flatten().min().unwrap_or_default()
}
