//! Explains why a space cannot be deleted or stays terminating. `stuck_namespace` explains what blocks the deletion of
//! its namespace.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    diagnosis::{Diagnosis, and_list, patch_command, with_period},
    operator,
    snapshot::ClusterSnapshot,
};
use crate::{
    api::{
        DeveloperSpace,
        conditions::{Reason, types},
        names,
        time::{from_k8s, rfc3339},
    },
    desired::{ledger::allows_protected, wording::DELETION_WAITS},
    plugin::{
        format, protection,
        spaces::{is_true, ready},
    },
};

/// The time allowed for a normal deletion: pods have 30 seconds to terminate by default.
pub(super) const DELETION_LIMIT: TimeDelta = TimeDelta::seconds(60);

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    snapshot.space.object().and_then(|space| blocked_deletion(snapshot, space, now)).into_iter().collect()
}

fn unprotect_command(name: &str) -> String {
    patch_command(name, &json!({"spec": {"protected": false}}))
}

/// The diagnosis about the protection of a space that is not being deleted.
fn protection_diagnosis(snapshot: &ClusterSnapshot, space: &DeveloperSpace, now: DateTime<Utc>) -> Option<Diagnosis> {
    let name = space.name_any();
    let class = snapshot.class_in_force().map(|class| &class.spec);
    // `consent` reports a class that does not allow protection.
    if !space.spec.protected || is_true(space, types::EXPIRED) || class.is_some_and(|class| !allows_protected(class)) {
        return None;
    }
    if protection::is_endless(space, class) {
        let sentence = format!(
            "DeveloperSpace {name} is protected: it does not expire, and it cannot be deleted until the protection is removed."
        );
        return Some(Diagnosis::note(sentence).with_commands([unprotect_command(&name)]));
    }
    let end = space.status.as_ref().and_then(|status| status.expires_at);
    let end = end
        .map(|end| format!(": the space expires {} ({})", format::from_now(now, end), rfc3339(end)))
        .unwrap_or_default();
    Some(Diagnosis::warning(format!(
        "DeveloperSpace {name} sets spec.protected, but the protection is not in force{end}. The protection takes effect when the operator \
        accepts the spec."
    )))
}

/// The diagnosis about what blocks the deletion of the space itself.
fn blocked_deletion(snapshot: &ClusterSnapshot, space: &DeveloperSpace, now: DateTime<Utc>) -> Option<Diagnosis> {
    let name = space.name_any();
    let Some(since) = space.metadata.deletion_timestamp.as_ref().and_then(from_k8s) else {
        return protection_diagnosis(snapshot, space, now);
    };
    let age = now - since;
    let lead = format!("DeveloperSpace {name} has been terminating for {}", format::short_duration(age));
    let class = snapshot.class_in_force().map(|class| &class.spec);
    if protection::is_in_force(space, class) && !is_true(space, types::EXPIRED) {
        let unprotect = unprotect_command(&name);
        let sentence = format!("{lead} and is protected; the deletion waits until the protection is removed.");
        return Some(Diagnosis::problem(sentence).with_commands([unprotect]));
    }
    let foreign: Vec<String> =
        space.finalizers().iter().filter(|finalizer| *finalizer != names::FINALIZER).cloned().collect();
    let has_ours = space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    if !has_ours {
        let sentence = format!(
            "{lead} and waits for the controller that set the finalizer {}. Remove the finalizer only if that controller no longer exists.",
            and_list(&foreign)
        );
        return Some(Diagnosis::problem(sentence).with_commands([format!("kubectl edit dspace {name}")]));
    }
    let also = if foreign.is_empty() {
        String::new()
    } else {
        format!(" The deletion also waits for the finalizer {}.", and_list(&foreign))
    };
    // Waiting does not help if a request of the operator is refused.
    let is_refused = ready(space).is_some_and(|(_, _, message)| message.starts_with(DELETION_WAITS));
    if age < DELETION_LIMIT && !is_refused {
        let sentence = format!("{lead} and waits until its namespace is deleted: wait a moment.{also}");
        return Some(
            Diagnosis::warning(sentence)
                .with_commands([format!("kubectl wait dspace/{name} --for=delete --timeout=60s")]),
        );
    }
    if snapshot.namespace.is_absent() || (snapshot.namespace.object().is_some() && !snapshot.is_namespace_terminating())
    {
        let what = if snapshot.namespace.is_absent() {
            "its namespace no longer exists, but its finalizer remains"
        } else {
            "its namespace is not being deleted"
        };
        let (state, mut commands) = operator::state(snapshot);
        // The reason why the operator does not continue: the DELETE is refused, or the class does not allow Retain.
        let reported = ready(space).filter(|(status, _, message)| *status == "False" && !message.is_empty());
        let reported = reported
            .map(|(_, _, message)| format!(" The operator reports: {}", with_period(message)))
            .unwrap_or_default();
        let mut sentence = format!("{lead}, and {what}.{reported} {state}{also}");
        if snapshot.namespace.is_absent() && foreign.is_empty() {
            sentence
                .push_str(" Remove the finalizer with the last command only if the operator was removed permanently.");
            commands.push(patch_command(&name, &json!({"metadata": {"finalizers": null}})));
        }
        return Some(Diagnosis::problem(sentence).with_commands(commands));
    }
    // If the namespace can be read, another check reports what holds it. Otherwise the operator's message is the only
    // source.
    let message =
        ready(space).filter(|(_, reason, _)| *reason == Reason::Terminating.as_str()).map(|(_, _, message)| message);
    let message = message
        .filter(|message| !message.is_empty() && snapshot.namespace.object().is_none())
        .map(|message| format!(" ({message})"));
    let sentence = format!("{lead} and waits until its namespace is deleted{}.{also}", message.unwrap_or_default());
    Some(Diagnosis::problem(sentence).with_commands([format!("kubectl get namespace {name} -o yaml")]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{class, healthy, healthy_with, lines, now, parse, set_unready},
    };

    const UNPROTECT: &str = r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#;
    const YAML: &str = "  kubectl get namespace orchid-lab -o yaml";

    fn diagnosis_lines(snapshot: &ClusterSnapshot) -> Vec<String> {
        lines(&diagnose(snapshot, now()))
    }

    /// A space that has been terminating for two hours.
    fn leaving(change: impl FnOnce(&mut DeveloperSpace)) -> ClusterSnapshot {
        healthy_with(|space| {
            space.metadata.deletion_timestamp = parse("2026-11-24T07:00:00Z".into());
            change(space);
        })
    }

    #[test]
    fn a_protection_is_reported() {
        let consenting = |mut snapshot: ClusterSnapshot| {
            let mut class = class();
            class.spec.lifetime.as_mut().unwrap().allow_protected = true;
            snapshot.classes = Fetched::Found(vec![class]);
            snapshot
        };
        let endless = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.status.as_mut().unwrap().expires_at = None;
        };
        let protected = consenting(healthy_with(endless));
        let note = "Note: DeveloperSpace orchid-lab is protected: it does not expire, and it cannot be deleted until the protection is \
            removed.";
        assert_eq!(diagnosis_lines(&protected), [note, UNPROTECT]);
        let problem = "Problem: DeveloperSpace orchid-lab has been terminating for 2h and is protected; the deletion waits until the protection is \
            removed.";
        assert_eq!(diagnosis_lines(&consenting(leaving(|space| space.spec.protected = true))), [problem, UNPROTECT]);
        // If the class does not allow protection, spec.protected has no effect.
        assert!(
            diagnosis_lines(&leaving(|space| space.spec.protected = true))[0]
                .contains("its namespace is not being deleted")
        );
        assert_eq!(diagnosis_lines(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn a_protection_that_is_not_in_force_is_reported_with_the_expiry() {
        let mut allows = class();
        allows.spec.lifetime.as_mut().unwrap().allow_protected = true;
        let mut orchard = allows.clone();
        orchard.metadata.name = Some("orchard".to_owned());
        let refused = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.status.as_mut().unwrap().terms = Some(parse(json!({"ttl": "7d", "allowProtected": true})));
            set_unready(space, "QuotaExceedsClass", "spec.quota exceeds the class");
        };
        let mut snapshot = healthy_with(refused);
        snapshot.classes = Fetched::Found(vec![allows.clone()]);
        let expected = [
            "Warning: DeveloperSpace orchid-lab sets spec.protected, but the protection is not in force: the space expires in 7d \
            (2026-12-01T09:00:00Z). The protection takes effect when the operator accepts the spec.",
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        // The spec names a class that allows protection, and the class in force does not.
        let mut snapshot = healthy_with(|space| {
            refused(space);
            space.spec.class_name = Some("orchard".to_owned());
        });
        snapshot.classes = Fetched::Found(vec![class(), orchard]);
        assert_eq!(diagnosis_lines(&snapshot), Vec::<String>::new());
        let all = lines(&crate::plugin::doctor::diagnose(&snapshot, now()));
        assert!(
            all.iter().any(|line| line.contains("SpaceClass greenhouse does not allow that (lifetime.allowProtected)")),
            "{all:?}"
        );
        assert!(all.iter().all(|line| !line.contains("does not expire")), "{all:?}");
        let mut unobserved = healthy_with(|space| {
            space.spec.protected = true;
            (space.metadata.generation, space.status.as_mut().unwrap().expires_at) = (Some(5), None);
        });
        unobserved.classes = Fetched::Found(vec![allows]);
        let expected = [
            "Warning: DeveloperSpace orchid-lab sets spec.protected, but the protection is not in force. The protection takes effect when \
            the operator accepts the spec.",
        ];
        assert_eq!(diagnosis_lines(&unobserved), expected);
    }

    #[test]
    fn each_cause_that_blocks_the_deletion_of_a_space() {
        let others = leaving(|space| space.metadata.finalizers = Some(vec!["example.com/billing".to_owned()]));
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h and waits for the controller that set the finalizer \
            example.com/billing. Remove the finalizer only if that controller no longer exists.",
            "  kubectl edit dspace orchid-lab",
        ];
        assert_eq!(diagnosis_lines(&others), expected);
        let log = "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20";
        let mut snapshot = leaving(|_| {});
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace is not being deleted. The operator is \
            running (2 of 2 replicas are available); see its log for details.",
            log,
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        snapshot.namespace = Fetched::Found(None);
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace no longer exists, but its finalizer \
            remains. The operator is running (2 of 2 replicas are available); see its log for details. Remove the finalizer with the last \
            command only if the operator was removed permanently.",
            log,
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"metadata":{"finalizers":null}}'"#,
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        let mut snapshot =
            leaving(|space| set_unready(space, "Terminating", "namespace orchid-lab is being deleted: pods remain"));
        snapshot.namespace = Fetched::NotNeeded;
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h and waits until its namespace is deleted (namespace orchid-lab \
            is being deleted: pods remain).",
            YAML,
        ];
        assert_eq!(diagnosis_lines(&snapshot), expected);
        let snapshot = leaving(|space| {
            set_unready(
                space,
                "ApplyFailed",
                "failed to delete namespace orchid-lab: guard.example.com denied the request",
            );
        });
        let expected = "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace is not being deleted. The \
            operator reports: failed to delete namespace orchid-lab: guard.example.com denied the request. The operator is running (2 of 2 \
            replicas are available); see its log for details.";
        assert_eq!(diagnosis_lines(&snapshot)[0], expected);
        let refused = healthy_with(|space| {
            space.metadata.deletion_timestamp = parse("2026-11-24T08:59:50Z".into());
            set_unready(
                space,
                "Terminating",
                &format!("{DELETION_WAITS}failed to delete namespace orchid-lab: volumes first"),
            );
        });
        assert!(diagnosis_lines(&refused)[0].contains("volumes first"), "{:?}", diagnosis_lines(&refused));
        let moment = healthy_with(|space| space.metadata.deletion_timestamp = parse("2026-11-24T08:59:50Z".into()));
        let expected = [
            "Warning: DeveloperSpace orchid-lab has been terminating for 10s and waits until its namespace is deleted: wait a moment.",
            "  kubectl wait dspace/orchid-lab --for=delete --timeout=60s",
        ];
        assert_eq!(diagnosis_lines(&moment), expected);
    }
}
