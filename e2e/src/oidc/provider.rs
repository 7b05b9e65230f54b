//! Owns what the provider answers: who logs in, codes that are good for one exchange, and ID tokens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};

use super::keys::{Keys, challenge};
use crate::fixtures::now;

/// Somebody who can log in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their e-mail address, by which they log in.
    pub email: String,
    /// Their groups.
    pub groups: Vec<String>,
}

/// How long an ID token is good for.
const TOKEN_SECONDS: i64 = 600;

pub(super) struct Provider {
    pub(super) url: String,
    client: String,
    people: Vec<Person>,
    keys: Keys,
    /// Codes that were given out: whose they are, and the challenge.
    codes: Mutex<BTreeMap<String, (Person, String)>>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Value,
}

impl Answer {
    fn json(body: Value) -> Self {
        Self { status: 200, location: None, body }
    }

    fn refused(why: &str) -> Self {
        Self { status: 400, location: None, body: json!({"error": "invalid_grant", "error_description": why}) }
    }
}

pub(super) type Form = BTreeMap<String, String>;

impl Provider {
    pub(super) fn new(url: String, client: &str, people: Vec<Person>) -> Result<Self> {
        Ok(Self { url, client: client.to_owned(), people, keys: Keys::generate()?, codes: Mutex::default() })
    }

    pub(super) fn answer(&self, method: &str, path: &str, form: &Form) -> Answer {
        match (method, path) {
            ("GET", "/.well-known/openid-configuration") => Answer::json(self.discovery()),
            ("GET", "/keys") => Answer::json(self.keys.public()),
            ("GET", "/authorize") => self.authorize(form),
            ("POST", "/token") => self.token(form),
            _ => Answer { status: 404, location: None, body: json!({"error": "not_found"}) },
        }
    }

    fn discovery(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// `login_hint` stands for what a person types into the form.
    fn authorize(&self, form: &Form) -> Answer {
        let given = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
        if given("client_id") != self.client || given("response_type") != "code" || given("code_challenge_method") != "S256" {
            return Answer::refused("a public client has to use the code flow with PKCE");
        }
        let Some(person) = self.people.iter().find(|person| person.email == given("login_hint")) else {
            return Answer::refused("nobody of that name can log in");
        };
        let code = challenge(&format!("{}{}", given("code_challenge"), now().timestamp_nanos_opt().unwrap_or_default()));
        let kept = (person.clone(), given("code_challenge").to_owned());
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).insert(code.clone(), kept);
        let location = format!("{}?code={code}&state={}", given("redirect_uri"), given("state"));
        Answer { status: 302, location: Some(location), body: Value::Null }
    }

    fn token(&self, form: &Form) -> Answer {
        let given = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
        // A code is gone once it was shown, whatever comes of it.
        let kept = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(given("code"));
        let Some((person, expected)) = kept else { return Answer::refused("the code is unknown or was used") };
        if challenge(given("code_verifier")) != expected {
            return Answer::refused("the verifier does not fit the challenge");
        }
        let now = now().timestamp();
        let Person { email, groups } = person;
        let claims = json!({
            "iss": self.url, "aud": self.client, "sub": email, "email": email, "email_verified": true, "groups": groups,
            "iat": now, "exp": now + TOKEN_SECONDS,
        });
        match self.keys.sign(&claims) {
            Ok(token) => {
                Answer::json(json!({"id_token": token, "access_token": "none", "token_type": "Bearer", "expires_in": TOKEN_SECONDS}))
            }
            Err(error) => Answer { status: 500, location: None, body: json!({"error": error.to_string()}) },
        }
    }
}
