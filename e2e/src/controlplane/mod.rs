//! Owns the control plane's processes: certificates, command lines, start order, and shutdown.
//!
//! It runs inside the supervisor `dspace-cluster`, which is a separate process, so that a killed test leaves no
//! processes behind. Scenarios use [`Cluster`](crate::Cluster) instead.

mod components;
mod layout;
mod nodes;
mod pki;
mod supervisor;

pub use layout::{ClusterInfo, Layout};
pub use supervisor::{ControlPlaneSettings, Supervisor};
