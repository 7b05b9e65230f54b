//! I5: an accepted renewal never shortens a life and is never lost, and no space expires early.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adversary::{
        classes::seconds,
        story::{Life, Story, written},
    },
    fixtures::text,
};

/// The time by which a seal may be written early; times have whole seconds.
const EARLY: TimeDelta = TimeDelta::milliseconds(1_300);
/// A warning within ten seconds of its threshold counts as given at the threshold, so an end can come nearer by that time.
const TOLERANCE: TimeDelta = TimeDelta::seconds(12);
/// The recorded times that set an end, except renewals. `warnBefore` is not one of them.
const TIMES: [&str; 7] = ["ttl", "expiresAt", "protected", "maxTTL", "maxLifetime", "allowNever", "allowProtected"];

pub(super) fn check(story: &Story) -> Result<(), String> {
    story.lives().try_for_each(|life| {
        sealed_in_time(story, &life)?;
        announced_ends_stay(&life)
    })
}

/// Between two versions with the same recorded times, only renewals, other warnings and the operator can change the end.
fn announced_ends_stay(life: &Life<'_>) -> Result<(), String> {
    for (before, after) in life.versions.iter().zip(life.versions.iter().skip(1)) {
        let (terms, present) = (&before.space["status"]["terms"], &after.space["status"]["terms"]);
        let is_same = terms.is_object() && TIMES.iter().all(|time| terms[*time] == present[*time]);
        if let (true, Some(announced), Some(end)) = (is_same, before.expires_at, after.expires_at)
            && end < announced - TOLERANCE
        {
            let (name, at) = (life.name(), after.at);
            return Err(format!(
                "DeveloperSpace {name} ends at {end} since {at}, although its times did not change: it showed {announced}"
            ));
        }
    }
    Ok(())
}

fn sealed_in_time(story: &Story, life: &Life<'_>) -> Result<(), String> {
    let Some(place) = life.sealed() else { return Ok(()) };
    let seal = &life.versions[place];
    let end = earliest_end(story, &Life { versions: &life.versions[..place] });
    if seal.at < end - EARLY {
        return Err(format!(
            "DeveloperSpace {} was sealed at {}, and nothing that was ever accepted ends it before {end}",
            life.name(),
            seal.at
        ));
    }
    let in_force = story.class(text(&seal.space, "/status/className"));
    let consents = in_force.and_then(|class| story.rules(class, seal.at)).is_some_and(|rules| rules.protected);
    if consents && seal.space["spec"]["protected"] == true {
        Err(format!("DeveloperSpace {} was sealed at {} while it was protected", life.name(), seal.at))
    } else {
        Ok(())
    }
}

/// The earliest possible end, from the last renewal that counted and the shortest of all terms that were ever accepted.
fn earliest_end(story: &Story, life: &Life<'_>) -> DateTime<Utc> {
    let specs = || life.versions.iter().map(|version| &version.space);
    let anchor = life.renewals().map(|(_, at)| at).chain([life.created()]).max().unwrap_or_default();
    let asked = specs().filter_map(|space| seconds(space["spec"]["ttl"].as_str()?));
    let allowed = story.all_rules().flat_map(|rules| [rules.default_ttl, rules.max_ttl]);
    let ttl = asked.chain(allowed).min().unwrap_or_default();
    let longest = story.all_rules().map(|rules| life.created() + rules.max_lifetime).min();
    let until = specs().filter_map(|space| written(space, "/spec/expiresAt")).min();
    [Some(anchor + ttl), longest, until].into_iter().flatten().min().unwrap_or_default()
}
