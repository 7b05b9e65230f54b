//! The extent to which the spec of a space is applied.

/// The part of a space's spec that is applied to its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The spec is accepted: all of it.
    Full,
    /// The spec is accepted, but no new subject gets access: the isolation of the namespace is breached.
    NoNewcomers,
    /// The spec is refused: nothing new is granted. Subjects, roles, keys and limits that the spec or the class in
    /// force no longer names are removed, and the class's own rules apply.
    Withheld,
}
