//! The result of the validation of a `SpaceClass`, and the spec to record as the one last accepted. The caller looks up
//! the ClusterRoles.

use crate::api::{
    SpaceClass, SpaceClassSpec,
    conditions::{WantedCondition, accepted, types},
    names, syntax,
};

use super::{
    class,
    network_selectors::{self, SelectorContext},
};

/// The longest spec, in bytes: it is stored twice, and the server stores objects of at most 1.5 MiB.
const MAX_SPEC_BYTES: usize = 600 * 1024;

/// The result of the validation of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClassValidation {
    /// Spaces may use it.
    Valid,
    /// Its spec is refused, for the reason in the sentence.
    Invalid(String),
    /// The operator may not bind this ClusterRole.
    NotBindable {
        role: String,
        /// True if the role exists.
        exists: bool,
    },
    /// These ClusterRoles do not exist.
    RolesMissing(Vec<String>),
}

impl ClassValidation {
    /// Returns true if the current spec is in force.
    fn is_in_force(&self) -> bool {
        match self {
            Self::Valid | Self::RolesMissing(_) => true,
            Self::Invalid(_) | Self::NotBindable { .. } => false,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Valid => accepted::VALID,
            Self::Invalid(_) => accepted::INVALID_SPEC,
            Self::NotBindable { .. } => accepted::ROLE_NOT_BINDABLE,
            Self::RolesMissing(_) => accepted::ROLE_NOT_FOUND,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Valid => "spaces may use this class".to_owned(),
            Self::Invalid(problem) => problem.clone(),
            Self::NotBindable { role, exists: false } => format!(
                "ClusterRole {role} does not exist, and the operator may not bind one of that name: correct the name, or create the ClusterRole and add {role} to the resourceNames of the bind rule in the operator's ClusterRole"
            ),
            Self::NotBindable { role, exists: true } => format!(
                "the operator may not bind ClusterRole {role}: name another role, or add {role} to the resourceNames of the bind rule in the operator's ClusterRole"
            ),
            Self::RolesMissing(roles) => format!(
                "{}: create what is missing, or name another ClusterRole; until then no new RoleBinding to it is created, and everything else of this class applies",
                do_not_exist(roles)
            ),
        }
    }

    /// The condition of the class of that name; `defaults` are the classes annotated as the default, the oldest first.
    pub(crate) fn condition(&self, name: &str, defaults: &[String]) -> WantedCondition {
        let message = match default_note(name, defaults) {
            Some(note) => format!("{}; {note}", self.sentence()),
            None => self.sentence(),
        };
        WantedCondition {
            type_: types::ACCEPTED,
            status: *self == Self::Valid,
            reason: self.reason().to_owned(),
            message,
        }
    }

    /// The spec to keep in `status.accepted`: the current one if it is in force, else the one that was in force before.
    pub(crate) fn accepted<'a>(&self, class: &'a SpaceClass) -> Option<&'a SpaceClassSpec> {
        if self.is_in_force() { Some(&class.spec) } else { class.in_force() }
    }
}

/// `ClusterRole a does not exist`, for one or several.
pub(crate) fn do_not_exist(roles: &[String]) -> String {
    match roles {
        [role] => format!("ClusterRole {role} does not exist"),
        roles => format!("ClusterRoles {} do not exist", roles.join(", ")),
    }
}

/// The note on both classes when two are annotated as the default.
fn default_note(name: &str, defaults: &[String]) -> Option<String> {
    let (holder, others) = defaults.split_first()?;
    if others.is_empty() || !defaults.iter().any(|default| default == name) {
        return None;
    }
    let annotation = names::ANNOTATION_DEFAULT_CLASS;
    let note = if holder == name {
        format!("this class is the default, since it is older than SpaceClass {}, which also has", others.join(", "))
    } else {
        format!("this class is not the default, since SpaceClass {holder} is older and also has")
    };
    Some(format!("{note} the annotation {annotation}: remove it from all but one"))
}

/// Validates a class by itself and among the others; the error is a sentence.
pub(crate) fn check(class: &SpaceClass, cluster: &SelectorContext<'_>) -> Result<(), String> {
    check_name(class.metadata.name.as_deref().unwrap_or_default())?;
    class::check(&class.spec)?;
    let length = serde_json::to_string(&class.spec).map_or(0, |text| text.len());
    if length > MAX_SPEC_BYTES {
        return Err(format!(
            "the spec has {length} bytes, and at most {MAX_SPEC_BYTES} are allowed, since status.accepted contains a copy: shorten it"
        ));
    }
    network_selectors::check(&class.spec.network, cluster)
}

/// Validates the name of the class, which is the value of a label on every namespace of the class.
fn check_name(name: &str) -> Result<(), String> {
    if syntax::is_label_value(name) {
        return Ok(());
    }
    Err(format!(
        "the name has {} characters, and the value of a label has at most 63: recreate the class with a shorter name",
        name.len()
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::desired::class_validation::*;

    fn class(accepted: Option<(&str, &str, i64)>, kept: &Value) -> SpaceClass {
        let condition = accepted.map(|(status, reason, generation)| {
            json!({
                "type": "Accepted", "status": status, "reason": reason, "message": "", "observedGeneration": generation,
                "lastTransitionTime": "2026-03-01T00:00:00Z",
            })
        });
        let conditions: Vec<Value> = condition.into_iter().collect();
        let object = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "orchard", "generation": 3},
            "spec": {"description": "present"}, "status": {"conditions": conditions, "accepted": kept},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_last_accepted_spec_is_kept() {
        let before = json!({"description": "before"});
        let invalid = || ClassValidation::Invalid("no".into());
        for (verdict, stands, kept, expected) in [
            (ClassValidation::Valid, None, &Value::Null, Some("present")),
            (ClassValidation::Valid, Some(("True", "Valid", 2)), &before, Some("present")),
            (ClassValidation::RolesMissing(vec!["buyers".into()]), None, &before, Some("present")),
            (invalid(), None, &Value::Null, None),
            (invalid(), Some(("True", "Valid", 2)), &before, Some("before")),
            (
                ClassValidation::NotBindable { role: "edit".into(), exists: true },
                Some(("True", "Valid", 2)),
                &before,
                Some("before"),
            ),
            // An older operator accepted the current spec and kept no copy: it stays in force.
            (invalid(), Some(("True", "Valid", 3)), &Value::Null, Some("present")),
            (invalid(), Some(("False", "RoleNotFound", 3)), &before, Some("present")),
            (invalid(), Some(("False", "InvalidSpec", 3)), &before, Some("before")),
        ] {
            let class = class(stands, kept);
            let accepted = verdict.accepted(&class).and_then(|spec| spec.description.as_deref());
            assert_eq!(accepted, expected, "{verdict:?} where {stands:?} stood and {kept} was kept");
        }
    }

    #[test]
    fn conditions_contain_the_problem_and_the_correction() {
        for (verdict, status, reason, says) in [
            (ClassValidation::Valid, true, "Valid", "spaces may use this class"),
            (ClassValidation::Invalid("too long".into()), false, "InvalidSpec", "too long"),
            (
                ClassValidation::NotBindable { role: "admin".into(), exists: true },
                false,
                "RoleNotBindable",
                "add admin to the resourceNames",
            ),
            (
                ClassValidation::RolesMissing(vec!["buyers".into()]),
                false,
                "RoleNotFound",
                "ClusterRole buyers does not exist: create",
            ),
            (
                ClassValidation::RolesMissing(vec!["a".into(), "b".into()]),
                false,
                "RoleNotFound",
                "ClusterRoles a, b do not exist",
            ),
        ] {
            let condition = verdict.condition("orchard", &["orchard".to_owned()]);
            assert_eq!((condition.type_, condition.status, condition.reason.as_str()), ("Accepted", status, reason));
            assert!(
                condition.message.contains(says) && !condition.message.contains("default"),
                "{}",
                condition.message
            );
        }
    }

    #[test]
    fn two_default_classes_both_report_which_one_is_the_default() {
        let defaults = ["meadow".to_owned(), "orchard".to_owned()];
        let message = |name: &str| ClassValidation::Valid.condition(name, &defaults).message;
        assert_eq!(
            message("meadow"),
            "spaces may use this class; this class is the default, since it is older than SpaceClass orchard, which also has the annotation developerspace.dev/is-default-class: remove it from all but one"
        );
        assert_eq!(
            message("orchard"),
            "spaces may use this class; this class is not the default, since SpaceClass meadow is older and also has the annotation developerspace.dev/is-default-class: remove it from all but one"
        );
        assert_eq!(message("bog"), "spaces may use this class");
    }

    #[test]
    fn a_class_name_that_is_too_long_for_a_label_is_refused() {
        assert_eq!(check_name(&"a".repeat(63)), Ok(()));
        assert!(check_name(&"a".repeat(64)).unwrap_err().contains("64 characters"));
    }
}
