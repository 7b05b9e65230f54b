//! Owns the choice of free ports on loopback.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the range from which systems take ports for outgoing connections, so that none of those grabs a port between
/// our looking and the server's listening.
const FIRST: u16 = 16_000;
const COUNT: u16 = 14_000;
const TRIES: u64 = 200;

/// A port on 127.0.0.1 that nobody listens on. The start is random, so that test processes side by side do not meet.
pub fn free() -> Result<u16> {
    let random = RandomState::new();
    for attempt in 0..TRIES {
        let offset = u16::try_from(random.hash_one(attempt) % u64::from(COUNT))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return Ok(FIRST + offset);
        }
    }
    bail!("found no free port on 127.0.0.1 between {FIRST} and {}: close some servers there", FIRST + COUNT)
}
