//! The refusal of a part of a space's spec.

use crate::api::conditions::Reason;

/// The reason why a space does not get everything that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecRefusal {
    /// Reason of `Ready=False`.
    pub reason: Reason,
    /// A sentence that names the correction.
    pub message: String,
}

impl SpecRefusal {
    /// A refusal with that reason and sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
