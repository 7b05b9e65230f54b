//! A write to a child of a space.

use super::{
    child::{Child, ChildKind},
    quota::Hard,
    uid::Uid,
};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The object does not exist.
    Create(Child),
    /// The object of that UID has other content.
    Repair {
        /// UID of the existing object.
        uid: Uid,
        /// The wanted object.
        child: Child,
    },
    /// The object of that UID differs in an immutable field: delete it and create it again.
    Replace {
        /// UID of the existing object.
        uid: Uid,
        /// The wanted object.
        child: Child,
    },
    /// The object is no longer wanted.
    Remove {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Its UID.
        uid: Uid,
    },
    /// The object may allow more than this child, and only a read of the object shows it: read it and cut it, see
    /// [`super::diff::cut`]. The second value is the wanted quota, which limits have to fit into.
    Cut(Child, Hard),
    /// The object must be replaced, and a finalizer holds it: its replacement cannot be created before it has been
    /// deleted.
    Held {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
}
