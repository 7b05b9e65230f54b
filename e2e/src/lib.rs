//! Test-only: a real control plane on loopback, the operator beside it under its shipped RBAC, and what scenarios need.
//!
//! A scenario starts a [`Cluster`], installs the operator's manifests with [`Operator::install`], runs it with
//! [`Operator::start`], acts as a named user, and judges by what the API server holds and what its audit log recorded.

pub mod adversary;
pub mod audit;
pub mod bench;
pub mod binaries;
pub mod cluster;
pub mod command;
pub mod controlplane;
pub mod demo;
pub mod fixtures;
pub mod http;
pub mod interrupt;
pub mod kubeconfig;
pub mod mutations;
pub mod oidc;
mod once_more;
pub mod operator;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod sweep;
pub mod users;
pub mod wait;
pub mod webhook;

pub use cluster::{Cluster, Options};
pub use operator::Operator;
pub use users::User;
pub use wait::eventually;
