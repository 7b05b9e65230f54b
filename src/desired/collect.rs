//! The end of a space's life, one step at a time. The controller and `gc` decide with this one function.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    lifetime::{Outlook, Stage},
    namespace::{Ownership, SeenNamespace, ownership},
    term::is_sealed,
};
use crate::api::{DeveloperSpace, conditions};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The time is not up.
    Live,
    /// Write `Expired=True`, with the resourceVersion that this was decided on.
    Seal,
    /// Delete the namespace of that UID.
    DeleteNamespace(String),
    /// The namespace is going away; what blocks it.
    AwaitNamespace(String),
    /// The namespace is gone; the space is kept to be read.
    Keep(DateTime<Utc>),
    /// The space has been kept long enough.
    Forget,
}

/// Judges a space that is not being deleted.
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
        Some(namespace) => Step::DeleteNamespace(namespace.uid.clone()),
        None => {
            let until = gone_since(space).unwrap_or(now).checked_add_signed(retention).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if now >= until { Step::Forget } else { Step::Keep(until) }
        }
    }
}

/// Since when the status says that nothing is left to be done.
fn gone_since(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    let conditions = &space.status.as_ref()?.conditions;
    let reconciling = conditions::find(conditions, conditions::types::RECONCILING)?;
    (reconciling.status == "False").then(|| conditions::since(&reconciling.last_transition_time))?
}
