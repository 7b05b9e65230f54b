//! The lifetime of a space: [`inputs`] collects what it depends on, [`outlook`](mod@outlook) computes the expiry, the
//! warnings and the ceiling from it.

mod arithmetic;
mod ceiling;
pub mod formula;
pub mod inputs;
mod notice;
pub mod outlook;
pub mod rules;
pub mod stage;
mod warnings;

#[cfg(test)]
mod ceiling_tests;
#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod inputs_tests;
#[cfg(test)]
mod notice_tests;
#[cfg(test)]
mod outlook_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod reconciles_tests;
