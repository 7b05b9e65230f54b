//! Owns the issuer's responses, see <https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth>, RFC 6749 and
//! RFC 7636.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};

use super::keys::{SigningKey, challenge, random_token};
use crate::fixtures::now;

/// The lifetime of an ID token.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A user who can log in, and the user's claims in tokens.
#[derive(Clone, Debug)]
pub struct Person {
    /// The issuer's identifier of the user: the claim `sub`.
    pub subject: String,
    /// The user's email address.
    pub email: String,
    /// True if the email address is verified.
    pub email_verified: bool,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl Person {
    /// Returns a user with a verified email address.
    pub fn new(subject: &str, email: &str, groups: &[&str]) -> Self {
        Self {
            subject: subject.to_owned(),
            email: email.to_owned(),
            email_verified: true,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }
}

/// The fields of a query or of a form.
pub(super) type Fields = HashMap<String, String>;

/// A response of the issuer.
pub(super) enum IssuerResponse {
    /// A JSON document.
    Document(Value),
    /// A redirect to this URL.
    Redirect(String),
    /// The page does not exist.
    NotFound,
    /// The request is invalid.
    Error(OAuthError),
}

/// The error code of RFC 6749, section 5.2, and a description.
pub(super) struct OAuthError(pub(super) &'static str, pub(super) &'static str);

/// The data that an authorization code stands for.
struct Grant {
    person: Person,
    challenge: String,
    redirect: String,
    nonce: Option<String>,
}

/// An issuer with one public client.
pub(super) struct IssuerState {
    url: String,
    client_id: String,
    people: Vec<Person>,
    key: SigningKey,
    grants: Mutex<HashMap<String, Grant>>,
}

impl IssuerState {
    pub(super) fn new(url: &str, client_id: &str, people: Vec<Person>) -> Result<Self> {
        let key = SigningKey::generate()?;
        Ok(Self { url: url.to_owned(), client_id: client_id.to_owned(), people, key, grants: Mutex::default() })
    }

    pub(super) fn respond(&self, method: &Method, path: &str, fields: &Fields) -> IssuerResponse {
        let response = match (method.as_str(), path) {
            ("GET", "/.well-known/openid-configuration") => Ok(IssuerResponse::Document(self.discovery())),
            ("GET", "/keys") => Ok(IssuerResponse::Document(self.key.public())),
            ("GET", "/authorize") => self.authorize(fields),
            ("POST", "/token") => self.token(fields),
            _ => Ok(IssuerResponse::NotFound),
        };
        response.unwrap_or_else(IssuerResponse::Error)
    }

    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid", "email", "groups"],
            "claims_supported": ["sub", "email", "email_verified", "groups"],
        })
    }

    fn authorize(&self, fields: &Fields) -> Result<IssuerResponse, OAuthError> {
        self.check_client(fields)?;
        let redirect = field(fields, "redirect_uri");
        // RFC 8252, section 7.3.
        if !redirect.starts_with("http://127.0.0.1:") {
            return Err(OAuthError("invalid_request", "redirect_uri is not one on loopback"));
        }
        if field(fields, "response_type") != "code" {
            return Err(OAuthError("unsupported_response_type", "response_type is not code"));
        }
        if !field(fields, "scope").split(' ').any(|scope| scope == "openid") {
            return Err(OAuthError("invalid_scope", "scope does not have openid"));
        }
        let challenge = field(fields, "code_challenge");
        if field(fields, "code_challenge_method") != "S256" || challenge.is_empty() {
            return Err(OAuthError(
                "invalid_request",
                "a client without a secret sends a code_challenge of the method S256",
            ));
        }
        let person = self.people.iter().find(|person| person.subject == field(fields, "login_hint"));
        let person = person.ok_or(OAuthError("access_denied", "login_hint names nobody"))?.clone();
        let code = random_token().map_err(|_| OAuthError("server_error", "there are no random bytes"))?;
        let grant = Grant {
            person,
            challenge: challenge.to_owned(),
            redirect: redirect.to_owned(),
            nonce: fields.get("nonce").cloned(),
        };
        self.grants().insert(code.clone(), grant);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", field(fields, "state"))
            .finish();
        Ok(IssuerResponse::Redirect(format!("{redirect}?{query}")))
    }

    fn token(&self, fields: &Fields) -> Result<IssuerResponse, OAuthError> {
        self.check_client(fields)?;
        if field(fields, "grant_type") != "authorization_code" {
            return Err(OAuthError("unsupported_grant_type", "grant_type is not authorization_code"));
        }
        // A code is valid for one attempt, regardless of the result.
        let grant = self.grants().remove(field(fields, "code"));
        let grant = grant.ok_or(OAuthError("invalid_grant", "the code is unknown, or was used already"))?;
        if challenge(field(fields, "code_verifier")) != grant.challenge {
            return Err(OAuthError("invalid_grant", "code_verifier does not fit the code_challenge"));
        }
        if field(fields, "redirect_uri") != grant.redirect {
            return Err(OAuthError("invalid_grant", "redirect_uri is another one than before"));
        }
        let failed = |_| OAuthError("server_error", "no token could be made");
        let id_token = self.key.sign(&self.claims(&grant)).map_err(failed)?;
        let access_token = random_token().map_err(failed)?;
        Ok(IssuerResponse::Document(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME.num_seconds(), "id_token": id_token,
        })))
    }

    fn claims(&self, grant: &Grant) -> Value {
        let Person { subject, email, email_verified, groups } = &grant.person;
        let issued = now();
        let mut claims = json!({
            "iss": self.url, "aud": self.client_id, "sub": subject,
            "iat": issued.timestamp(), "exp": (issued + TOKEN_LIFETIME).timestamp(),
            "email": email, "email_verified": email_verified, "groups": groups,
        });
        if let Some(nonce) = &grant.nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        claims
    }

    fn check_client(&self, fields: &Fields) -> Result<(), OAuthError> {
        if field(fields, "client_id") == self.client_id {
            Ok(())
        } else {
            Err(OAuthError("invalid_client", "client_id is unknown here"))
        }
    }

    fn grants(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}
