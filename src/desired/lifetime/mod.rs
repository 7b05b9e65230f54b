//! The lifetime of a space: [`inputs`] collects what it depends on, [`outlook`](mod@outlook) computes the expiry, the warnings and the ceiling from it.

pub mod inputs;
mod notice;
pub mod outlook;
#[cfg(test)]
mod outlook_tests;
pub mod rules;
mod warnings;
