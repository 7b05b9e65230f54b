//! Owns the key that signs ID tokens (ES256, RFC 7518) and its public half as a JWK.

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

const KEY_ID: &str = "one";

pub(super) struct Keys {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Keys {
    pub(super) fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let failed = |_| anyhow!("no key for ID tokens could be made");
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Ok(Self { pair: pair.map_err(|error| anyhow!("the key for ID tokens is refused: {error}"))?, random })
    }

    /// The JSON Web Key Set.
    pub(super) fn public(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID, "x": x, "y": y}]})
    }

    /// A signed token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<String> {
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID});
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, text.as_bytes()).map_err(|_| anyhow!("an ID token could not be signed"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

/// The S256 challenge of a verifier.
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        assert_eq!(super::challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaeK1t8URWbuGJSstw-cM");
    }
}
