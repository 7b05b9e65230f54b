//! Owns the oracles I1 to I7: the properties that hold whatever users do. Each oracle reads the requests and the
//! observed states; none calls the operator's own code.

mod access;
mod ceiling;
mod count;
mod missing;
mod protections;
mod renewal;
mod warning;

use super::trace::Trace;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle, such as `I1`.
    pub oracle: &'static str,
    /// The state that was found, and the expected one.
    pub description: String,
}

/// A check that returns a description of the violation as its error.
type Oracle = fn(&Trace) -> Result<(), String>;

/// The oracles by their names.
pub(super) const ORACLES: [(&str, Oracle); 7] = [
    ("I1", ceiling::check),
    ("I2", count::check),
    ("I3", protections::check),
    ("I4", access::check),
    ("I5", renewal::check),
    ("I6", warning::check),
    ("I7", missing::check),
];

/// Checks a sequence after its last step.
pub(super) fn check_all(trace: &Trace) -> Result<(), Violation> {
    ORACLES.iter().try_for_each(|(oracle, check)| check(trace).map_err(|description| Violation { oracle, description }))
}
