//! The lifetime of a space as a timeline.

use chrono::{DateTime, Utc};

use crate::{
    api::{
        DeveloperSpace, SpaceClass,
        duration::format_duration,
        time::{from_k8s, rfc3339},
    },
    desired::lifetime::{
        inputs::{is_sealed, retention},
        rules::LifetimeRules,
    },
    plugin::{class_in_force::ClassInForce, format},
};

/// The past and future events in the lifetime of a space, in chronological order.
pub(super) fn moments(
    space: &DeveloperSpace,
    class: Option<&SpaceClass>,
    now: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, String)> {
    let status = space.status.clone().unwrap_or_default();
    let rules = class.and_then(|class| LifetimeRules::from_class(ClassInForce::new(class).spec).ok());
    let mut moments: Vec<(DateTime<Utc>, String)> = Vec::new();
    moments.extend(space.metadata.creation_timestamp.as_ref().and_then(from_k8s).map(|at| (at, "created".to_owned())));
    moments.extend(status.ready_at.map(|at| (at, "ready".to_owned())));
    let renewals = status.renewals.unwrap_or_default();
    moments.extend(status.last_renewed_at.map(|at| (at, format!("renewed ({renewals} in total)"))));
    moments
        .extend(status.last_warning.map(|warning| (warning.at, format!("warned, {} before expiry", warning.before))));
    if let Some(end) = status.expires_at {
        // A warning threshold in the past is omitted: its warning has been sent, or will never be sent.
        for before in rules.iter().flat_map(|rules| &rules.warn_before) {
            let edge = end.checked_sub_signed(*before).filter(|edge| *edge > now);
            moments.extend(edge.map(|edge| (edge, format!("warning, {} before expiry", format_duration(*before)))));
        }
        moments.push((end, expiry(space, end <= now).to_owned()));
        let forgotten = end.checked_add_signed(retention(rules.as_ref()));
        moments.extend(forgotten.map(|at| (at, "this DeveloperSpace is deleted".to_owned())));
    }
    moments.sort_by_key(|(at, _)| *at);
    moments
}

/// The expiry in the timeline.
fn expiry(space: &DeveloperSpace, is_past: bool) -> &'static str {
    match (is_sealed(space), is_past) {
        (true, _) => "expired",
        (false, true) => "expired: the namespace is about to be deleted with everything in it",
        (false, false) => "expires: the namespace is deleted with everything in it",
    }
}

/// The moments, one on each line, and the current time between those of the past and those of the future.
pub(super) fn text(moments: &[(DateTime<Utc>, String)], now: DateTime<Utc>) -> String {
    let line =
        |(at, what): &(DateTime<Utc>, String)| format!("* {}  {:<14} {what}", rfc3339(*at), format::from_now(now, *at));
    let past = moments.iter().filter(|(at, _)| *at <= now).map(line);
    let coming = moments.iter().filter(|(at, _)| *at > now).map(line);
    past.chain([format!("> {}  now", rfc3339(now))]).chain(coming).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::plugin::fixtures::{a_class, a_space, now};

    #[test]
    fn a_space_that_has_expired_has_no_further_warnings() {
        let mut space = a_space();
        let status = space.status.as_mut().unwrap();
        status.expires_at = Some(now() - TimeDelta::seconds(30));
        status.conditions.clear();
        let coming: Vec<String> = moments(&space, Some(&a_class()), now()).into_iter().map(|(_, what)| what).collect();
        assert_eq!(coming[3..], [expiry(&space, true), "this DeveloperSpace is deleted"]);
    }
}
