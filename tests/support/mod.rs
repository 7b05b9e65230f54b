//! Code that the tests with a mock API server share.

#![allow(dead_code, reason = "each test crate uses its part")]

pub(crate) mod api_server;
pub(crate) mod objects;
pub(crate) mod world;
