//! Owns the adversary: an executable proof of the promises, whatever users do and in whatever order.
//!
//! Sequences are generated from a seed (`generate`), executed many at a time (`execute`), in memory or on a real API
//! server (`world`), and checked after each step by oracles that share nothing with the operator (`oracles`). A
//! sequence that breaks a promise is shortened as far as possible and printed as kubectl commands (`shrink`).

mod action;
mod classes;
mod execute;
mod freshness;
mod generate;
mod history;
mod memory;
mod names;
mod oracles;
mod real;
pub mod record;
mod run;
mod shrink;
mod trace;
mod world;

pub use oracles::Violation;
pub use run::{Options, Outcome, Place, run};
pub use shrink::FailedSequence;
