//! The failure of a reconcile, and its place in the message of a condition.

use kube::ResourceExt;

use super::io::Io;
use crate::{
    api::{
        DeveloperSpace,
        conditions::{self, types},
    },
    desired::{status::Readiness, wording::is_same_message},
    runtime::error::Error,
};

/// The failure of a reconcile.
#[derive(Debug)]
pub struct Failure {
    /// The error.
    pub error: Error,
    /// The class that the space has been admitted to, if the error came after that.
    pub admitted: Option<String>,
    /// True if the condition reports another reason, and the error in its message if the error lasts: a second report
    /// would alternate with it.
    pub is_reported: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, admitted: None, is_reported: false }
    }
}

impl Failure {
    /// Returns the failure after the report of another reason, see [`with_error`].
    pub(crate) fn after_report(error: Option<Error>) -> Result<(), Self> {
        error.map_or(Ok(()), |error| Err(Self { error, admitted: None, is_reported: true }))
    }
}

/// Returns `readiness` with `error` in its message, if the error lasts. The message of the status stays if it differs
/// only in parts that change at each attempt.
pub(crate) fn with_error(
    io: &Io,
    space: &DeveloperSpace,
    mut readiness: Readiness,
    error: Option<&Error>,
) -> Readiness {
    let failures = io.attempts.failures(&space.name_any());
    let Some(error) = error.filter(|error| error.lasts(failures)) else { return readiness };
    let addition = format!("; in addition, the operator {}", error.sentence());
    let ready = space.status.as_ref().and_then(|status| conditions::find(&status.conditions, types::READY));
    let reported = ready.and_then(|ready| ready.message.strip_prefix(readiness.message.as_str()));
    readiness.message.push_str(reported.filter(|reported| is_same_message(reported, &addition)).unwrap_or(&addition));
    readiness
}
