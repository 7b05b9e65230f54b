//! Advice about a spec that its class does not allow.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    diagnosis::{Advice, and_list, patch_command, with_period},
    snapshot::ClusterSnapshot,
    unvalidated_class,
};
use crate::{
    api::{
        ClassQuota, DeveloperSpace, SpaceClass,
        conditions::{self, types},
        duration::Ttl,
        names,
    },
    desired::lifetime::rules::LifetimeRules,
    plugin::{class_in_force::default_class, format},
};

pub(super) fn class_not_found(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let Some(classes) = snapshot.classes.value() else {
        return (
            "You cannot list SpaceClasses; ask an administrator which classes exist.".to_owned(),
            vec![format!("kubectl edit dspace {name}")],
        );
    };
    let default = default_class(classes);
    let Some(choice) = default.or_else(|| classes.first()) else {
        return (
            "No SpaceClass exists; an administrator must create one.".to_owned(),
            vec!["kubectl explain spaceclass.spec".to_owned()],
        );
    };
    let all: Vec<String> = classes.iter().map(kube::ResourceExt::name_any).collect();
    let default_text = default
        .map_or_else(|| "none is the default".to_owned(), |class| format!("{} is the default", class.name_any()));
    let advice = format!("The classes are {}; {default_text}.", and_list(&all));
    let choice = choice.name_any();
    let mut commands = vec![patch_command(&name, &json!({"spec": {"className": choice}}))];
    if default.is_none() {
        commands.push(format!("kubectl annotate spaceclass {choice} {}=true", names::ANNOTATION_DEFAULT_CLASS));
        return (format!("{advice} Choose one, or ask an administrator to mark one as the default."), commands);
    }
    (format!("{advice} Choose one."), commands)
}

/// Advice about a class without any accepted spec.
pub(super) fn class_not_accepted(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let other = patch_command(&name, &json!({"spec": {"className": "OTHER-CLASS"}}));
    let Some(class) = snapshot.class() else {
        return ("Ask an administrator to correct the SpaceClass, or choose another class.".to_owned(), vec![other]);
    };
    if let Some((sentence, mut commands)) = unvalidated_class::advice(snapshot, class) {
        commands.push(other);
        return (format!("{sentence} Until then, you can choose another class."), commands);
    }
    let accepted = class.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::ACCEPTED));
    let condition = accepted
        .filter(|accepted| accepted.status == "False")
        .map(|accepted| format!(" ({}): {}", accepted.reason, accepted.message));
    let class = class.name_any();
    let sentence = with_period(&format!("SpaceClass {class} is not accepted{}", condition.unwrap_or_default()));
    let commands = vec![format!("kubectl edit spaceclass {class}"), other];
    (format!("{sentence} Ask an administrator to correct it, or choose another class."), commands)
}

pub(super) fn invalid_spec(snapshot: &ClusterSnapshot, space: &DeveloperSpace, now: DateTime<Utc>) -> Advice {
    let name = space.name_any();
    let class = snapshot.class();
    if let Some(at) = space.spec.renewed_at.filter(|at| *at > now) {
        let when = format::from_now(now, at);
        return (
            format!(
                "spec.renewedAt is in the future: the problem resolves itself {when}. To fix it now, renew the space."
            ),
            vec![format!("kubectl dspace renew {name}")],
        );
    }
    if let Some(ttl) = class.and_then(|class| fitting_ttl(space, class)) {
        return (
            format!("The class allows a ttl of {ttl}."),
            vec![patch_command(&name, &json!({"spec": {"ttl": ttl}}))],
        );
    }
    let commands = vec![format!("kubectl edit dspace {name}"), "kubectl explain dspace.spec".to_owned()];
    ("Correct the field that the message names; existing objects stay unchanged until then.".to_owned(), commands)
}

/// A ttl that the class allows, if the space requests a longer one.
fn fitting_ttl(space: &DeveloperSpace, class: &SpaceClass) -> Option<String> {
    let rules = LifetimeRules::from_class(&class.spec).ok()?;
    let is_too_long = match space.spec.ttl.as_deref()?.parse::<Ttl>().ok()? {
        Ttl::Never => !rules.allow_never,
        Ttl::After(span) => rules.max_ttl.is_some_and(|max| span > max),
    };
    let lifetime = class.spec.lifetime.as_ref().filter(|_| is_too_long)?;
    lifetime.max_ttl.clone().or_else(|| lifetime.default_ttl.clone())
}

pub(super) fn quota_exceeds(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let Some(class) = snapshot.class() else {
        return (
            "You cannot read its class; ask an administrator what it allows.".to_owned(),
            vec![format!("kubectl edit dspace {name}")],
        );
    };
    let none = ClassQuota::default();
    let quota = class.spec.quota.as_ref().unwrap_or(&none);
    let most: BTreeMap<&String, &String> =
        quota.hard.iter().chain(&quota.max).map(|(resource, most)| (resource, &most.0)).collect();
    let limits: Vec<String> = most.iter().map(|(resource, most)| format!("{resource} {most}")).collect();
    let class = class.name_any();
    let advice = if limits.is_empty() {
        format!("SpaceClass {class} has no quota, so a space cannot set one.")
    } else {
        format!("SpaceClass {class} allows at most {}.", and_list(&limits))
    };
    let fitting = space.spec.quota.iter().filter_map(|(resource, asked)| match most.get(resource) {
        Some(&most) if asked.compare(&most.as_str().into()).is_some_and(std::cmp::Ordering::is_le) => None,
        // In a merge patch, null removes a key.
        most => Some((resource.clone(), most.map_or(Value::Null, |most| most.as_str().into()))),
    });
    let fitting: serde_json::Map<String, Value> = fitting.collect();
    let command = if fitting.is_empty() {
        format!("kubectl edit dspace {name}")
    } else {
        patch_command(&name, &json!({"spec": {"quota": fitting}}))
    };
    (
        format!("{advice} Request less, or choose a class with a larger quota."),
        vec![command, "kubectl dspace classes".to_owned()],
    )
}

pub(super) fn role_not_allowed(snapshot: &ClusterSnapshot, space: &DeveloperSpace) -> Advice {
    let name = space.name_any();
    let Some(class) = snapshot.class() else {
        return (
            "You cannot read its class; ask an administrator which roles it has.".to_owned(),
            vec![format!("kubectl edit dspace {name}")],
        );
    };
    let roles: Vec<String> = class.spec.roles.iter().map(|role| role.name.clone()).collect();
    // The suggested replacement is view, which grants the fewest permissions, or else the first role of the class.
    let role = roles.iter().find(|role| *role == "view").or_else(|| roles.first());
    let mut commands = Vec::new();
    for member in space.spec.members.iter().filter(|member| !roles.contains(&member.role)) {
        let subject = format::shell_quoted(&member.subject().to_string());
        commands.push(format!(
            "kubectl dspace members remove {name} {subject} --role {}",
            format::shell_quoted(&member.role)
        ));
        commands.extend(role.map(|role| format!("kubectl dspace members add {name} {subject} --role {role}")));
    }
    let class = class.name_any();
    if commands.is_empty() {
        let advice = "All roles exist in the class. An administrator must create the ClusterRole that the message names, or correct the class.";
        return (advice.to_owned(), vec![format!("kubectl edit spaceclass {class}")]);
    }
    let role_list = if roles.is_empty() {
        "has no roles for members".to_owned()
    } else {
        format!("has the roles {}", and_list(&roles))
    };
    (format!("SpaceClass {class} {role_list}."), commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::{
        diagnosis::Diagnosis,
        fetched::Fetched,
        fixtures::{advice_lines, class, now, parse, unready_with},
        not_ready::diagnose,
    };

    #[test]
    fn the_advice_for_a_missing_class_lists_the_classes() {
        let mut snapshot = unready_with("ClassNotFound", |space| space.spec.class_name = Some("orangery".to_owned()));
        let expected = [
            "The classes are greenhouse; greenhouse is the default. Choose one.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"className":"greenhouse"}}'"#,
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        let mut plain = class();
        plain.metadata.annotations = None;
        let mut second = plain.clone();
        second.metadata.name = Some("meadow".to_owned());
        snapshot.classes = Fetched::Found(vec![plain, second]);
        let expected = [
            "The classes are greenhouse and meadow; none is the default. Choose one, or ask an administrator to mark one as the default.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"className":"greenhouse"}}'"#,
            "  kubectl annotate spaceclass greenhouse developerspace.dev/is-default-class=true",
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        snapshot.classes = Fetched::Found(vec![]);
        assert_eq!(
            advice_lines(&snapshot),
            ["No SpaceClass exists; an administrator must create one.", "  kubectl explain spaceclass.spec"]
        );
        snapshot.classes = Fetched::NotNeeded;
        assert_eq!(
            advice_lines(&snapshot)[0],
            "You cannot list SpaceClasses; ask an administrator which classes exist."
        );
    }

    #[test]
    fn the_advice_for_an_invalid_spec() {
        let snapshot = unready_with("InvalidSpec", |space| space.spec.ttl = Some("90d".to_owned()));
        let expected = [
            "The class allows a ttl of 30d.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"ttl":"30d"}}'"#,
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        let never = unready_with("InvalidSpec", |space| space.spec.ttl = Some("never".to_owned()));
        assert_eq!(advice_lines(&never), expected);
        let early =
            unready_with("InvalidSpec", |space| space.spec.renewed_at = Some("2026-11-24T09:05:00Z".parse().unwrap()));
        let expected = [
            "spec.renewedAt is in the future: the problem resolves itself in 5m. To fix it now, renew the space.",
            "  kubectl dspace renew orchid-lab",
        ];
        assert_eq!(advice_lines(&early), expected);
        let other = unready_with("InvalidSpec", |_| {});
        let expected = [
            "Correct the field that the message names; existing objects stay unchanged until then.",
            "  kubectl edit dspace orchid-lab",
            "  kubectl explain dspace.spec",
        ];
        assert_eq!(advice_lines(&other), expected);
    }

    #[test]
    fn the_advice_for_a_class_that_is_not_accepted() {
        let mut snapshot = unready_with("ClassNotAccepted", |_| {});
        let mut broken = class();
        broken.status = parse(json!({"conditions": [{
            "type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "quota.hard cores: no such resource",
            "lastTransitionTime": "2026-11-20T09:00:00Z",
        }]}));
        snapshot.classes = Fetched::Found(vec![broken]);
        let other = r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"className":"OTHER-CLASS"}}'"#;
        let expected = [
            "SpaceClass greenhouse is not accepted (InvalidSpec): quota.hard cores: no such resource. Ask an administrator to correct it, \
            or choose another class.",
            "  kubectl edit spaceclass greenhouse",
            other,
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        snapshot.classes = Fetched::Found(vec![class()]);
        let expected = [
            "The operator has not validated the current spec of SpaceClass greenhouse, so new spaces wait. The validation usually takes a \
            moment. If this persists, a webhook or a policy of the cluster may reject the operator's write of the status of the class: the \
            Events about the class contain the error. The operator is running (2 of 2 replicas are available); see its log for details. \
            Until then, you can choose another class.",
            "  kubectl describe spaceclass greenhouse",
            "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20",
            other,
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        snapshot.classes = Fetched::NotNeeded;
        assert_eq!(
            advice_lines(&snapshot),
            ["Ask an administrator to correct the SpaceClass, or choose another class.", other]
        );
    }

    #[test]
    fn the_advice_for_quotas_and_roles_that_the_class_does_not_allow() {
        let quota = [("requests.cpu", "30"), ("pods", "10"), ("services", "2")];
        let mut snapshot = unready_with("QuotaExceedsClass", |space| {
            space.spec.quota = quota.map(|(resource, asked)| (resource.to_owned(), asked.into())).into();
            space.spec.members.push(parse(
                json!({"kind": "ServiceAccount", "namespace": "ci-home", "name": "robot", "role": "admin"}),
            ));
        });
        let expected = [
            "SpaceClass greenhouse allows at most pods 40 and requests.cpu 20. Request less, or choose a class with a larger quota.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"quota":{"requests.cpu":"20","services":null}}}'"#,
            "  kubectl dspace classes",
        ];
        assert_eq!(advice_lines(&snapshot), expected);
        let (advice, commands) = role_not_allowed(&snapshot, snapshot.space.object().unwrap());
        assert_eq!(advice, "SpaceClass greenhouse has the roles edit and view.");
        let expected = [
            "kubectl dspace members remove orchid-lab ServiceAccount:ci-home/robot --role admin",
            "kubectl dspace members add orchid-lab ServiceAccount:ci-home/robot --role view",
        ];
        assert_eq!(commands, expected);
        let (advice, commands) = role_not_allowed(&snapshot, &crate::plugin::doctor::fixtures::space());
        assert!(advice.contains("must create the ClusterRole that the message names"), "{advice}");
        assert_eq!(commands, ["kubectl edit spaceclass greenhouse"]);
        snapshot.classes = Fetched::NotNeeded;
        assert_eq!(advice_lines(&snapshot)[0], "You cannot read its class; ask an administrator what it allows.");
        let (advice, _) = role_not_allowed(&snapshot, snapshot.space.object().unwrap());
        assert_eq!(advice, "You cannot read its class; ask an administrator which roles it has.");
    }

    #[test]
    fn the_message_of_the_operator_precedes_the_advice() {
        let told: Vec<Diagnosis> = diagnose(&unready_with("InvalidSpec", |_| {}), now());
        assert!(
            told[0].sentence.starts_with("DeveloperSpace orchid-lab is not ready (InvalidSpec): so it is. Correct"),
            "{told:?}"
        );
    }
}
