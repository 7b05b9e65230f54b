//! A space as it is kept between two looks at it: as the server sent it but for managed fields, compressed. There are thousands, each is
//! looked at a few times in its life, and they differ in little: `packed.json` is what most of them say.
//!
//! What this costs and saves is in `docs/adr/0004-what-is-kept-in-memory.md`.

use std::sync::Arc;

use kube::core::DeserializeGuard;
use serde_json::Value;

use crate::api::DeveloperSpace;

/// What a space usually says, for the compressor to point at.
const USUAL: &[u8] = include_bytes!("packed.json");

/// A space, readable or not.
#[derive(Clone, Debug)]
pub struct Packed(Arc<[u8]>);

/// A stored space, readable or not.
pub type Guarded = DeserializeGuard<DeveloperSpace>;

impl Packed {
    /// Packs a space.
    pub fn of(space: &Value) -> Self {
        Self(lz4_flex::block::compress_prepend_size_with_dict(space.to_string().as_bytes(), USUAL).into())
    }

    /// The space; the error is of something that [`Self::of`] did not make.
    pub fn unpack(&self) -> Result<Guarded, serde_json::Error> {
        let text = lz4_flex::block::decompress_size_prepended_with_dict(&self.0, USUAL).map_err(serde::de::Error::custom)?;
        // Of one that cannot be read the guard says why and which it is, which takes it longer.
        serde_json::from_slice(&text).map(|space| DeserializeGuard(Ok(space))).or_else(|_| serde_json::from_slice(&text))
    }
}
