//! Owns a real OpenID Connect issuer on loopback: TLS with a certificate of its own authority, discovery, keys, and
//! logins by the authorization code flow with PKCE. The challenge of PKCE is verified.
//!
//! Only the password page is omitted: `login_hint` names the user who logs in.

mod authority;
mod issuer;
mod keys;
mod login;
mod serve;

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use issuer::Person;
pub use keys::{challenge, random_token};
pub use login::LoginClient;

/// A running issuer. It ends when this is dropped.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    client_id: String,
    authority: String,
    accepting: JoinHandle<()>,
}

impl Issuer {
    /// Starts an issuer with one public client, `client_id`, and with `people` as the users who can log in.
    pub async fn start(client_id: &str, people: Vec<Person>) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the issuer found no port on 127.0.0.1")?;
        let url = format!("https://{}", listener.local_addr().context("the issuer's own address is unknown")?);
        let (authority, tls) = authority::make()?;
        let state = Arc::new(issuer::IssuerState::new(&url, client_id, people)?);
        let accepting = tokio::spawn(serve::accept(listener, tls, state));
        Ok(Self { url, client_id: client_id.to_owned(), authority, accepting })
    }

    /// The issuer URL, as it appears in tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The public client that users log in with.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The certificate of the authority that signed the issuer's, PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns a client that trusts the issuer's authority, for a login step by step.
    pub fn login_client(&self) -> Result<LoginClient> {
        LoginClient::new(&self.url, &self.client_id, &self.authority)
    }

    /// Performs a complete login and returns the ID token of the user with this subject.
    pub async fn login(&self, subject: &str) -> Result<String> {
        self.login_client()?.login(subject).await.with_context(|| format!("{subject} could not log in"))
    }

    /// The API server's authentication configuration that trusts this issuer, with `prefix` before the names of users
    /// and groups, see
    /// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration>.
    pub fn authentication(&self, prefix: &str) -> Value {
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {"url": self.url, "audiences": [self.client_id], "certificateAuthority": self.authority},
                "claimMappings": {
                    "username": {"claim": "email", "prefix": prefix},
                    "groups": {"claim": "groups", "prefix": prefix},
                },
            }],
        })
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    const CLIENT: &str = "tests";

    async fn start_issuer() -> Issuer {
        Issuer::start(CLIENT, vec![Person::new("uid-17", "ida@example.com", &["surveyors"])]).await.unwrap()
    }

    #[tokio::test]
    async fn a_login_ends_with_a_signed_token() {
        let issuer = start_issuer().await;
        let login_client = issuer.login_client().unwrap();
        let token = issuer.login("uid-17").await.unwrap();

        let (signed, signature) = token.rsplit_once('.').unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        for (claim, value) in [("iss", issuer.url()), ("aud", CLIENT), ("sub", "uid-17"), ("email", "ida@example.com")]
        {
            assert_eq!(claims[claim], value, "{claims}");
        }
        assert_eq!(claims["groups"], json!(["surveyors"]));

        let found = login_client.get("/.well-known/openid-configuration").await.unwrap();
        assert_eq!(found["issuer"], issuer.url());
        assert_eq!(found["jwks_uri"], format!("{}/keys", issuer.url()));
        let keys = login_client.get("/keys").await.unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().unwrap()).unwrap();
        let point = [vec![4], part("x"), part("y")].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_code_is_valid_once_and_only_with_its_verifier() {
        let issuer = start_issuer().await;
        let login_client = issuer.login_client().unwrap();
        let verifier = random_token().unwrap();
        let code = login_client.authorize("uid-17", &challenge(&verifier)).await.unwrap();
        let (status, response) = login_client.redeem(&code, &random_token().unwrap()).await.unwrap();
        assert_eq!((status, &response["error"]), (400, &json!("invalid_grant")), "with another verifier");
        let (status, _) = login_client.redeem(&code, &verifier).await.unwrap();
        assert_eq!(status, 400, "after that");

        let code = login_client.authorize("uid-17", &challenge(&verifier)).await.unwrap();
        let (status, response) = login_client.redeem(&code, &verifier).await.unwrap();
        assert_eq!(status, 200, "{response}");
        let (status, _) = login_client.redeem(&code, &verifier).await.unwrap();
        assert_eq!(status, 400, "a second time");
        let (status, _) = login_client.redeem("no-such-code", &verifier).await.unwrap();
        assert_eq!(status, 400, "an unknown one");
        assert!(login_client.authorize("nobody", &challenge(&verifier)).await.is_err());
        assert!(login_client.authorize("uid-17", "").await.is_err(), "without a challenge");
    }
}
