//! The reconciler: it observes, decides with [`crate::desired`], writes and reports.
//!
//! [`run`] connects the watches to the reconciler and runs until it is stopped.

pub mod admit;
pub mod attempts;
pub(crate) mod child_api;
pub mod children;
pub mod classes;
pub mod context;
pub mod creations;
pub mod expire;
pub mod expiry_queue;
pub mod expiry_worker;
pub mod failure;
pub mod finalize;
pub(crate) mod foreign_bindings;
pub mod io;
pub mod isolation;
pub mod ledger;
pub mod namespace;
pub mod observe;
pub mod orphans;
pub mod outcome;
pub(crate) mod owner_places;
pub mod provision;
pub mod queue;
pub(crate) mod quota_wait;
pub mod race;
pub mod reconcile;
pub mod refuse;
pub mod report;
pub mod retry;
pub(crate) mod running_pods;
pub(crate) mod schedule;
pub(crate) mod space_write;
pub(crate) mod startup;
pub mod unrecorded;
pub mod usage;
pub mod waiting_limit;
pub mod watched_spaces;
pub(crate) mod whole_space;
pub mod withhold;
pub mod worker;

pub use self::queue::run;
