//! Code that the tests with a mock API server share.

#![allow(dead_code, reason = "each test crate uses its part")]

pub mod api_server;
pub mod objects;
pub mod world;
