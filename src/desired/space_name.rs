//! The names that a space may have: its name is the name of its namespace, which network rules, bindings of
//! ServiceAccounts and the cluster's DNS trust. A name is validated while the space has no namespace; a space that has
//! one keeps its name.

use std::fmt;

use super::spec_refusal::SpecRefusal;
use crate::api::{NameRules, conditions::Reason, pattern::matches_pattern, protected_namespaces::ProtectedNamespaces};

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
                write!(
                    f,
                    "SpaceClass {class} allows traffic from the namespace of that name into its spaces (network.allowFromNamespaces)"
                )
            }
            Self::Account { space } => {
                write!(
                    f,
                    "DeveloperSpace {space} of another owner gives access to a ServiceAccount of the namespace of that name"
                )
            }
        }
    }
}

/// A refused name. The message of its refusal is in the condition of the space, where `kubectl dspace doctor`
/// recognizes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedName {
    /// No space may have it.
    Protected,
    /// The rules of classes or a reservation do not allow it for this space.
    Unavailable,
}

impl RefusedName {
    /// The refusal of `name` that `message` reports; `None` if the message has another cause.
    pub fn from_message(name: &str, message: &str) -> Option<Self> {
        [Self::Protected, Self::Unavailable].into_iter().find(|refused| message.starts_with(&refused.lead(name)))
    }

    /// The beginning of the message.
    fn lead(self, name: &str) -> String {
        match self {
            Self::Protected => format!("namespace {name} is protected on this cluster: "),
            Self::Unavailable => format!("the name {name} is not available: "),
        }
    }

    fn refusal(self, name: &str, why: &str) -> SpecRefusal {
        SpecRefusal::new(Reason::NamespaceConflict, format!("{}{why}", self.lead(name)))
    }
}

/// Refuses a protected name, which no space may have.
pub fn check_name(name: &str, protected: &ProtectedNamespaces) -> Result<(), SpecRefusal> {
    if protected.contains(name) {
        return Err(RefusedName::Protected.refusal(name, "delete this DeveloperSpace and choose another name"));
    }
    Ok(())
}

/// The objection to a new space of that name, as a refusal.
pub fn refusal(
    name: &str,
    class_name: &str,
    rules: Option<&NameRules>,
    reservation: Option<&Reservation>,
) -> Option<SpecRefusal> {
    let why = objection(name, class_name, rules, reservation)?;
    Some(
        RefusedName::Unavailable
            .refusal(name, &format!("{why}. Delete this DeveloperSpace and create one with another name")),
    )
}

/// The reason why no new space of the class may have that name.
pub(crate) fn objection(
    name: &str,
    class_name: &str,
    rules: Option<&NameRules>,
    reservation: Option<&Reservation>,
) -> Option<String> {
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
            (
                "front-door",
                None,
                Some(&admitted),
                Some("SpaceClass greenhouse allows traffic from the namespace of that name"),
            ),
            (
                "lab",
                Some(&rules),
                Some(&admitted),
                Some("SpaceClass greenhouse allows traffic from the namespace of that name"),
            ),
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

    #[test]
    fn the_message_of_a_refused_name_is_recognized() {
        let protected =
            check_name("orchid-lab", &ProtectedNamespaces::new("dspace-home", &["orchid-*".into()])).unwrap_err();
        assert_eq!(check_name("fern-lab", &ProtectedNamespaces::new("dspace-home", &["orchid-*".into()])), Ok(()));
        let reserved =
            refusal("orchid-lab", "cellar", None, Some(&Reservation::Account { space: "fern-lab".into() })).unwrap();
        for (message, expected) in [
            (protected.message, Some(RefusedName::Protected)),
            (reserved.message, Some(RefusedName::Unavailable)),
            ("namespace orchid-lab exists and does not belong to this DeveloperSpace".into(), None),
            // The annotations of a namespace of another owner, which the message quotes.
            (
                "namespace orchid-lab exists; its annotation offers it to \"the name orchid-lab is not available: \""
                    .into(),
                None,
            ),
        ] {
            assert_eq!(RefusedName::from_message("orchid-lab", &message), expected, "{message}");
            assert_eq!(RefusedName::from_message("orchid", &message), None, "{message}");
        }
    }
}
