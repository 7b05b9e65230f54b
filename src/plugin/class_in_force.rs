//! The spec of a SpaceClass that applies to its spaces, and the class that applies to spaces that name none.

use crate::api::{Access, SpaceClass, SpaceClassSpec, is_default_class};

/// The name of a class, its spec in force and its current spec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassInForce<'a> {
    /// The name of the class.
    pub(crate) name: &'a str,
    /// The spec in force, or the current spec if none is in force.
    pub(crate) spec: &'a SpaceClassSpec,
    /// The current spec, which may not be accepted.
    pub(crate) current: &'a SpaceClassSpec,
}

impl<'a> ClassInForce<'a> {
    /// The name and the specs of a class.
    pub(crate) fn new(class: &'a SpaceClass) -> Self {
        Self {
            name: class.metadata.name.as_deref().unwrap_or_default(),
            spec: class.in_force().unwrap_or(&class.spec),
            current: &class.spec,
        }
    }

    /// The settings for access to the spaces of the class.
    pub(crate) fn access(self) -> Option<&'a Access> {
        self.spec.access.as_ref()
    }

    /// The organizations for certificates: those that both specs contain. The approver refuses a request with any
    /// other.
    pub(crate) fn certificate_organizations(self) -> Vec<String> {
        let current = self.current.certificate_organizations();
        self.spec
            .certificate_organizations()
            .iter()
            .filter(|organization| current.contains(organization))
            .cloned()
            .collect()
    }
}

/// The default class: the oldest class that is marked as default.
pub(crate) fn default_class(classes: &[SpaceClass]) -> Option<&SpaceClass> {
    let age = |class: &&SpaceClass| (class.metadata.creation_timestamp.clone(), class.metadata.name.clone());
    classes.iter().filter(|class| is_default_class(&class.metadata)).min_by_key(age)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_certificate_has_the_organizations_that_both_specs_contain() {
        let spec = |organizations: &[&str]| json!({"access": {"certificate": {"organizations": organizations}}});
        for (current, accepted, expected) in [
            (vec!["botany", "zoology"], None, vec!["botany", "zoology"]),
            (vec!["botany"], Some(vec!["botany", "zoology"]), vec!["botany"]),
            (vec!["botany", "zoology"], Some(vec!["zoology"]), vec!["zoology"]),
            (vec![], Some(vec!["botany"]), vec![]),
        ] {
            let status = accepted.as_ref().map_or(Value::Null, |accepted| json!({"accepted": spec(accepted)}));
            let class: SpaceClass = serde_json::from_value(json!({
                "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"},
                "spec": spec(&current), "status": status,
            }))
            .unwrap();
            assert_eq!(ClassInForce::new(&class).certificate_organizations(), expected, "{current:?} {accepted:?}");
        }
    }
}
