//! Owns an OpenID Connect provider on loopback: TLS, discovery, keys, and the authorization code flow with PKCE (RFC 7636).

mod keys;
mod login;
mod provider;
mod serve;

pub use provider::Person;
pub use serve::Issuer;
