//! Owns the ways in which a contestant learns of the end of a namespace.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    fixtures::{At, a_space, now, rfc3339},
    operator,
};

/// The way in which a contestant learns of the end of a namespace, and the user that deletes the namespace then.
#[derive(Clone, Copy, Debug)]
pub struct ExpiryMethod {
    /// The object that holds the end.
    pub object: for<'a> fn(&'a str) -> At<'a>,
    /// The patch that sets the end.
    pub patch: fn(DateTime<Utc>) -> Value,
    /// The user whose DELETE requests count.
    pub user: &'static str,
}

/// The operator reads the end from the spec of a space.
pub const OPERATOR: ExpiryMethod = ExpiryMethod { object: a_space, patch: expiry_patch, user: operator::USER };

/// The patch that renews the space and sets this end. Without a renewal, the notice would postpone an end that the spec
/// brings so near.
pub fn expiry_patch(end: DateTime<Utc>) -> Value {
    // Later than the creation, even if the space was created in the current second.
    json!({"spec": {"renewedAt": rfc3339(now() + TimeDelta::seconds(1)), "expiresAt": rfc3339(end)}})
}
