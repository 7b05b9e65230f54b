//! `metav1.Condition` lists: types, reasons, and the rule that `lastTransitionTime` moves only with `status`.
//!
//! Shapes follow
//! <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md> and
//! kstatus.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{text::shorten, time};

/// Condition types of a `DeveloperSpace`.
pub mod types {
    /// The summary: the namespace and all its guard rails are in place, as the spec asks.
    pub const READY: &str = "Ready";
    /// The space expires soon: a warning threshold has passed.
    pub const EXPIRING: &str = "Expiring";
    /// The space has expired and is sealed.
    pub const EXPIRED: &str = "Expired";
    /// kstatus: work is under way.
    pub const RECONCILING: &str = "Reconciling";
    /// kstatus: the operator cannot proceed until a user or an administrator changes something.
    pub const STALLED: &str = "Stalled";
    /// Of a `SpaceClass`: spaces may use it.
    pub const ACCEPTED: &str = "Accepted";
}

/// Reasons of `Accepted` on a `SpaceClass`.
pub mod accepted {
    /// Spaces may use the class.
    pub const VALID: &str = "Valid";
    /// The spec contradicts itself, or admits namespaces that owners of spaces can create.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The operator may not bind a ClusterRole of the class.
    pub const ROLE_NOT_BINDABLE: &str = "RoleNotBindable";
    /// A ClusterRole of the class does not exist.
    pub const ROLE_NOT_FOUND: &str = "RoleNotFound";
}

/// Reasons of `Ready` on a `DeveloperSpace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The operator has not reconciled the space yet.
    Pending,
    /// All is in place.
    Provisioned,
    /// The namespace or its contents are being created.
    Provisioning,
    /// The class does not exist, or there is no default class.
    ClassNotFound,
    /// The spec contradicts itself or its class.
    InvalidSpec,
    /// A namespace of that name exists and is not the space's, or the name is protected.
    NamespaceConflict,
    /// The namespace is terminating, and the space waits.
    NamespaceTerminating,
    /// `spec.quota` asks for more than the class allows.
    QuotaExceedsClass,
    /// A role is not one of the class's.
    RoleNotAllowed,
    /// The owner has as many spaces of this class as it allows.
    OwnerLimitExceeded,
    /// The class enforces isolation, and the namespace contains NetworkPolicies of other clients.
    IsolationBreached,
    /// The class is refused, and no spec of it was ever accepted.
    ClassNotAccepted,
    /// The space has expired.
    Expired,
    /// The space is being deleted.
    Terminating,
    /// The API server refused a write.
    ApplyFailed,
}

/// Every reason of `Ready`.
pub const ALL_REASONS: [Reason; 15] = [
    Reason::Pending,
    Reason::Provisioned,
    Reason::Provisioning,
    Reason::ClassNotFound,
    Reason::InvalidSpec,
    Reason::NamespaceConflict,
    Reason::NamespaceTerminating,
    Reason::QuotaExceedsClass,
    Reason::RoleNotAllowed,
    Reason::OwnerLimitExceeded,
    Reason::IsolationBreached,
    Reason::ClassNotAccepted,
    Reason::Expired,
    Reason::Terminating,
    Reason::ApplyFailed,
];

impl Reason {
    /// The CamelCase word in `conditions[].reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Provisioned => "Provisioned",
            Self::Provisioning => "Provisioning",
            Self::ClassNotFound => "ClassNotFound",
            Self::InvalidSpec => "InvalidSpec",
            Self::NamespaceConflict => "NamespaceConflict",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::QuotaExceedsClass => "QuotaExceedsClass",
            Self::RoleNotAllowed => "RoleNotAllowed",
            Self::OwnerLimitExceeded => "OwnerLimitExceeded",
            Self::IsolationBreached => "IsolationBreached",
            Self::ClassNotAccepted => "ClassNotAccepted",
            Self::Expired => "Expired",
            Self::Terminating => "Terminating",
            Self::ApplyFailed => "ApplyFailed",
        }
    }

    /// The reason with that word.
    pub fn parse(word: &str) -> Option<Self> {
        ALL_REASONS.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Returns true for kstatus `Stalled`: a user or an administrator must change something before the operator can
    /// proceed.
    pub fn is_stalled(self) -> bool {
        match self {
            Self::ClassNotFound
            | Self::InvalidSpec
            | Self::NamespaceConflict
            | Self::QuotaExceedsClass
            | Self::RoleNotAllowed
            | Self::OwnerLimitExceeded
            | Self::IsolationBreached
            | Self::ClassNotAccepted
            | Self::Expired => true,
            Self::Pending
            | Self::Provisioned
            | Self::Provisioning
            | Self::NamespaceTerminating
            | Self::Terminating
            | Self::ApplyFailed => false,
        }
    }
}

/// The content of a condition; [`set`] adds the time and the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCondition {
    /// Condition type.
    pub type_: &'static str,
    /// `True` or `False`.
    pub status: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A human-readable sentence.
    pub message: String,
}

/// `status` of a condition as the API spells it.
pub fn status_str(status: bool) -> &'static str {
    if status { "True" } else { "False" }
}

/// The most bytes of a message. The schema allows 32,768 characters, and a refused status update would lose the
/// warnings as well.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1_024;

/// Applies `wanted` to the conditions `old`. Other types stay, and `lastTransitionTime` changes only if `status` does.
pub fn set(
    old: &[Condition],
    wanted: &[WantedCondition],
    generation: Option<i64>,
    now: DateTime<Utc>,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = wanted
        .iter()
        .map(|WantedCondition { type_, status, reason, message }| {
            let before = find(old, type_).filter(|condition| condition.status == status_str(*status));
            Condition {
                type_: (*type_).to_owned(),
                status: status_str(*status).to_owned(),
                reason: reason.clone(),
                message: shorten(message, MAX_MESSAGE_BYTES),
                observed_generation: generation,
                last_transition_time: before
                    .map_or_else(|| time::to_k8s(now), |condition| condition.last_transition_time.clone()),
            }
        })
        .collect();
    conditions.extend(old.iter().filter(|condition| !wanted.iter().any(|w| w.type_ == condition.type_)).cloned());
    conditions
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Returns true if the condition of that type is `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The time at which the condition of that type became `True`; `None` if it is not `True`.
pub fn true_since(conditions: &[Condition], type_: &str) -> Option<DateTime<Utc>> {
    find(conditions, type_)
        .filter(|condition| condition.status == "True")
        .and_then(|condition| since(&condition.last_transition_time))
}

/// Converts a Kubernetes time to a `chrono` time.
pub fn since(time: &Time) -> Option<DateTime<Utc>> {
    time::from_k8s(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn ready(status: bool, message: &str) -> WantedCondition {
        WantedCondition { type_: types::READY, status, reason: "Because".into(), message: message.into() }
    }

    #[test]
    fn transition_time_moves_only_with_status() {
        let first = set(&[], &[ready(false, "one")], Some(1), at(10));
        let second = set(&first, &[ready(false, "two")], Some(2), at(20));
        assert_eq!(second[0].last_transition_time, time::to_k8s(at(10)));
        assert_eq!((second[0].message.as_str(), second[0].observed_generation), ("two", Some(2)));
        let third = set(&second, &[ready(true, "three")], Some(2), at(30));
        assert_eq!(third[0].last_transition_time, time::to_k8s(at(30)));
    }

    #[test]
    fn a_message_is_never_longer_than_the_schema_allows() {
        let conditions = set(&[], &[ready(false, &"fern, ".repeat(10_000))], Some(1), at(10));
        assert!(
            conditions[0].message.len() <= MAX_MESSAGE_BYTES && conditions[0].message.ends_with('…'),
            "{}",
            conditions[0].message.len()
        );
    }

    #[test]
    fn conditions_of_other_clients_are_kept() {
        let foreign = Condition {
            type_: "Audited".into(),
            status: "True".into(),
            reason: "X".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: time::to_k8s(at(1)),
        };
        let after = set(std::slice::from_ref(&foreign), &[ready(true, "x")], None, at(2));
        assert!(after.contains(&foreign));
    }
}
