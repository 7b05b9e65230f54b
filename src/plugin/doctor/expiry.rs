//! Spaces that end soon, or that have expired and are not being deleted.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;

use super::{diagnosis::Diagnosis, operator, snapshot::ClusterSnapshot};
use crate::{
    api::{DeveloperSpace, conditions::types, time::rfc3339},
    desired::plan::{ClassVerdict, class_verdict},
    plugin::{expiry_setting, format, spaces::is_true},
};

/// An end that is closer than this is reported even if the class has no warnings.
const REPORTED_BEFORE_EXPIRY: TimeDelta = TimeDelta::hours(24);

/// The operator deletes an expired namespace within a second. This is the time allowed for a restart of the operator.
const OPERATOR_RESTART_LIMIT: TimeDelta = TimeDelta::seconds(30);

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    snapshot.space.object().and_then(|space| expiry_diagnosis(snapshot, space, now)).into_iter().collect()
}

fn expiry_diagnosis(snapshot: &ClusterSnapshot, space: &DeveloperSpace, now: DateTime<Utc>) -> Option<Diagnosis> {
    let end = space.status.as_ref()?.expires_at?;
    let name = space.name_any();
    if space.metadata.deletion_timestamp.is_some() || is_true(space, types::EXPIRED) {
        return None;
    }
    let (when, date) = (format::from_now(now, end), rfc3339(end));
    if now - end > OPERATOR_RESTART_LIMIT {
        let (state, commands) = operator::state(snapshot);
        let sentence = format!(
            "DeveloperSpace {name} expired {when} ({date}), but the operator has not deleted its namespace. {state}{}",
            pending_validation(snapshot)
        );
        return Some(Diagnosis::problem(sentence).with_commands(commands));
    }
    if !is_true(space, types::EXPIRING) && end - now > REPORTED_BEFORE_EXPIRY {
        return None;
    }
    let sentence =
        format!("DeveloperSpace {name} expires {when} ({date}), and its namespace is deleted with everything in it.");
    if let Some(why) = expiry_setting::expiry_source(space, snapshot.class_in_force())
        .and_then(|source| expiry_setting::renewal_obstacle(space, source))
    {
        return Some(Diagnosis::warning(format!("{sentence} Note that {why}.")));
    }
    Some(
        Diagnosis::warning(format!("{sentence} A renewal restarts its TTL."))
            .with_commands([format!("kubectl dspace renew {name}")]),
    )
}

/// The end of the sentence about an expired space that is not deleted, while the spec of its class was not validated.
fn pending_validation(snapshot: &ClusterSnapshot) -> String {
    let pending = snapshot.class_in_force().filter(|class| class_verdict(class) == ClassVerdict::Pending);
    pending.map_or_else(String::new, |class| {
        format!(" The seal may wait for the validation of SpaceClass {}.", class.name_any())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{class_validated_in, healthy, healthy_with, lines, now, parse},
    };

    fn ends(at: &str, change: impl FnOnce(&mut DeveloperSpace)) -> Vec<String> {
        let snapshot = healthy_with(|space| {
            space.status.as_mut().unwrap().expires_at = Some(at.parse().unwrap());
            change(space);
        });
        lines(&diagnose(&snapshot, now()))
    }

    #[test]
    fn a_near_expiry_is_reported_with_the_way_to_extend_it() {
        let near = "Warning: DeveloperSpace orchid-lab expires in 3h (2026-11-24T12:00:00Z), and its namespace is deleted with everything in it.";
        let at = "2026-11-24T12:00:00Z";
        let plain = [format!("{near} A renewal restarts its TTL."), "  kubectl dspace renew orchid-lab".to_owned()];
        assert_eq!(ends(at, |_| {}), plain);
        let dated = format!(
            "{near} Note that a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later date with `kubectl \
            edit dspace orchid-lab`, or set a ttl with `kubectl dspace renew orchid-lab --ttl DURATION`."
        );
        let accepted = |space: &mut DeveloperSpace| {
            space.spec.expires_at = Some(at.parse().unwrap());
            space.status.as_mut().unwrap().terms = parse(serde_json::json!({"expiresAt": at}));
        };
        assert_eq!(ends(at, accepted), [dated]);
        let capped = format!(
            "{near} Note that a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a space to 180d \
            (lifetime.maxLifetime): create another space with `kubectl dspace create OTHER-NAME`, or move this space to a class that \
            allows a longer lifetime."
        );
        assert_eq!(
            ends(at, |space| space.metadata.creation_timestamp = parse("2026-05-28T12:00:00Z".into())),
            [capped]
        );
    }

    #[test]
    fn an_expired_space_that_is_not_deleted_is_a_problem() {
        let problem = "Problem: DeveloperSpace orchid-lab expired 2h ago (2026-11-24T07:00:00Z), but the operator has not deleted its namespace. \
            The operator is running (2 of 2 replicas are available); see its log for details.";
        let mut snapshot = healthy_with(|space| {
            space.status.as_mut().unwrap().expires_at = Some("2026-11-24T07:00:00Z".parse().unwrap());
        });
        for (validated, cause) in [(4, ""), (3, " The seal may wait for the validation of SpaceClass greenhouse.")] {
            snapshot.classes = Fetched::Found(vec![class_validated_in(validated, &Value::Null)]);
            let expected = [
                format!("{problem}{cause}"),
                "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20".to_owned(),
            ];
            assert_eq!(lines(&diagnose(&snapshot, now())), expected);
        }
    }

    #[test]
    fn a_distant_or_completed_expiry_is_not_reported() {
        assert_eq!(diagnose(&healthy(), now()), []);
        let leaving =
            |space: &mut DeveloperSpace| space.metadata.deletion_timestamp = parse("2026-11-24T08:00:00Z".into());
        assert!(ends("2026-11-24T12:00:00Z", leaving).is_empty());
        let condition = |type_: &str| {
            parse(
                serde_json::json!({"type": type_, "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z"}),
            )
        };
        let sealed = |space: &mut DeveloperSpace| space.status.as_mut().unwrap().conditions.push(condition("Expired"));
        assert!(ends("2026-11-24T07:00:00Z", sealed).is_empty());
        let warned = |space: &mut DeveloperSpace| space.status.as_mut().unwrap().conditions.push(condition("Expiring"));
        assert_eq!(ends("2026-11-27T09:00:00Z", warned)[1], "  kubectl dspace renew orchid-lab");
        let endless = healthy_with(|space| space.status.as_mut().unwrap().expires_at = None);
        assert_eq!(diagnose(&endless, now()), []);
    }
}
