//! Facts about a DeveloperSpace, according to its spec and status: its class, its creation, its expiry and its
//! conditions. Sends no requests.

use chrono::{DateTime, Utc};

use super::format;
use crate::api::{
    DeveloperSpace,
    conditions::{self, types},
    time::from_k8s,
};

/// The class in force, or else the requested class.
pub(crate) fn class_name(space: &DeveloperSpace) -> Option<&str> {
    let in_force = space.status.as_ref().and_then(|status| status.class_name.as_deref());
    in_force.or(space.spec.class_name.as_deref())
}

/// The time at which a space was created; `None` for an object that was not sent to the API server.
pub(crate) fn created_at(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    space.metadata.creation_timestamp.as_ref().and_then(from_k8s)
}

/// The time at which a space expires; `None` if it does not expire.
pub(crate) fn expires_at(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    space.status.as_ref().and_then(|status| status.expires_at)
}

/// The time until a space expires, or the time since it expired; `-` for a new space that the operator has not
/// observed.
pub(crate) fn expiry_cell(space: &DeveloperSpace, now: DateTime<Utc>) -> String {
    match expires_at(space) {
        Some(at) if is_true(space, types::EXPIRED) => format!("expired {}", format::from_now(now, at)),
        None if !is_observed(space) => "-".to_owned(),
        expires_at => format::expiry(now, expires_at),
    }
}

/// Status, reason and message of `Ready`, if the condition is set.
pub(crate) fn ready(space: &DeveloperSpace) -> Option<(&str, &str, &str)> {
    condition(space, types::READY)
}

/// Status, reason and message of a condition.
pub(crate) fn condition<'a>(space: &'a DeveloperSpace, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let found = conditions::find(&space.status.as_ref()?.conditions, type_)?;
    Some((&found.status, &found.reason, &found.message))
}

/// Returns true if a condition is `True`. Does not compare generations, see [`is_observed`].
pub(crate) fn is_true(space: &DeveloperSpace, type_: &str) -> bool {
    condition(space, type_).is_some_and(|(status, ..)| status == "True")
}

/// Returns true if the operator has observed the current generation of the spec.
pub(crate) fn is_observed(space: &DeveloperSpace) -> bool {
    let observed = space.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed >= space.metadata.generation
}
