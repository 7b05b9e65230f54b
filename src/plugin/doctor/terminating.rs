//! Explains why a space cannot be deleted or stays terminating. `stuck_namespace` explains what blocks the deletion of its namespace.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    findings::{Finding, ended, listed, patch},
    operator,
    snapshot::Observed,
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
pub(super) const PATIENCE: TimeDelta = TimeDelta::seconds(60);

pub(super) fn judge(seen: &Observed, now: DateTime<Utc>) -> Vec<Finding> {
    seen.space.found().and_then(|space| held(seen, space, now)).into_iter().collect()
}

fn unprotect(name: &str) -> String {
    patch(name, &json!({"spec": {"protected": false}}))
}

/// The finding about the protection of a space that is not being deleted.
fn protected(seen: &Observed, space: &DeveloperSpace, now: DateTime<Utc>) -> Option<Finding> {
    let name = space.name_any();
    let class = seen.class_in_force().map(|class| &class.spec);
    // `consent` reports a class that does not allow protection.
    if !space.spec.protected || is_true(space, types::EXPIRED) || class.is_some_and(|class| !allows_protected(class)) {
        return None;
    }
    if protection::is_endless(space, class) {
        let sentence =
            format!("DeveloperSpace {name} is protected: it does not expire, and it cannot be deleted until the protection is removed.");
        return Some(Finding::note(sentence).mended_by([unprotect(&name)]));
    }
    let end = space.status.as_ref().and_then(|status| status.expires_at);
    let end = end.map(|end| format!(": the space expires {} ({})", format::from_now(now, end), rfc3339(end))).unwrap_or_default();
    Some(Finding::warning(format!(
        "DeveloperSpace {name} sets spec.protected, but the protection is not in force{end}. The protection takes effect when the operator \
        accepts the spec."
    )))
}

/// The finding about what blocks the deletion of the space itself.
fn held(seen: &Observed, space: &DeveloperSpace, now: DateTime<Utc>) -> Option<Finding> {
    let name = space.name_any();
    let Some(since) = space.metadata.deletion_timestamp.as_ref().and_then(from_k8s) else { return protected(seen, space, now) };
    let age = now - since;
    let lead = format!("DeveloperSpace {name} has been terminating for {}", format::span(age));
    let class = seen.class_in_force().map(|class| &class.spec);
    if protection::is_in_force(space, class) && !is_true(space, types::EXPIRED) {
        let unprotect = unprotect(&name);
        let sentence = format!("{lead} and is protected; the deletion waits until the protection is removed.");
        return Some(Finding::problem(sentence).mended_by([unprotect]));
    }
    let foreign: Vec<String> = space.finalizers().iter().filter(|finalizer| *finalizer != names::FINALIZER).cloned().collect();
    let has_ours = space.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER);
    if !has_ours {
        let sentence = format!(
            "{lead} and waits for the controller that set the finalizer {}. Remove the finalizer only if that controller no longer exists.",
            listed(&foreign)
        );
        return Some(Finding::problem(sentence).mended_by([format!("kubectl edit dspace {name}")]));
    }
    let also = if foreign.is_empty() { String::new() } else { format!(" The deletion also waits for the finalizer {}.", listed(&foreign)) };
    // Waiting does not help if a request of the operator is refused.
    let is_refused = ready(space).is_some_and(|(_, _, message)| message.starts_with(DELETION_WAITS));
    if age < PATIENCE && !is_refused {
        let sentence = format!("{lead} and waits until its namespace is deleted: wait a moment.{also}");
        return Some(Finding::warning(sentence).mended_by([format!("kubectl wait dspace/{name} --for=delete --timeout=60s")]));
    }
    if seen.namespace.is_absent() || (seen.namespace.found().is_some() && !seen.is_namespace_going()) {
        let what = if seen.namespace.is_absent() {
            "its namespace no longer exists, but its finalizer remains"
        } else {
            "its namespace is not being deleted"
        };
        let (state, mut commands) = operator::state(seen);
        // The reason why the operator does not continue: the DELETE is refused, or the class does not allow Retain.
        let said = ready(space).filter(|(status, _, message)| *status == "False" && !message.is_empty());
        let said = said.map(|(_, _, message)| format!(" The operator reports: {}", ended(message))).unwrap_or_default();
        let mut sentence = format!("{lead}, and {what}.{said} {state}{also}");
        if seen.namespace.is_absent() && foreign.is_empty() {
            sentence.push_str(" Remove the finalizer with the last command only if the operator was removed permanently.");
            commands.push(patch(&name, &json!({"metadata": {"finalizers": null}})));
        }
        return Some(Finding::problem(sentence).mended_by(commands));
    }
    // If the namespace can be read, another check reports what holds it. Otherwise the operator's message is the only source.
    let told = ready(space).filter(|(_, reason, _)| *reason == Reason::Terminating.as_str()).map(|(_, _, message)| message);
    let message = told.filter(|message| !message.is_empty() && seen.namespace.found().is_none()).map(|message| format!(" ({message})"));
    let sentence = format!("{lead} and waits until its namespace is deleted{}.{also}", message.unwrap_or_default());
    Some(Finding::problem(sentence).mended_by([format!("kubectl get namespace {name} -o yaml")]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        fetched::Look,
        fixtures::{class, lines, now, read, told, well, with},
    };

    const UNPROTECT: &str = r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#;
    const YAML: &str = "  kubectl get namespace orchid-lab -o yaml";

    fn judged(seen: &Observed) -> Vec<String> {
        lines(&judge(seen, now()))
    }

    /// A space that has been terminating for two hours.
    fn leaving(change: impl FnOnce(&mut DeveloperSpace)) -> Observed {
        with(|space| {
            space.metadata.deletion_timestamp = read("2026-11-24T07:00:00Z".into());
            change(space);
        })
    }

    #[test]
    fn protection_is_told() {
        let consenting = |mut seen: Observed| {
            let mut class = class();
            class.spec.lifetime.as_mut().unwrap().allow_protected = true;
            seen.classes = Look::Seen(vec![class]);
            seen
        };
        let endless = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.status.as_mut().unwrap().expires_at = None;
        };
        let protected = consenting(with(endless));
        let note = "Note: DeveloperSpace orchid-lab is protected: it does not expire, and it cannot be deleted until the protection is \
            removed.";
        assert_eq!(judged(&protected), [note, UNPROTECT]);
        let problem = "Problem: DeveloperSpace orchid-lab has been terminating for 2h and is protected; the deletion waits until the protection is \
            removed.";
        assert_eq!(judged(&consenting(leaving(|space| space.spec.protected = true))), [problem, UNPROTECT]);
        // If the class does not allow protection, spec.protected has no effect.
        assert!(judged(&leaving(|space| space.spec.protected = true))[0].contains("its namespace is not being deleted"));
        assert_eq!(judged(&well()), Vec::<String>::new());
    }

    #[test]
    fn a_protection_that_is_not_in_force_is_told_with_the_end() {
        let mut allows = class();
        allows.spec.lifetime.as_mut().unwrap().allow_protected = true;
        let mut orchard = allows.clone();
        orchard.metadata.name = Some("orchard".to_owned());
        let refused = |space: &mut DeveloperSpace| {
            space.spec.protected = true;
            space.status.as_mut().unwrap().terms = Some(read(json!({"ttl": "7d", "allowProtected": true})));
            told(space, "QuotaExceedsClass", "spec.quota exceeds the class");
        };
        let mut seen = with(refused);
        seen.classes = Look::Seen(vec![allows.clone()]);
        let expected =
            ["Warning: DeveloperSpace orchid-lab sets spec.protected, but the protection is not in force: the space expires in 7d \
            (2026-12-01T09:00:00Z). The protection takes effect when the operator accepts the spec."];
        assert_eq!(judged(&seen), expected);
        // The spec names a class that allows protection, and the class in force does not.
        let mut seen = with(|space| {
            refused(space);
            space.spec.class_name = Some("orchard".to_owned());
        });
        seen.classes = Look::Seen(vec![class(), orchard]);
        assert_eq!(judged(&seen), Vec::<String>::new());
        let all = lines(&crate::plugin::doctor::judge(&seen, now()));
        assert!(all.iter().any(|line| line.contains("SpaceClass greenhouse does not allow that (lifetime.allowProtected)")), "{all:?}");
        assert!(all.iter().all(|line| !line.contains("does not expire")), "{all:?}");
        let mut unobserved = with(|space| {
            space.spec.protected = true;
            (space.metadata.generation, space.status.as_mut().unwrap().expires_at) = (Some(5), None);
        });
        unobserved.classes = Look::Seen(vec![allows]);
        let expected = [
            "Warning: DeveloperSpace orchid-lab sets spec.protected, but the protection is not in force. The protection takes effect when \
            the operator accepts the spec.",
        ];
        assert_eq!(judged(&unobserved), expected);
    }

    #[test]
    fn spaces_that_wait() {
        let others = leaving(|space| space.metadata.finalizers = Some(vec!["example.com/billing".to_owned()]));
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h and waits for the controller that set the finalizer \
            example.com/billing. Remove the finalizer only if that controller no longer exists.",
            "  kubectl edit dspace orchid-lab",
        ];
        assert_eq!(judged(&others), expected);
        let log = "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20";
        let mut seen = leaving(|_| {});
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace is not being deleted. The operator is \
            running (2 of 2 replicas are available); see its log for details.",
            log,
        ];
        assert_eq!(judged(&seen), expected);
        seen.namespace = Look::Seen(None);
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace no longer exists, but its finalizer \
            remains. The operator is running (2 of 2 replicas are available); see its log for details. Remove the finalizer with the last \
            command only if the operator was removed permanently.",
            log,
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"metadata":{"finalizers":null}}'"#,
        ];
        assert_eq!(judged(&seen), expected);
        let mut seen = leaving(|space| told(space, "Terminating", "namespace orchid-lab is being deleted: pods remain"));
        seen.namespace = Look::Needless;
        let expected = [
            "Problem: DeveloperSpace orchid-lab has been terminating for 2h and waits until its namespace is deleted (namespace orchid-lab \
            is being deleted: pods remain).",
            YAML,
        ];
        assert_eq!(judged(&seen), expected);
        let seen =
            leaving(|space| told(space, "ApplyFailed", "failed to delete namespace orchid-lab: guard.example.com denied the request"));
        let expected = "Problem: DeveloperSpace orchid-lab has been terminating for 2h, and its namespace is not being deleted. The \
            operator reports: failed to delete namespace orchid-lab: guard.example.com denied the request. The operator is running (2 of 2 \
            replicas are available); see its log for details.";
        assert_eq!(judged(&seen)[0], expected);
        let refused = with(|space| {
            space.metadata.deletion_timestamp = read("2026-11-24T08:59:50Z".into());
            told(space, "Terminating", &format!("{DELETION_WAITS}failed to delete namespace orchid-lab: volumes first"));
        });
        assert!(judged(&refused)[0].contains("volumes first"), "{:?}", judged(&refused));
        let moment = with(|space| space.metadata.deletion_timestamp = read("2026-11-24T08:59:50Z".into()));
        let expected = [
            "Warning: DeveloperSpace orchid-lab has been terminating for 10s and waits until its namespace is deleted: wait a moment.",
            "  kubectl wait dspace/orchid-lab --for=delete --timeout=60s",
        ];
        assert_eq!(judged(&moment), expected);
    }
}
