//! Owns a login: the code flow with PKCE over TLS, as a client without a secret does it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::keys::challenge;

const VERIFIER: &str = "a-verifier-of-forty-three-characters-at-least-1";
const REDIRECT: &str = "http://localhost:8000";

type Https = Client<hyper_rustls::HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(super) async fn login(url: &str, client: &str, authority: &Path, email: &str) -> Result<String> {
    exchange(url, client, authority, (email, VERIFIER)).await
}

/// Logs in, and shows `verifier` for the code.
pub(super) async fn exchange(url: &str, client: &str, authority: &Path, (email, verifier): (&str, &str)) -> Result<String> {
    let https = https(authority)?;
    let challenge = challenge(VERIFIER);
    let query = format!(
        "response_type=code&client_id={client}&redirect_uri={REDIRECT}&scope=openid&state=7&login_hint={email}&code_challenge={challenge}&code_challenge_method=S256"
    );
    let answer = https.request(Request::get(format!("{url}/authorize?{query}")).body(Full::default())?).await?;
    let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok()).map(ToOwned::to_owned);
    let Some(location) = location else { bail!("the login was refused: {}", body(answer).await?) };
    let code = location.split(['?', '&']).find_map(|part| part.strip_prefix("code=")).context("there is no code in the answer")?;
    let form = format!("grant_type=authorization_code&client_id={client}&redirect_uri={REDIRECT}&code={code}&code_verifier={verifier}");
    let request = Request::post(format!("{url}/token")).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = body(https.request(request.body(Full::from(form))?).await?).await?;
    answer["id_token"].as_str().map(ToOwned::to_owned).with_context(|| format!("there is no ID token: {answer}"))
}

async fn body(answer: Response<Incoming>) -> Result<Value> {
    Ok(serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?)
}

fn https(authority: &Path) -> Result<Https> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let config = ClientConfig::builder().with_root_certificates(Arc::new(roots)).with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
