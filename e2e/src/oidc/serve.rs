//! Owns the provider's server: HTTP over TLS with an authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::login;
use super::provider::{Form, Person, Provider};
use crate::kubeconfig::install_crypto;

/// A running provider. It ends when this is dropped.
pub struct Issuer {
    url: String,
    client: String,
    authority: PathBuf,
    serving: AbortHandle,
}

impl Issuer {
    /// Starts a provider with one public client; its authority's certificate is written into `dir`.
    pub async fn start(dir: &Path, client: &str, people: Vec<Person>) -> Result<Self> {
        install_crypto();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the provider could not listen")?;
        let url = format!("https://127.0.0.1:{}", listener.local_addr()?.port());
        let (config, pem) = certificate()?;
        let authority = dir.join("issuer.crt");
        fs::write(&authority, pem).with_context(|| format!("{} could not be written", authority.display()))?;
        let provider = Arc::new(Provider::new(url.clone(), client, people)?);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = tokio::spawn(accept(listener, acceptor, provider)).abort_handle();
        Ok(Self { url, client: client.to_owned(), authority, serving })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that signed its own.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// Logs somebody in by the code flow with PKCE, as `kubectl oidc-login` does in a browser: their ID token.
    pub async fn login(&self, email: &str) -> Result<String> {
        login::login(&self.url, &self.client, &self.authority, email).await
    }

    /// The same with a verifier that is not the one whose challenge was sent, which has to be refused.
    pub async fn login_with_wrong_verifier(&self, email: &str) -> Result<String> {
        login::exchange(&self.url, &self.client, &self.authority, (email, "another")).await
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn certificate() -> Result<(ServerConfig, String)> {
    let mut params = CertificateParams::new(vec![])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok((config, authority.pem()))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, provider: Arc<Provider>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, provider) = (acceptor.clone(), provider.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| answer(provider.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(provider: Arc<Provider>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut form = parse(head.uri.query().unwrap_or_default());
    form.extend(parse(&String::from_utf8_lossy(&body)));
    let answer = provider.answer(head.method.as_str(), head.uri.path(), &form);
    let mut response = Response::builder().status(answer.status).header(header::CONTENT_TYPE, "application/json");
    if let Some(location) = answer.location {
        response = response.header(header::LOCATION, location);
    }
    Ok(response.body(Full::from(answer.body.to_string()))?)
}

/// What is sent here needs no percent-decoding but for the at sign, the colon and the slash.
fn parse(text: &str) -> Form {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| text.replace("%40", "@").replace("%3A", ":").replace("%2F", "/");
    pairs.map(|(key, value)| (plain(key), plain(value))).collect()
}
