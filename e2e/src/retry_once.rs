//! Owns retrying a request once if its connection was closed. The API server closes connections that were idle for a
//! while, and a request that is sent at that moment gets no response. A POST is not retried: it would conflict with the
//! object that it may have created.

use std::{
    error::Error,
    future::{Ready, ready},
};

use anyhow::{Context, Result};
use http::{Method, Request, Response};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, retry::RetryPolicy},
};
use tower::{
    BoxError,
    buffer::BufferLayer,
    retry::{Policy, RetryLayer},
};

/// The error message of the HTTP library for such a request.
const CLOSED: &str = "connection closed before message completed";

/// Creates a client with this retry.
pub(crate) fn client(config: Config) -> Result<Client> {
    let policy = RetryOnce { body: RetryPolicy::default(), is_left: true };
    let builder = ClientBuilder::try_from(config).context("no client could be made")?;
    Ok(builder.with_layer(&BufferLayer::new(1024)).with_layer(&RetryLayer::new(policy)).build())
}

/// One remaining retry. Each request has its own copy.
#[derive(Clone)]
struct RetryOnce {
    body: RetryPolicy,
    is_left: bool,
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for RetryOnce {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let was_closed = result.as_ref().err().is_some_and(|error| was_closed(&**error));
        (was_closed && request.method() != Method::POST && std::mem::take(&mut self.is_left)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        <RetryPolicy as Policy<Request<Body>, Response<B>, BoxError>>::clone_request(&mut self.body, request)
    }
}

fn was_closed(error: &(dyn Error + 'static)) -> bool {
    error.to_string().contains(CLOSED) || error.source().is_some_and(was_closed)
}
