//! Owns the adversary: what people can do, in every order, as a proof that runs.
//!
//! Sequences are made up from a seed (`generate`), played many at a time (`play`), in memory or on a real API server (`world`), and
//! judged after each step by oracles that share nothing with the operator (`oracles`). One that breaks a promise is made as short as it
//! can be and printed as kubectl commands (`shorten`).

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
