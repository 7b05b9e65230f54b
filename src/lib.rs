//! A Kubernetes operator that gives each developer a namespace on a shared cluster, and deletes the namespace when it
//! expires.
//!
//! A `DeveloperSpace` describes a namespace, and a `SpaceClass` limits it. The operator keeps the namespace and the
//! objects in it as both describe, and garbage-collects expired spaces. `kubectl dspace` is its plugin for kubectl.
//!
//! Data flows in one direction:
//!
//! ```text
//! watches ─► store ─► observe ─► decide ─► act ─► report ─► requeue
//! └──── cache ───┘    controller desired   └───── controller ─────┘
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`api`] | the two kinds, the grammar of their values, and every name that the operator writes |
//! | [`desired`] | the decisions: plain data and `now` in, plain data out |
//! | [`cache`] | the watches, and the state of the cluster in memory |
//! | [`controller`] | the reconcile of a space, the validation of classes, and their requests |
//! | [`runtime`] | leader election, Events, worker slots, tasks, the check of permissions, the watchdog |
//! | [`gc`] | one sweep over expired spaces, with the decisions of the controller |
//! | [`approver`] | the approval of certificate requests |
//! | [`access`] | credentials, and the kubeconfigs that contain them |
//! | [`plugin`] | `kubectl dspace`, one file or folder for each command |
//! | [`cli`], [`commands`], [`run`] | the command line and its environment, the commands, the start and shutdown of the controller |
//! | [`telemetry`] | logging |
//! | [`client`], [`impersonation`], [`small_pages`] | the only client of the API server, with its timeouts, retries and bounds |
//! | [`clock`], [`lock`] | the only reader of the wall clock; locks whose poison is ignored |
//! | [`installed`] | the CRDs that are installed in the cluster |
//! | [`health`], [`metrics`], [`serve`] | the endpoints and what they report |
//!
//! `docs/architecture.md` follows a space through these modules and lists the imports that are allowed between them.
//! `docs/glossary.md` defines the terms.

mod access;
pub mod api;
mod approver;
pub mod cache;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod controller;
pub mod desired;
pub mod gc;
mod health;
mod impersonation;
pub mod installed;
mod lock;
pub mod metrics;
pub mod plugin;
pub mod run;
pub mod runtime;
mod serve;
mod small_pages;
mod telemetry;
