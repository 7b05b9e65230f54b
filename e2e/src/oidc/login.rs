//! Owns the client's side of a login: the steps of the browser, and the steps of the program that requests tokens.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;

use super::keys::{challenge, random_token};
use crate::kubeconfig::install_crypto;

/// The redirect URI of the program. No server listens on it: the redirect is read and not followed.
const REDIRECT: &str = "http://127.0.0.1:18000/callback";

/// A client that logs in at the issuer.
pub struct LoginClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    client_id: String,
}

impl LoginClient {
    pub(super) fn new(url: &str, client_id: &str, authority: &str) -> Result<Self> {
        install_crypto();
        let mut roots = RootCertStore::empty();
        let authority =
            CertificateDer::from_pem_slice(authority.as_bytes()).context("the issuer's authority cannot be read")?;
        roots.add(authority).context("the issuer's authority cannot be trusted")?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, url: url.to_owned(), client_id: client_id.to_owned() })
    }

    /// Performs a complete login and returns the ID token of the user with this subject.
    pub async fn login(&self, subject: &str) -> Result<String> {
        let verifier = random_token()?;
        let code = self.authorize(subject, &challenge(&verifier)).await?;
        let (status, response) = self.redeem(&code, &verifier).await?;
        ensure!(status == StatusCode::OK.as_u16(), "the code was not redeemed: {status} {response}");
        Ok(response["id_token"].as_str().context("there is no id_token")?.to_owned())
    }

    /// Performs the browser's step and returns the authorization code of the redirect.
    pub async fn authorize(&self, subject: &str, challenge: &str) -> Result<String> {
        let state = random_token()?;
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", self.client_id.as_str()),
                ("redirect_uri", REDIRECT),
                ("scope", "openid email groups"),
                ("state", state.as_str()),
                ("code_challenge", challenge),
                ("code_challenge_method", "S256"),
                ("login_hint", subject),
            ])
            .finish();
        let request = Request::get(format!("{}/authorize?{query}", self.url)).body(Full::default())?;
        let response = self.client.request(request).await.context("the issuer did not answer")?;
        let (status, location) = (response.status(), response.headers().get(header::LOCATION).cloned());
        let Some(location) = location.filter(|_| status == StatusCode::FOUND) else {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("the issuer let nobody in: {status} {}", String::from_utf8_lossy(&body));
        };
        let (to, query) = location.to_str()?.split_once('?').context("the redirect has no query")?;
        ensure!(to == REDIRECT, "the redirect goes to {to}");
        let field = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        ensure!(field("state") == Some(state), "the redirect has another state");
        field("code").context("the redirect has no code")
    }

    /// Redeems a code, as the program that requests tokens does. Returns the status code and the response.
    pub async fn redeem(&self, code: &str, verifier: &str) -> Result<(u16, Value)> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "authorization_code"),
                ("client_id", self.client_id.as_str()),
                ("redirect_uri", REDIRECT),
                ("code", code),
                ("code_verifier", verifier),
            ])
            .finish();
        let request = Request::post(format!("{}/token", self.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))?;
        self.document(request).await
    }

    /// Fetches a document from the issuer.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, document) =
            self.document(Request::get(format!("{}{path}", self.url)).body(Full::default())?).await?;
        ensure!(status == StatusCode::OK.as_u16(), "{path} is {status}: {document}");
        Ok(document)
    }

    async fn document(&self, request: Request<Full<Bytes>>) -> Result<(u16, Value)> {
        let response = self.client.request(request).await.context("the issuer did not answer")?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).context("the issuer's answer is no JSON")?))
    }
}
