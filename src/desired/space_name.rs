//! The names that a space may have: its name is the name of its namespace, which network rules, bindings of ServiceAccounts and the cluster's DNS
//! trust. A name is validated while the space has no namespace; a space that has one keeps its name.

use std::fmt;

use super::spec_refusal::SpecRefusal;
use crate::api::{NameRules, conditions::Reason, pattern::matches_pattern};

/// The reason why a name is reserved though no namespace has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// A class admits the namespace of that name into its spaces.
    Admitted {
        /// The class.
        class: String,
    },
    /// A space of another owner names a ServiceAccount of that namespace.
    Account {
        /// The space.
        space: String,
    },
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted { class } => {
                write!(f, "SpaceClass {class} allows traffic from the namespace of that name into its spaces (network.allowFromNamespaces)")
            }
            Self::Account { space } => {
                write!(f, "DeveloperSpace {space} of another owner gives access to a ServiceAccount of the namespace of that name")
            }
        }
    }
}

/// The objection to a new space of that name, as a refusal.
pub fn refusal(name: &str, class_name: &str, rules: Option<&NameRules>, reservation: Option<&Reservation>) -> Option<SpecRefusal> {
    let why = objection(name, class_name, rules, reservation)?;
    let message = format!("the name {name} is not available: {why}. Delete this DeveloperSpace and create one with another name");
    Some(SpecRefusal::new(Reason::NamespaceConflict, message))
}

/// The reason why no new space of the class may have that name.
pub(crate) fn objection(name: &str, class_name: &str, rules: Option<&NameRules>, reservation: Option<&Reservation>) -> Option<String> {
    let (allowed, denied) = rules.map(|rules| (rules.allowed.as_slice(), rules.denied.as_slice())).unwrap_or_default();
    let listed = allowed.iter().any(|allowed| allowed == name);
    let matching = |patterns: &[String]| patterns.iter().find(|pattern| matches_pattern(pattern, name)).cloned();
    if let Some(reservation) = reservation {
        Some(reservation.to_string())
    } else if let Some(pattern) = matching(denied) {
        Some(format!("SpaceClass {class_name} denies it (names.denied: {pattern})"))
    } else if !allowed.is_empty() && matching(allowed).is_none() {
        Some(format!("SpaceClass {class_name} allows only {} (names.allowed)", allowed.join(", ")))
    } else if !listed && name.starts_with("xn--") {
        Some(format!(
            "a name that begins with xn-- can be a top-level domain, so that its Services could shadow external hosts: an administrator has to list it in names.allowed of SpaceClass {class_name}"
        ))
    } else if !listed && !name.contains('-') {
        Some(format!(
            "a name without a dash can be a top-level domain, so that its Services could shadow external hosts: choose a name with a dash, for example {name}-lab, unless SpaceClass {class_name} lists {name} in names.allowed"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated_against_the_class_and_the_reservations() {
        let rules = NameRules {
            allowed: ["lab", "orchid-*", "prod-orchid", "xn--orchid"].map(Into::into).into(),
            denied: ["prod", "prod-*"].map(Into::into).into(),
        };
        let any = NameRules { denied: vec!["prod-*".into()], ..NameRules::default() };
        let admitted = Reservation::Admitted { class: "greenhouse".into() };
        let account = Reservation::Account { space: "fern-lab".into() };
        for (name, rules, reservation, says) in [
            ("orchid-lab", Some(&rules), None, None),
            ("orchid-lab", None, None, None),
            ("lab", Some(&rules), None, None),
            ("xn--orchid", Some(&rules), None, None),
            ("com", None, None, Some("without a dash")),
            ("com", Some(&any), None, Some("for example com-lab")),
            ("xn--fiqs8s", None, None, Some("begins with xn--")),
            ("fern-lab", Some(&rules), None, Some("allows only lab, orchid-*")),
            ("prod-orchid", Some(&rules), None, Some("denies it (names.denied: prod-*)")),
            ("prod-x", Some(&any), None, Some("denies it (names.denied: prod-*)")),
            ("front-door", None, Some(&admitted), Some("SpaceClass greenhouse allows traffic from the namespace of that name")),
            ("lab", Some(&rules), Some(&admitted), Some("SpaceClass greenhouse allows traffic from the namespace of that name")),
            ("ci-jobs", None, Some(&account), Some("DeveloperSpace fern-lab of another owner gives access")),
        ] {
            let refusal = refusal(name, "cellar", rules, reservation);
            assert_eq!(refusal.is_some(), says.is_some(), "{name}: {refusal:?}");
            if let Some(refusal) = refusal {
                assert_eq!(refusal.reason, Reason::NamespaceConflict);
                assert!(refusal.message.contains(says.unwrap_or_default()), "{name}: {}", refusal.message);
            }
        }
    }
}
