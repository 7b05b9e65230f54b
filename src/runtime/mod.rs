//! What every long-running command needs, whatever it reconciles: leader election, Events, worker slots, tasks, the check of its own permissions,
//! and the watchdog. It knows no `DeveloperSpace` beyond the reference in an Event.

pub mod error;
pub mod event_throttle;
pub mod events;
pub mod leader;
pub mod permissions;
pub mod spawn;
pub mod turns;
pub mod watchdog;
