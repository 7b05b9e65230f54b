//! Owns the control plane's processes: certificates, command lines, their order, and their end.
//!
//! It runs inside the supervisor `dspace-cluster`, a process of its own, so that a test that is killed leaves nothing
//! behind. Scenarios use [`Cluster`](crate::Cluster) instead.

mod components;
mod layout;
mod nodes;
mod pki;
mod supervisor;

pub use layout::{Info, Layout};
pub use supervisor::{Settings, Supervisor};
