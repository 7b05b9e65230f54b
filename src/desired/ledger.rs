//! The ledger: every property of a space's spec, and the ceiling that the class sets for it.
//!
//! [`validate_spec`] destructures the spec without `..`, so that a new field does not compile before its ceiling is
//! decided. `tests/fixtures/ledger.yaml` has a row for each property of the served schema. Tests apply each row to this
//! function and to the admission policies.

use chrono::{DateTime, Utc};

use super::{
    admitted::Admitted,
    contact,
    lifetime::{inputs, rules::LifetimeRules},
    quota,
    resolve::{Ruling, check_subjects, resolve_among},
    space_name::{self, Reservation},
    spec_refusal::SpecRefusal,
};
use crate::api::{
    DeletionPolicy, DeveloperSpace, DeveloperSpaceSpec, SpaceClassSpec, conditions::Reason,
    protected_namespaces::ProtectedNamespaces,
};

/// The most bytes that the keys and values of `spec.labels` and `spec.annotations` may have in all.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;

/// The input of [`validate_spec`] besides the space and its class.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The current time.
    pub now: DateTime<Utc>,
    /// Names and accounts that belong to the cluster.
    pub protected: &'a ProtectedNamespaces,
    /// The names and labels that the network rules of all classes rely on.
    pub admitted: &'a Admitted,
    /// The reason why the space's name is reserved, if it is.
    pub reservation: Option<Reservation>,
    /// True if the space has a namespace, or had one. Such a space keeps its name.
    pub has_namespace: bool,
}

/// Validates the whole spec of `space` under `class`, the spec in force of that name.
pub fn validate_spec(
    space: &DeveloperSpace,
    class_name: &str,
    class: &SpaceClassSpec,
    around: &Surroundings<'_>,
) -> Ruling {
    let DeveloperSpaceSpec {
        // These depend on the caller, which only admission knows: the verb `use`, and `allowTransfer`.
        class_name: _,
        owner: _,
        // `resolve_among` cuts roles and quantities, and `check_subjects` validates the owner and members.
        members: _,
        quota,
        limit_range: _,
        // Text has no ceiling but its length, which the schema sets.
        display_name: _,
        description: _,
        contact,
        // `resolve_among` validates their keys, and `too_large` their size.
        labels: _,
        annotations: _,
        // `inputs::refusal` validates all times together.
        ttl: _,
        expires_at: _,
        renewed_at: _,
        protected,
        deletion_policy,
    } = &space.spec;
    let name = space.metadata.name.as_deref().unwrap_or_default();
    let is_new = !around.has_namespace;
    let name = is_new
        .then(|| space_name::refusal(name, class_name, class.names.as_ref(), around.reservation.as_ref()))
        .flatten();
    let times = LifetimeRules::from_class(class).ok().and_then(|rules| inputs::refusal(space, &rules, around.now));
    let subjects = check_subjects(space, around.protected).err();
    let lacks = contact::request(contact.as_ref(), contact::required(class), class_name);
    let (refused_contact, noticed_contact) = if is_new { (lacks.map(invalid), None) } else { (None, lacks) };

    let mut ruling = resolve_among(space, class_name, class, around.admitted);
    let before = name.into_iter().chain(times).chain(subjects);
    let after = too_large(&space.spec).into_iter().chain(unprotected(*protected, class_name, class));
    let after = after.chain(unretained(*deletion_policy, class_name, class)).chain(refused_contact);
    ruling.refusals = before.chain(ruling.refusals).chain(after).collect();
    ruling.resolved.notices =
        noticed_contact.into_iter().chain(quota::notices(quota, &ruling.resolved.quota)).collect();
    ruling
}

fn invalid(message: String) -> SpecRefusal {
    SpecRefusal::new(Reason::InvalidSpec, message)
}

/// The bytes that the keys and values of `spec.labels` and `spec.annotations` have in all.
pub fn bytes(spec: &DeveloperSpaceSpec) -> usize {
    [&spec.labels, &spec.annotations].into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum()
}

/// Returns true if the class allows `protected`.
pub(crate) fn allows_protected(class: &SpaceClassSpec) -> bool {
    class.lifetime.as_ref().is_some_and(|lifetime| lifetime.allow_protected)
}

/// Returns true if the class allows `ttl: never`.
pub(crate) fn allows_never(class: &SpaceClassSpec) -> bool {
    class.lifetime.as_ref().is_some_and(|lifetime| lifetime.allow_never)
}

fn too_large(spec: &DeveloperSpaceSpec) -> Option<SpecRefusal> {
    let bytes = bytes(spec);
    (bytes > MAX_METADATA_BYTES).then(|| {
        invalid(format!(
            "spec.labels and spec.annotations have {bytes} bytes in all, and at most {MAX_METADATA_BYTES} are allowed: shorten them"
        ))
    })
}

fn unprotected(protected: bool, class_name: &str, class: &SpaceClassSpec) -> Option<SpecRefusal> {
    (protected && !allows_protected(class)).then(|| {
        invalid(format!(
            "spec.protected: SpaceClass {class_name} does not allow it (lifetime.allowProtected), so the space expires as if it were false: set it to false"
        ))
    })
}

fn unretained(policy: DeletionPolicy, class_name: &str, class: &SpaceClassSpec) -> Option<SpecRefusal> {
    (policy == DeletionPolicy::Retain && !class.allow_retain).then(|| {
        invalid(format!(
            "spec.deletionPolicy: SpaceClass {class_name} does not allow Retain (allowRetain): set it to Delete"
        ))
    })
}

#[cfg(test)]
#[path = "../../tests/fixtures/ledger.rs"]
mod table;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
    use serde_json::{Value, json};

    use super::{table::Ledger, *};
    use crate::api::{conditions::Reason, crd::crds};

    /// The paths of all leaves; a map is a leaf.
    fn leaves(schema: &JSONSchemaProps, at: &str, found: &mut BTreeSet<String>) {
        match (&schema.properties, &schema.items) {
            (Some(properties), _) => {
                for (name, below) in properties {
                    leaves(below, &format!("{at}.{name}"), found);
                }
            }
            (None, Some(JSONSchemaPropsOrArray::Schema(items))) => leaves(items, &format!("{at}[]"), found),
            _ => {
                found.insert(at.to_owned());
            }
        }
    }

    fn ruling(space: &Value, class: &str, spec: &Value, has_namespace: bool) -> Ruling {
        let around = Surroundings {
            now: "2026-03-03T08:00:00Z".parse().unwrap(),
            protected: &ProtectedNamespaces::new("developerspace-system", &[]),
            admitted: &Admitted::default(),
            reservation: None,
            has_namespace,
        };
        validate_spec(
            &serde_json::from_value(space.clone()).unwrap(),
            class,
            &serde_json::from_value(spec.clone()).unwrap(),
            &around,
        )
    }

    #[test]
    fn every_property_of_the_served_schema_has_a_row_and_each_row_is_refused() {
        let ledger = Ledger::read().unwrap();
        let crd = crds().remove(0);
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let mut served = BTreeSet::from(["metadata.name".to_owned()]);
        leaves(&schema.properties.as_ref().unwrap()["spec"], "spec", &mut served);
        let rows: BTreeSet<String> = ledger.rows.iter().map(|row| row.property.clone()).collect();
        assert_eq!(rows, served, "tests/fixtures/ledger.yaml has one row for each property of spec");
        let validate_spec = |space: &Value| ruling(space, &ledger.class.name, &ledger.class.spec, false);
        let accepted = validate_spec(&ledger.asking(None));
        assert_eq!((accepted.refusals, accepted.resolved.notices), (vec![], vec![]));
        for row in ledger.rows.iter().filter(|row| row.free.is_none()) {
            let refusals = validate_spec(&ledger.asking(Some(row))).refusals;
            let said: Vec<_> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
            assert_eq!(said, [row.reason.as_str()], "{}: {refusals:?}", row.property);
            assert!(!row.says.is_empty() && refusals[0].message.contains(&row.says), "{}: {refusals:?}", row.property);
        }
    }

    #[test]
    fn a_space_that_has_its_namespace_keeps_its_name_and_is_asked_for_its_contact() {
        let mut space = Ledger::read().unwrap().asking(None);
        space["metadata"]["name"] = json!("com");
        space["spec"] = json!({"owner": {"kind": "User", "name": "ada@example.com"}});
        let class = json!({"metadata": {"requiredContact": ["team"]}, "names": {"allowed": ["orchid-*"]}});
        let settled = ruling(&space, "bounded", &class, true);
        let asks = "spec.contact lacks team, which SpaceClass bounded requires (metadata.requiredContact): add it";
        assert_eq!((settled.refusals, settled.resolved.notices), (vec![], vec![asks.to_owned()]));
        let new = ruling(&space, "bounded", &class, false);
        assert_eq!(
            new.refusals.iter().map(|refusal| refusal.reason).collect::<Vec<_>>(),
            [Reason::NamespaceConflict, Reason::InvalidSpec]
        );
    }

    #[test]
    fn the_total_size_of_labels_and_annotations_is_limited() {
        let mut space = Ledger::read().unwrap().asking(None);
        let class = json!({"metadata": {"allowedKeys": ["example.com/*"]}});
        let key = "example.com/note-0";
        let annotations = |last: usize| -> Value {
            let text = |length: usize| Value::from("n".repeat(length - key.len()));
            (0..4).map(|n| (format!("example.com/note-{n}"), text(if n == 3 { last } else { 4096 }))).collect()
        };
        for (last, fits) in [(4096, true), (4097, false)] {
            space["spec"] =
                json!({"owner": {"kind": "User", "name": "ada@example.com"}, "annotations": annotations(last)});
            let refusals = ruling(&space, "bounded", &class, true).refusals;
            assert_eq!(refusals.is_empty(), fits, "{last}: {refusals:?}");
        }
    }
}
