//! Test-only: a real control plane on loopback, the operator with its shipped RBAC, and the helpers that scenarios
//! need.
//!
//! A scenario starts a [`Cluster`], installs the operator's manifests with [`Operator::install`], runs the operator
//! with [`Operator::start`], acts as a named user, and checks the objects in the API server and the entries in its
//! audit log.

pub mod adversary;
pub mod audit;
pub mod bench;
pub mod binaries;
pub mod cluster;
pub mod command;
pub mod controlplane;
pub mod demo;
pub mod fault_sweep;
pub mod fixtures;
pub mod http;
pub mod kubeconfig;
pub mod mutation_run;
pub mod mutations;
pub mod oidc;
pub mod operator;
pub mod ports;
pub mod process;
pub mod program;
pub mod proxy;
mod retry_once;
pub mod revision;
pub mod users;
pub mod wait;
pub mod webhook;

pub use cluster::{Cluster, Options};
pub use operator::Operator;
pub use users::User;
pub use wait::eventually;
