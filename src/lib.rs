//! Namespaces for developers on a shared Kubernetes cluster.
//!
//! Data flows one way:
//!
//! ```text
//! watches ─► store ─► observe ─► resolve ─► desire ─► diff ─► apply ─► report ─► next wake-up
//! ```
//!
//! [`api`] contains the kinds and their grammar, [`desired`] the pure decisions, [`controller`] the watches and writes,
//! [`gc`] one sweep with the same decisions. [`commands`] implements the commands. [`plugin`] is `kubectl dspace`, and [`access`]
//! contains the credentials with which it gives users access to their spaces.

pub mod access;
pub mod api;
pub mod approver;
pub mod cache;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod controller;
pub mod desired;
pub mod gc;
pub mod health;
pub mod impersonation;
pub mod installed;
pub mod lock;
pub mod metrics;
pub mod plugin;
pub mod run;
pub mod runtime;
pub mod serve;
pub mod telemetry;
