//! Owns the issuer's signing key and its signatures (RFC 7515 with ES256 of RFC 7518), and the challenge of PKCE (RFC
//! 7636).

use anyhow::{Result, anyhow};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// The random bytes of a token: enough for a code or a verifier.
const RANDOM_BYTES: usize = 32;
/// Bytes of one coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// A key on P-256.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let document = document.map_err(|_| anyhow!("no signing key could be made"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        let pair = pair.map_err(|error| anyhow!("the signing key cannot be used: {error}"))?;
        let id = encode(digest(&SHA256, pair.public_key().as_ref()).as_ref());
        Ok(Self { pair, random, id })
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub(super) fn public(&self) -> Value {
        // An uncompressed point: the number 4, x, and y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(COORDINATE_BYTES);
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": encode(x), "y": encode(y)},
        ]})
    }

    /// A signed JSON Web Token.
    pub(super) fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature =
            self.pair.sign(&self.random, signed.as_bytes()).map_err(|_| anyhow!("a token could not be signed"))?;
        Ok(format!("{signed}.{}", encode(signature.as_ref())))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns an unguessable text: a code, or the verifier of PKCE.
pub fn random_token() -> Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(encode(&bytes))
}

/// The challenge of a verifier, by the method S256 (RFC 7636, section 4.2).
pub fn challenge(verifier: &str) -> String {
    encode(digest(&SHA256, verifier.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_matches_the_example_of_the_rfc() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn random_tokens_have_the_length_of_a_verifier() {
        let (first, second) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(first.len(), 43, "RFC 7636, section 4.1: 43 to 128 characters");
        assert_ne!(first, second);
    }
}
