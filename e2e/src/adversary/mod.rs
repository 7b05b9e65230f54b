//! Owns the adversary: an executable proof of the promises, whatever users do and in whatever order.
//!
//! Sequences are generated from a seed (`generate`), played many at a time (`play`), in memory or on a real API server (`world`), and checked after
//! each step by oracles that share nothing with the operator (`oracles`). A sequence that breaks a promise is shortened as far as possible and
//! printed as kubectl commands (`shorten`).

mod act;
mod cast;
mod classes;
mod generate;
mod history;
mod live;
mod memory;
mod oracles;
mod play;
pub mod record;
mod run;
mod shorten;
mod story;
mod world;

pub use oracles::Violation;
pub use run::{Options, Outcome, Place, run};
pub use shorten::Broken;
