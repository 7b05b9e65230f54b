//! What a space asks for that its class does not consent to, and what becomes of it: nothing here deletes or changes anything at once.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    findings::{Finding, listed, patch},
    looks::Observed,
};
use crate::{
    api::{DeletionPolicy, DeveloperSpace, SpaceClass, duration::Ttl, time::rfc3339},
    desired::{contact::missing, term::is_sealed},
    plugin::{human, naming},
};

pub(super) fn judge(seen: &Observed, now: DateTime<Utc>) -> Vec<Finding> {
    let Some(space) = seen.space.found() else { return vec![] };
    touched(space, seen.class(), seen.classes.all(), now)
}

/// What the rules of its class touch in a space that stands.
pub(super) fn touched(space: &DeveloperSpace, class: Option<&SpaceClass>, classes: &[SpaceClass], now: DateTime<Utc>) -> Vec<Finding> {
    if is_sealed(space) || space.metadata.deletion_timestamp.is_some() {
        return vec![];
    }
    let of_class = class.map(|class| [end(space, class, now), retained(space, class), contacts(space, class)]);
    of_class.into_iter().flatten().flatten().chain(name(space, class, classes)).chain(size(space)).collect()
}

/// Whether the class lets owners protect their spaces.
pub(super) fn allows_protected(class: &SpaceClass) -> bool {
    class.spec.lifetime.as_ref().is_some_and(|lifetime| lifetime.allow_protected)
}

/// A life without an end that the class does not allow.
fn end(space: &DeveloperSpace, class: &SpaceClass, now: DateTime<Utc>) -> Option<Finding> {
    let lifetime = class.spec.lifetime.clone().unwrap_or_default();
    let asks_for_never = space.spec.expires_at.is_none() && space.spec.ttl.as_deref().is_some_and(|ttl| ttl.parse() == Ok(Ttl::Never));
    let (asks, field, mended, consent) = if space.spec.protected && !allows_protected(class) {
        ("is protected", "allowProtected", json!({"protected": false}), json!({"lifetime": {"allowProtected": true}}))
    } else if asks_for_never && !lifetime.allow_never && !space.spec.protected {
        ("asks to live for ever", "allowNever", json!({"ttl": lifetime.max_ttl}), json!({"lifetime": {"allowNever": true}}))
    } else {
        return None;
    };
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let end = space.status.as_ref().and_then(|status| status.expires_at);
    let ends = end.map_or_else(
        || "the operator sets its end, with a warning of at least 7 days, at its next look".to_owned(),
        |end| format!("it ends {} ({})", human::from_now(now, end), rfc3339(end)),
    );
    let sentence = format!(
        "DeveloperSpace {space_name} {asks}, and SpaceClass {class_name} does not allow that (lifetime.{field}): {ends}. \
        Take it back, or an administrator lets the class allow it."
    );
    Some(Finding::warning(sentence).mended_by([patch(&space_name, &json!({"spec": mended})), allow(&class_name, &consent)]))
}

fn retained(space: &DeveloperSpace, class: &SpaceClass) -> Option<Finding> {
    if space.spec.deletion_policy != DeletionPolicy::Retain || class.spec.allow_retain {
        return None;
    }
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let sentence = format!(
        "DeveloperSpace {space_name} says deletionPolicy: Retain, and SpaceClass {class_name} does not allow that (allowRetain): \
        a deletion of the space waits, and its end deletes the namespace. Take it back, or an administrator lets the class allow it."
    );
    let mended = patch(&space_name, &json!({"spec": {"deletionPolicy": "Delete"}}));
    Some(Finding::warning(sentence).mended_by([mended, allow(&class_name, &json!({"allowRetain": true}))]))
}

fn contacts(space: &DeveloperSpace, class: &SpaceClass) -> Option<Finding> {
    let required = class.spec.metadata.as_ref().map(|metadata| metadata.required_contact.as_slice()).unwrap_or_default();
    let missing = missing(space.spec.contact.as_ref(), required);
    if missing.is_empty() {
        return None;
    }
    let (space_name, class_name) = (space.name_any(), class.name_any());
    let fields: Vec<String> = missing.iter().map(|field| format!("contact.{field}")).collect();
    let filled: serde_json::Map<String, Value> = missing.iter().map(|field| ((*field).to_owned(), field.to_uppercase().into())).collect();
    let sentence = format!("DeveloperSpace {space_name} has no {}, which SpaceClass {class_name} requires of new spaces.", listed(&fields));
    Some(Finding::warning(sentence).mended_by([patch(&space_name, &json!({"spec": {"contact": filled}}))]))
}

fn name(space: &DeveloperSpace, class: Option<&SpaceClass>, classes: &[SpaceClass]) -> Option<Finding> {
    // A space without a namespace is told by its condition.
    space.status.as_ref()?.namespace.as_ref()?;
    let name = space.name_any();
    let objection =
        naming::objection(&name, class.map(|class| (class.metadata.name.as_deref().unwrap_or_default(), &class.spec)), classes)?;
    Some(Finding::note(format!("No new space could be named {name}: {objection}. This one keeps its name and its namespace.")))
}

/// The most bytes of a space's metadata.
const METADATA: usize = 96 * 1024;
/// The most bytes of `spec.labels` and `spec.annotations`.
const KEYS: usize = 16 * 1024;

fn size(space: &DeveloperSpace) -> Option<Finding> {
    let bytes = |map: &std::collections::BTreeMap<String, String>| map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    let own = bytes(space.labels()) + bytes(space.annotations());
    let asked = bytes(&space.spec.labels) + bytes(&space.spec.annotations);
    let name = space.name_any();
    let (what, size, most) = match (own > METADATA, asked > KEYS) {
        (true, _) => ("metadata.labels and metadata.annotations", own, METADATA),
        (false, true) => ("spec.labels and spec.annotations", asked, KEYS),
        (false, false) => return None,
    };
    let sentence = format!(
        "DeveloperSpace {name} has {} KiB of {what}, and a change that adds to them is refused above {} KiB.",
        size / 1024,
        most / 1024
    );
    Some(Finding::warning(sentence).mended_by([format!("kubectl edit dspace {name}")]))
}

/// What an administrator does to let a class allow something.
fn allow(class: &str, spec: &Value) -> String {
    format!("kubectl patch spaceclass {class} --type=merge -p {}", human::shell(&json!({"spec": spec}).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::fixtures::{class, lines, now, read, well, with};

    fn told(change: impl FnOnce(&mut DeveloperSpace)) -> Vec<String> {
        lines(&judge(&with(change), now()))
    }

    #[test]
    fn what_the_class_does_not_consent_to_is_told_with_its_end() {
        assert_eq!(judge(&well(), now()), []);
        let expected = [
            "Warning: DeveloperSpace orchid-lab is protected, and SpaceClass greenhouse does not allow that (lifetime.allowProtected): \
            it ends in 7d (2026-12-01T09:00:00Z). Take it back, or an administrator lets the class allow it.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"protected":false}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"lifetime":{"allowProtected":true}}}'"#,
        ];
        assert_eq!(told(|space| space.spec.protected = true), expected);
        let endless = told(|space| {
            space.spec.ttl = Some("forever".into());
            space.status.as_mut().unwrap().expires_at = None;
        });
        let expected = [
            "Warning: DeveloperSpace orchid-lab asks to live for ever, and SpaceClass greenhouse does not allow that (lifetime.allowNever): \
            the operator sets its end, with a warning of at least 7 days, at its next look. Take it back, or an administrator lets the class \
            allow it.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"ttl":"30d"}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"lifetime":{"allowNever":true}}}'"#,
        ];
        assert_eq!(endless, expected);
        let expected = [
            "Warning: DeveloperSpace orchid-lab says deletionPolicy: Retain, and SpaceClass greenhouse does not allow that (allowRetain): \
            a deletion of the space waits, and its end deletes the namespace. Take it back, or an administrator lets the class allow it.",
            r#"  kubectl patch dspace orchid-lab --type=merge -p '{"spec":{"deletionPolicy":"Delete"}}'"#,
            r#"  kubectl patch spaceclass greenhouse --type=merge -p '{"spec":{"allowRetain":true}}'"#,
        ];
        assert_eq!(told(|space| space.spec.deletion_policy = DeletionPolicy::Retain), expected);
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
