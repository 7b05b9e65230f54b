//! The parts that every long-running command needs: leader election, Events, worker slots, tasks, the check of its own
//! permissions, and the watchdog.
//!
//! Owns no decision about spaces. Imports neither the controller nor the cache.

pub mod error;
pub(crate) mod event_throttle;
pub mod events;
pub mod leader;
pub mod permissions;
pub mod recent_writes;
pub mod requeue;
pub mod spawn;
pub mod turns;
pub mod watchdog;
pub mod worker_slots;
pub(crate) mod write_params;
