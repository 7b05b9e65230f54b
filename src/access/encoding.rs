//! The base64 encoding of kubeconfigs and of PEM.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Encodes bytes in base64 (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
