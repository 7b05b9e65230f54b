//! Settings of a space that its class does not allow, and their consequences. None of these deletes or changes anything immediately.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    findings::{Finding, listed, patch},
    snapshot::Observed,
};
use crate::{
    api::{DeveloperSpace, SpaceClass, time::rfc3339},
    desired::{
        contact::{missing, required},
        ledger,
        noncompliance::{Rule, broken, is_subject},
    },
    plugin::{class_in_force::ClassInForce, format, naming, protection},
};

pub(super) fn judge(seen: &Observed, now: DateTime<Utc>) -> Vec<Finding> {
    let Some(space) = seen.space.found() else { return vec![] };
    touched(space, seen.class_in_force(), seen.classes.all(), now)
}

/// The findings about rules of its class that an existing space does not comply with.
pub(super) fn touched(space: &DeveloperSpace, class: Option<&SpaceClass>, classes: &[SpaceClass], now: DateTime<Utc>) -> Vec<Finding> {
    let name = space.name_any();
    let of_class = class.map(|class| ClassInForce { name: class.metadata.name.as_deref().unwrap_or_default(), spec: &class.spec });
    let objection = naming::objection(&name, of_class, classes);
    let rules = broken(space, class.map(|class| &class.spec), objection.is_some());
    let told = rules.into_iter().filter_map(|rule| match (rule, class) {
        (Rule::Protected, Some(class)) => Some(protected(space, class, now)),
        (Rule::Never, Some(class)) => Some(never(space, class, now)),
        (Rule::Retain, Some(class)) => Some(retained(space, class)),
        (Rule::Contact, Some(class)) => Some(contacts(space, class)),
        (Rule::Name, _) => objection.as_deref().map(|objection| named(&name, objection)),
        (Rule::Size, _) => Some(size(&name, "spec.labels and spec.annotations", ledger::bytes(&space.spec), ledger::MOST_BYTES)),
        (Rule::Protected | Rule::Never | Rule::Retain | Rule::Contact, None) => None,
    });
    told.chain(adorned(space)).collect()
}

fn protected(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> Finding {
    let (mended, consent) = (json!({"protected": false}), json!({"lifetime": {"allowProtected": true}}));
    end(space, class, ("is protected", "allowProtected"), &ends(space, now)).mended_by(either(space, class, &mended, &consent))
}

fn never(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> Finding {
    let max_ttl = class.spec.lifetime.as_ref().and_then(|lifetime| lifetime.max_ttl.clone());
    let (mended, consent) = (json!({"ttl": max_ttl}), json!({"lifetime": {"allowNever": true}}));
    let is_held = protection::is_endless(space, Some(&class.spec));
    let ends = if is_held { "its spec is refused, and it does not expire while it is protected".to_owned() } else { ends(space, now) };
    end(space, class, ("requests no expiry (spec.ttl)", "allowNever"), &ends).mended_by(either(space, class, &mended, &consent))
}

/// The end of a space that requests no end although its class does not allow that.
fn ends(space: &DeveloperSpace, now: DateTime<Utc>) -> String {
    let end = space.status.as_ref().and_then(|status| status.expires_at);
    end.map_or_else(
        || "at the next reconcile, the operator sets an expiry with at least 7 days' notice".to_owned(),
        |end| format!("it expires {} ({})", format::from_now(now, end), rfc3339(end)),
    )
}

fn end(space: &DeveloperSpace, class: &SpaceClass, (asks, field): (&str, &str), ends: &str) -> Finding {
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let sentence = format!(
        "DeveloperSpace {space_name} {asks}, and SpaceClass {class_name} does not allow that (lifetime.{field}): {ends}. Remove this \
        setting, or ask an administrator to allow it in the class."
    );
    Finding::warning(sentence)
}

fn retained(space: &DeveloperSpace, class: &SpaceClass) -> Finding {
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let sentence = format!(
        "DeveloperSpace {space_name} sets deletionPolicy: Retain, and SpaceClass {class_name} does not allow that (allowRetain): a \
        deletion of the space is blocked, and its expiry deletes the namespace. Remove this setting, or ask an administrator to allow it \
        in the class."
    );
    Finding::warning(sentence).mended_by(either(space, class, &json!({"deletionPolicy": "Delete"}), &json!({"allowRetain": true})))
}

/// The command for the owner, and the alternative command for an administrator.
fn either(space: &DeveloperSpace, class: &SpaceClass, mended: &Value, consent: &Value) -> [String; 2] {
    let allow = format::shell(&json!({"spec": consent}).to_string());
    let allow = format!("kubectl patch spaceclass {} --type=merge -p {allow}", class.name_any());
    [patch(&space.name_any(), &json!({"spec": mended})), allow]
}

fn contacts(space: &DeveloperSpace, class: &SpaceClass) -> Finding {
    let missing = missing(space.spec.contact.as_ref(), required(&class.spec));
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let fields: Vec<String> = missing.iter().map(|field| format!("contact.{field}")).collect();
    let filled: serde_json::Map<String, Value> = missing.iter().map(|field| ((*field).to_owned(), field.to_uppercase().into())).collect();
    let sentence = format!("DeveloperSpace {space_name} has no {}, which SpaceClass {class_name} requires of new spaces.", listed(&fields));
    Finding::warning(sentence).mended_by([patch(&space_name, &json!({"spec": {"contact": filled}}))])
}

fn named(name: &str, objection: &str) -> Finding {
    Finding::note(format!("No new space could be named {name}: {objection}. This one keeps its name and its namespace."))
}

/// The maximum size of a space's own labels and annotations in bytes. Only the policies enforce it: the operator does not read them.
const MOST_OWN_BYTES: usize = 96 * 1024;

fn adorned(space: &DeveloperSpace) -> Option<Finding> {
    let bytes: usize = [space.labels(), space.annotations()].into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
    let is_large = is_subject(space) && bytes > MOST_OWN_BYTES;
    is_large.then(|| size(&space.name_any(), "metadata.labels and metadata.annotations", bytes, MOST_OWN_BYTES))
}

fn size(name: &str, what: &str, bytes: usize, most: usize) -> Finding {
    let sentence = format!(
        "DeveloperSpace {name} has {} KiB of {what}, and a change that adds to them is refused above {} KiB.",
        bytes / 1024,
        most / 1024
    );
    Finding::warning(sentence).mended_by([format!("kubectl edit dspace {name}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::DeletionPolicy,
        plugin::doctor::fixtures::{class, lines, now, read, space, well, with},
    };

    fn told(change: impl FnOnce(&mut DeveloperSpace)) -> Vec<String> {
        lines(&judge(&with(change), now()))
    }

    #[test]
    fn what_the_class_does_not_consent_to_is_told_with_its_end() {
        assert_eq!(judge(&well(), now()), []);
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
    fn a_ttl_without_end_is_told_beside_the_protection() {
        let mut allows = class();
        let mut space = space();
        (space.spec.protected, space.spec.ttl) = (true, Some("never".into()));
        let said = |space: &DeveloperSpace, class: &SpaceClass| lines(&touched(space, Some(class), &[], now()));
        let first =
            |line: &String| line.strip_prefix("Warning: ").and_then(|line| line.split_once(", and")).map(|(first, _)| first.to_owned());
        let what = |said: &[String]| said.iter().filter_map(first).collect::<Vec<_>>();
        let (protected, never) = ("DeveloperSpace orchid-lab is protected", "DeveloperSpace orchid-lab requests no expiry (spec.ttl)");
        assert_eq!(what(&said(&space, &allows)), [protected, never]);
        allows.spec.lifetime.as_mut().unwrap().allow_protected = true;
        let refused = said(&space, &allows);
        assert_eq!(what(&refused), [never]);
        assert!(refused[0].contains("it expires in 7d (2026-12-01T09:00:00Z)"), "the protection is not in force: {refused:?}");
        space.status.as_mut().unwrap().expires_at = None;
        let held = said(&space, &allows);
        assert_eq!(what(&held), [never]);
        assert!(held[0].contains("its spec is refused, and it does not expire while it is protected."), "{held:?}");
    }

    #[test]
    fn contacts_names_and_sizes_that_new_spaces_could_not_have() {
        let mut demanding = class();
        demanding.spec.metadata = read(json!({"requiredContact": ["team", "email", "costCenter"]}));
        let space = with(|space| space.metadata.name = Some("orchids".into()));
        let space = space.space.found().unwrap();
        let expected = [
            "Warning: DeveloperSpace orchids has no contact.email and contact.costCenter, which SpaceClass greenhouse requires of new spaces.",
            r#"  kubectl patch dspace orchids --type=merge -p '{"spec":{"contact":{"costCenter":"COSTCENTER","email":"EMAIL"}}}'"#,
        ];
        let said = lines(&touched(space, Some(&demanding), &[], now()));
        assert_eq!(said[..2], expected);
        let name = "Note: No new space could be named orchids: a name without a dash can be a top-level domain";
        assert!(said[2].starts_with(name) && said[2].ends_with("This one keeps its name and its namespace."), "{said:?}");
        let expected = [
            "Warning: DeveloperSpace orchid-lab has 17 KiB of spec.labels and spec.annotations, and a change that adds to them is refused above 16 KiB.",
            "  kubectl edit dspace orchid-lab",
        ];
        assert_eq!(told(|space| drop(space.spec.annotations.insert("example.com/a".into(), "a".repeat(17 * 1024)))), expected);
    }

    #[test]
    fn a_space_that_goes_needs_no_consent() {
        let going = told(|space| {
            space.spec.protected = true;
            space.metadata.deletion_timestamp = read("2026-11-24T08:00:00Z".into());
        });
        assert_eq!(going, Vec::<String>::new());
    }
}
