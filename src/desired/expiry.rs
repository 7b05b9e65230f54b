//! The end of a space's life, one step at a time. The controller and `gc` decide by this function.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    lifetime::{inputs::is_sealed, outlook::Outlook, stage::Stage},
    ownership::{Ownership, ownership},
    seen_namespace::SeenNamespace,
    uid::Uid,
};
use crate::api::{DeveloperSpace, conditions};

/// The next step for a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// None: the space has not expired.
    Live,
    /// Write `Expired=True`, with the resourceVersion of the decision.
    Seal,
    /// Wait for the end, at that time: the space was sealed shortly before it.
    AwaitEnd(DateTime<Utc>),
    /// Delete the namespace of that UID.
    DeleteNamespace(Uid),
    /// Wait: the namespace is terminating, blocked by this.
    AwaitNamespace(String),
    /// Keep the space until that time: its namespace no longer exists, and users can read the status.
    Retain(DateTime<Utc>),
    /// Delete the space: its retention is over.
    DeleteSpace,
}

/// Decides the next step for `space`.
pub fn step(
    space: &DeveloperSpace,
    namespace: Option<&SeenNamespace>,
    outlook: &Outlook,
    retention: TimeDelta,
    now: DateTime<Utc>,
) -> Step {
    if !is_sealed(space) {
        return if outlook.stage == Stage::Due { Step::Seal } else { Step::Live };
    }
    match namespace.filter(|namespace| ownership(space, namespace) == Ownership::Ours) {
        Some(SeenNamespace { terminating: Some(blocked), .. }) => Step::AwaitNamespace(blocked.clone()),
        Some(namespace) => {
            end_to_come(space, now).map_or_else(|| Step::DeleteNamespace(namespace.uid.clone()), Step::AwaitEnd)
        }
        None => {
            let until =
                gone_since(space).unwrap_or(now).checked_add_signed(retention).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if now >= until { Step::DeleteSpace } else { Step::Retain(until) }
        }
    }
}

/// The end of a sealed space, if it is in the future: nothing is deleted before it.
fn end_to_come(space: &DeveloperSpace, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    space.status.as_ref()?.expires_at.filter(|end| *end > now)
}

/// The time since which the space is sealed and its status reports no more work.
fn gone_since(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    let conditions = &space.status.as_ref()?.conditions;
    let sealed = conditions::true_since(conditions, conditions::types::EXPIRED)?;
    let reconciling = conditions::find(conditions, conditions::types::RECONCILING)?;
    let idle = (reconciling.status == "False").then(|| conditions::since(&reconciling.last_transition_time))??;
    Some(idle.max(sealed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// Sealed at 1000; idle since `idle`, or at work if that is none.
    fn sealed(idle: Option<i64>) -> DeveloperSpace {
        let condition = |type_: &str, status: &str, since: i64| json!({"type": type_, "status": status, "reason": "X", "message": "", "lastTransitionTime": at(since)});
        let reconciling = idle
            .map_or_else(|| condition("Reconciling", "True", 1000), |since| condition("Reconciling", "False", since));
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "alice-payments", "uid": "space-1"},
            "spec": {"owner": {"kind": "User", "name": "alice@example.com"}},
            "status": {"namespace": {"name": "alice-payments", "uid": "ns-1"}, "conditions": [condition("Expired", "True", 1000), reconciling]},
        }))
        .unwrap()
    }

    fn namespace(uid: &str, terminating: Option<&str>) -> SeenNamespace {
        SeenNamespace {
            uid: uid.into(),
            created: at(1),
            terminating: terminating.map(Into::into),
            ..SeenNamespace::default()
        }
    }

    fn step_at(space: &DeveloperSpace, namespace: Option<&SeenNamespace>, now: i64) -> Step {
        let outlook = Outlook {
            anchor: at(1),
            nominal: None,
            expires_at: None,
            bound: None,
            stage: Stage::Calm,
            postponed: None,
            last_notice: None,
            wake: None,
        };
        step(space, namespace, &outlook, TimeDelta::seconds(60), at(now))
    }

    #[test]
    fn only_the_namespace_of_a_sealed_space_is_deleted() {
        assert_eq!(step_at(&sealed(None), Some(&namespace("ns-1", None)), 1001), Step::DeleteNamespace("ns-1".into()));
        assert_eq!(
            step_at(&sealed(None), Some(&namespace("ns-1", Some("a pod"))), 1001),
            Step::AwaitNamespace("a pod".into())
        );
        assert_eq!(step_at(&sealed(None), Some(&namespace("ns-2", None)), 1001), Step::Retain(at(1061)));
    }

    #[test]
    fn retention_counts_from_the_deletion_of_the_namespace() {
        assert_eq!(step_at(&sealed(Some(1010)), None, 1069), Step::Retain(at(1070)));
        assert_eq!(step_at(&sealed(Some(1010)), None, 1070), Step::DeleteSpace);
    }

    #[test]
    fn a_space_without_a_namespace_has_the_same_retention() {
        assert_eq!(step_at(&sealed(Some(5)), None, 1001), Step::Retain(at(1060)));
    }
}
