//! What the tests with a mocked API server share.

#![allow(dead_code, reason = "each test crate uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

pub mod api_server;
pub mod objects;
pub mod world;
