//! Owns the choice of free ports on loopback.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Result, bail};

/// The first port. It is below the range from which operating systems take ports for outgoing connections, so that no
/// such connection takes a port between this check and the start of the server.
const FIRST_PORT: u16 = 16_000;
const PORT_COUNT: u16 = 14_000;
const MAX_ATTEMPTS: u64 = 200;

/// Returns a port on 127.0.0.1 without a listener. The port is random, so that concurrent test processes do not
/// collide.
pub fn free() -> Result<u16> {
    let random = RandomState::new();
    for attempt in 0..MAX_ATTEMPTS {
        let offset = u16::try_from(random.hash_one(attempt) % u64::from(PORT_COUNT))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST_PORT + offset)).is_ok() {
            return Ok(FIRST_PORT + offset);
        }
    }
    bail!(
        "found no free port on 127.0.0.1 between {FIRST_PORT} and {}: close some servers there",
        FIRST_PORT + PORT_COUNT
    )
}
