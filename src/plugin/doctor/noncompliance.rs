//! Settings of a space that its class does not allow, and their consequences. None of these deletes or changes anything
//! immediately.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    diagnosis::{Diagnosis, and_list, patch_command},
    snapshot::ClusterSnapshot,
};
use crate::{
    api::{DeveloperSpace, SpaceClass, time::rfc3339},
    desired::{
        contact::{missing, required},
        ledger,
        lifetime::{
            inputs::{lifetime_inputs, rules_of},
            outlook::outlook,
        },
        noncompliance::{Rule, broken, is_subject},
    },
    plugin::{class_in_force::ClassInForce, format, naming, protection},
};

pub(super) fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    let Some(space) = snapshot.space.object() else { return vec![] };
    violations(space, snapshot.class_in_force(), snapshot.classes.items(), now)
}

/// The diagnoses about rules of its class that an existing space does not comply with.
pub(super) fn violations(
    space: &DeveloperSpace,
    class: Option<&SpaceClass>,
    classes: &[SpaceClass],
    now: DateTime<Utc>,
) -> Vec<Diagnosis> {
    let name = space.name_any();
    let of_class = class.map(|class| ClassInForce { spec: &class.spec, ..ClassInForce::new(class) });
    let objection = naming::objection(&name, of_class, classes);
    let rules = broken(space, class.map(|class| &class.spec), objection.is_some());
    let diagnoses = rules.into_iter().filter_map(|rule| match (rule, class) {
        (Rule::Protected, Some(class)) => Some(disallowed_protection(space, class, now)),
        (Rule::Never, Some(class)) => Some(disallowed_never(space, class, now)),
        (Rule::Retain, Some(class)) => Some(disallowed_retain(space, class)),
        (Rule::Contact, Some(class)) => Some(missing_contacts(space, class)),
        (Rule::Name, _) => objection.as_deref().map(|objection| disallowed_name(&name, objection)),
        (Rule::Size, _) => Some(oversized(
            &name,
            "spec.labels and spec.annotations",
            ledger::bytes(&space.spec),
            ledger::MAX_METADATA_BYTES,
        )),
        (Rule::Protected | Rule::Never | Rule::Retain | Rule::Contact, None) => None,
    });
    diagnoses.chain(oversized_metadata(space)).collect()
}

fn disallowed_protection(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> Diagnosis {
    let (correction, permission) = (json!({"protected": false}), json!({"lifetime": {"allowProtected": true}}));
    lifetime_violation(space, class, "is protected", "allowProtected", &expiry(space, class, now))
        .with_commands(alternative_commands(space, class, &correction, &permission))
}

fn disallowed_never(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> Diagnosis {
    let max_ttl = class.spec.lifetime.as_ref().and_then(|lifetime| lifetime.max_ttl.clone());
    let (correction, permission) = (json!({"ttl": max_ttl}), json!({"lifetime": {"allowNever": true}}));
    let is_held = protection::is_endless(space, Some(&class.spec));
    let ends = if is_held {
        "its spec is refused, and it does not expire while it is protected".to_owned()
    } else {
        expiry(space, class, now)
    };
    lifetime_violation(space, class, "requests no expiry (spec.ttl)", "allowNever", &ends)
        .with_commands(alternative_commands(space, class, &correction, &permission))
}

/// The end of a space that requests no end although its class does not allow that.
fn expiry(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> String {
    if let Some(end) = space.status.as_ref().and_then(|status| status.expires_at) {
        return format!("it expires {} ({})", format::from_now(now, end), rfc3339(end));
    }
    let rules = rules_of(space, Some(&class.spec));
    match outlook(&lifetime_inputs(space, rules.as_ref(), false, now), now).expires_at {
        Some(_) => "at the next reconcile, the operator sets an expiry with at least 7 days' notice".to_owned(),
        None => "it has no end until its ttl is an accepted duration, or the class sets lifetime.maxTTL or lifetime.maxLifetime".to_owned(),
    }
}

fn lifetime_violation(space: &DeveloperSpace, class: &SpaceClass, asks: &str, field: &str, ends: &str) -> Diagnosis {
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let sentence = format!(
        "DeveloperSpace {space_name} {asks}, and SpaceClass {class_name} does not allow that (lifetime.{field}): {ends}. Remove this \
        setting, or ask an administrator to allow it in the class."
    );
    Diagnosis::warning(sentence)
}

fn disallowed_retain(space: &DeveloperSpace, class: &SpaceClass) -> Diagnosis {
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let sentence = format!(
        "DeveloperSpace {space_name} sets deletionPolicy: Retain, and SpaceClass {class_name} does not allow that (allowRetain): a \
        deletion of the space is blocked, and its expiry deletes the namespace. Remove this setting, or ask an administrator to allow it \
        in the class."
    );
    Diagnosis::warning(sentence).with_commands(alternative_commands(
        space,
        class,
        &json!({"deletionPolicy": "Delete"}),
        &json!({"allowRetain": true}),
    ))
}

/// The command for the owner, and the alternative command for an administrator.
fn alternative_commands(
    space: &DeveloperSpace,
    class: &SpaceClass,
    correction: &Value,
    permission: &Value,
) -> [String; 2] {
    let allow = format::shell_quoted(&json!({"spec": permission}).to_string());
    let allow = format!("kubectl patch spaceclass {} --type=merge -p {allow}", class.name_any());
    [patch_command(&space.name_any(), &json!({"spec": correction})), allow]
}

fn missing_contacts(space: &DeveloperSpace, class: &SpaceClass) -> Diagnosis {
    let missing = missing(space.spec.contact.as_ref(), required(&class.spec));
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let fields: Vec<String> = missing.iter().map(|field| format!("contact.{field}")).collect();
    let filled: serde_json::Map<String, Value> =
        missing.iter().map(|field| ((*field).to_owned(), field.to_uppercase().into())).collect();
    let sentence = format!(
        "DeveloperSpace {space_name} has no {}, which SpaceClass {class_name} requires of new spaces.",
        and_list(&fields)
    );
    Diagnosis::warning(sentence).with_commands([patch_command(&space_name, &json!({"spec": {"contact": filled}}))])
}

fn disallowed_name(name: &str, objection: &str) -> Diagnosis {
    Diagnosis::note(format!(
        "No new space could be named {name}: {objection}. This one keeps its name and its namespace."
    ))
}

/// The maximum size of a space's own labels and annotations in bytes. Only the policies enforce it: the operator does
/// not read them.
const MAX_OWN_METADATA_BYTES: usize = 96 * 1024;

fn oversized_metadata(space: &DeveloperSpace) -> Option<Diagnosis> {
    let bytes: usize =
        [space.labels(), space.annotations()].into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    let is_large = is_subject(space) && bytes > MAX_OWN_METADATA_BYTES;
    is_large.then(|| {
        oversized(&space.name_any(), "metadata.labels and metadata.annotations", bytes, MAX_OWN_METADATA_BYTES)
    })
}

fn oversized(name: &str, what: &str, bytes: usize, most: usize) -> Diagnosis {
    let sentence = format!(
        "DeveloperSpace {name} has {} KiB of {what}, and a change that adds to them is refused above {} KiB.",
        bytes / 1024,
        most / 1024
    );
    Diagnosis::warning(sentence).with_commands([format!("kubectl edit dspace {name}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{DeletionPolicy, DeveloperSpaceSpec},
        plugin::doctor::fixtures::{class, healthy, healthy_with, lines, now, parse, space},
    };

    fn told(change: impl FnOnce(&mut DeveloperSpace)) -> Vec<String> {
        lines(&diagnose(&healthy_with(change), now()))
    }

    #[test]
    fn disallowed_lifetimes_are_reported_with_the_expiry() {
        assert_eq!(diagnose(&healthy(), now()), []);
        let expected = [
            "Warning: DeveloperSpace orchid-lab is protected, and SpaceClass greenhouse does not allow that (lifetime.allowProtected): it \
            expires in 7d (2026-12-01T09:00:00Z). Remove this setting, or ask an administrator to allow it in the class.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"lifetime":{"allowProtected":true}}}'"#,
        ];
        assert_eq!(told(|space| space.spec.protected = true), expected);
        let endless = told(|space| {
            space.spec.ttl = Some("forever".into());
            space.status.as_mut().unwrap().expires_at = None;
        });
        let expected = [
            "Warning: DeveloperSpace orchid-lab requests no expiry (spec.ttl), and SpaceClass greenhouse does not allow that \
            (lifetime.allowNever): at the next reconcile, the operator sets an expiry with at least 7 days' notice. Remove this setting, \
            or ask an administrator to allow it in the class.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"ttl":"30d"}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"lifetime":{"allowNever":true}}}'"#,
        ];
        assert_eq!(endless, expected);
        let expected = [
            "Warning: DeveloperSpace orchid-lab sets deletionPolicy: Retain, and SpaceClass greenhouse does not allow that (allowRetain): \
            a deletion of the space is blocked, and its expiry deletes the namespace. Remove this setting, or ask an administrator to \
            allow it in the class.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"deletionPolicy":"Delete"}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"allowRetain":true}}'"#,
        ];
        assert_eq!(told(|space| space.spec.deletion_policy = DeletionPolicy::Retain), expected);
    }

    #[test]
    fn a_space_whose_class_sets_no_end_is_promised_none() {
        let mut space = space();
        space.status.as_mut().unwrap().expires_at = None;
        let reported = |space: &DeveloperSpace, lifetime: Value| {
            let mut class = class();
            class.spec.lifetime = parse(lifetime);
            lines(&violations(space, Some(&class), &[], now()))
        };
        let (none, later) = (
            "it has no end until its ttl is an accepted duration, or the class sets lifetime.maxTTL or lifetime.maxLifetime. Remove this \
            setting, or ask an administrator to allow it in the class.",
            "at the next reconcile, the operator sets an expiry with at least 7 days' notice. Remove this setting, or ask an administrator \
            to allow it in the class.",
        );
        let endless = DeveloperSpace {
            spec: DeveloperSpaceSpec { ttl: Some("never".into()), ..space.spec.clone() },
            ..space.clone()
        };
        let protected =
            DeveloperSpace { spec: DeveloperSpaceSpec { protected: true, ..space.spec.clone() }, ..space.clone() };
        for (space, lifetime, ends) in [
            (&endless, json!({"defaultTTL": "90d"}), none),
            (&endless, json!({"maxTTL": "30d"}), later),
            (&endless, json!({"maxLifetime": "180d"}), later),
            (&protected, json!({}), none),
            (&protected, json!({"defaultTTL": "90d"}), later),
            (&protected, json!({"maxTTL": "30d"}), later),
            (&protected, json!({"maxLifetime": "180d"}), later),
        ] {
            let found = reported(space, lifetime.clone());
            assert!(found[0].ends_with(&format!("): {ends}")), "{lifetime}: {found:?}");
        }
        let remove = r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"ttl":null}}'"#;
        assert_eq!(reported(&endless, json!({"defaultTTL": "90d"}))[1], remove);
    }

    #[test]
    fn a_ttl_of_never_is_reported_in_addition_to_the_protection() {
        let mut allows = class();
        let mut space = space();
        (space.spec.protected, space.spec.ttl) = (true, Some("never".into()));
        let said = |space: &DeveloperSpace, class: &SpaceClass| lines(&violations(space, Some(class), &[], now()));
        let first = |line: &String| {
            line.strip_prefix("Warning: ").and_then(|line| line.split_once(", and")).map(|(first, _)| first.to_owned())
        };
        let what = |said: &[String]| said.iter().filter_map(first).collect::<Vec<_>>();
        let (protected, never) =
            ("DeveloperSpace orchid-lab is protected", "DeveloperSpace orchid-lab requests no expiry (spec.ttl)");
        assert_eq!(what(&said(&space, &allows)), [protected, never]);
        allows.spec.lifetime.as_mut().unwrap().allow_protected = true;
        let refused = said(&space, &allows);
        assert_eq!(what(&refused), [never]);
        assert!(
            refused[0].contains("it expires in 7d (2026-12-01T09:00:00Z)"),
            "the protection is not in force: {refused:?}"
        );
        space.status.as_mut().unwrap().expires_at = None;
        let held = said(&space, &allows);
        assert_eq!(what(&held), [never]);
        assert!(held[0].contains("its spec is refused, and it does not expire while it is protected."), "{held:?}");
    }

    #[test]
    fn missing_contacts_disallowed_names_and_large_metadata_are_reported() {
        let mut demanding = class();
        demanding.spec.metadata = parse(json!({"requiredContact": ["team", "email", "costCenter"]}));
        let space = healthy_with(|space| space.metadata.name = Some("orchids".into()));
        let space = space.space.object().unwrap();
        let expected = [
            "Warning: DeveloperSpace orchids has no contact.email and contact.costCenter, which SpaceClass greenhouse requires of new spaces.",
            r#"  kubectl patch dspace orchids --type=merge -p '{"spec":{"contact":{"costCenter":"COSTCENTER","email":"EMAIL"}}}'"#,
        ];
        let said = lines(&violations(space, Some(&demanding), &[], now()));
        assert_eq!(said[..2], expected);
        let name = "Note: No new space could be named orchids: a name without a dash can be a top-level domain";
        assert!(
            said[2].starts_with(name) && said[2].ends_with("This one keeps its name and its namespace."),
            "{said:?}"
        );
        let expected = [
            "Warning: DeveloperSpace orchid-lab has 17 KiB of spec.labels and spec.annotations, and a change that adds to them is refused above 16 KiB.",
            "  kubectl edit dspace orchid-lab",
        ];
        assert_eq!(
            told(|space| drop(space.spec.annotations.insert("example.com/a".into(), "a".repeat(17 * 1024)))),
            expected
        );
    }

    #[test]
    fn a_terminating_space_violates_no_rule() {
        let going = told(|space| {
            space.spec.protected = true;
            space.metadata.deletion_timestamp = parse("2026-11-24T08:00:00Z".into());
        });
        assert_eq!(going, Vec::<String>::new());
    }
}
