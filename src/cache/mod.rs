//! The state of the cluster in memory: watches feed it, and reconciles read it. It makes no decision, and writes
//! nothing to the cluster.
//!
//! [`watches`] lists and watches each kind. [`reduced`], [`trimmed`] and [`compressed`] keep only the part of an object
//! that decisions read. [`store`] holds the objects, and [`owner_limit`] the register of the spaces that each owner
//! has.

pub(crate) mod compressed;
pub(crate) mod foreign_policies;
pub mod owner_limit;
pub mod reduced;
pub mod relist;
pub(crate) mod reserved_names;
pub mod settled;
pub mod store;
pub(crate) mod tombstones;
pub(crate) mod trimmed;
pub(crate) mod watch_stream;
pub mod watches;
