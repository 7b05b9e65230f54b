//! Owns the connection to the API server: TLS with the cluster's authority, and the caller's bearer token unchanged.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::kubeconfig::install_crypto;

pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: Uri,
}

impl Upstream {
    pub(super) fn new(server: &str, authority: &Path) -> Result<Self> {
        install_crypto();
        let mut roots = RootCertStore::empty();
        let unreadable = || format!("the authority's certificate {} cannot be read", authority.display());
        for certificate in CertificateDer::pem_file_iter(authority).with_context(unreadable)? {
            roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
        }
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let server = server.parse().with_context(|| format!("{server} is no address"))?;
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), server })
    }

    /// Forwards a request and returns the response, whose body is still a stream.
    pub(super) async fn send(&self, request: &Request<Bytes>) -> Result<Response<Incoming>> {
        let mut target = self.server.clone().into_parts();
        target.path_and_query = request.uri().path_and_query().cloned();
        let uri = Uri::from_parts(target).context("the request's path cannot be handed on")?;
        let mut onward = Request::builder().method(request.method()).uri(uri);
        for (name, value) in request.headers() {
            if !matches!(*name, header::HOST | header::CONNECTION | header::TRANSFER_ENCODING | header::CONTENT_LENGTH)
            {
                onward = onward.header(name, value);
            }
        }
        let onward = onward.body(Full::new(request.body().clone())).context("the request cannot be handed on")?;
        self.client.request(onward).await.context("the API server did not answer")
    }
}
