//! Bounds the bytes of a page of a list: the objects of a page that is too large are read one by one.
//!
//! The parameter `limit` counts objects, and tenants decide how large their objects are. The text of a page is in
//! memory twice before kube parses it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::body::{Body as AnyBody, Bytes, HttpBody};
use futures::{TryStreamExt as _, future::BoxFuture};
use http::{Request, Response, Uri};
use kube::client::Body;
use tower::{BoxError, Service, ServiceExt as _};

use crate::lock::IgnorePoison as _;

/// The most bytes of a page with more than one object. Usual pages have a few hundred KB at most.
const MAX_PAGE_BYTES: usize = 4 * 1_024 * 1_024;

/// A service that divides pages of lists.
#[derive(Clone)]
pub(crate) struct SmallPages<S> {
    inner: S,
    /// By the path of a list, the number of its next objects that are read one by one: those of a page that was too
    /// large.
    one_by_one: Arc<Mutex<HashMap<String, u32>>>,
}

impl<S> SmallPages<S> {
    /// Divides the pages of the lists that `inner` returns.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, one_by_one: Arc::default() }
    }

    /// Forgets the objects of an earlier list of that path, which ended before all of them were read.
    fn begin(&self, path: &str) {
        self.one_by_one.lock().ignore_poison().remove(path);
    }

    /// Returns true if the next object of that list is read alone.
    fn takes_one(&self, path: &str) -> bool {
        let mut one_by_one = self.one_by_one.lock().ignore_poison();
        let Some(left) = one_by_one.remove(path) else { return false };
        if left > 1 {
            one_by_one.insert(path.to_owned(), left - 1);
        }
        true
    }

    /// Records that a page of that number of objects, which are at least two, was too large. Its first object is read
    /// at once.
    fn divide(&self, path: String, objects: u32) {
        self.one_by_one.lock().ignore_poison().insert(path, objects - 1);
    }
}

impl<S, B> Service<Request<Body>> for SmallPages<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<AnyBody>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The original is ready, and a copy is not.
        let copy = self.clone();
        let ready = std::mem::replace(self, copy);
        Box::pin(send(ready, request))
    }
}

/// Sends the request. The body of the response has at most [`MAX_PAGE_BYTES`], or it is a page of one object, or no
/// page.
async fn send<S, B>(mut service: SmallPages<S>, request: Request<Body>) -> Result<Response<AnyBody>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let pages = page_size(request.uri()).filter(|objects| *objects > 1).zip(with_one_object(request.uri()));
    let Some((objects, uri)) = pages else { return Ok(service.inner.call(request).await?.map(AnyBody::new)) };
    // A list is a GET without a body.
    let (head, _) = request.into_parts();
    let mut single = Request::from_parts(head.clone(), Body::empty());
    *single.uri_mut() = uri;
    let path = head.uri.path().to_owned();
    if !is_continued(&head.uri) {
        service.begin(&path);
    }
    if service.takes_one(&path) {
        return Ok(service.inner.call(single).await?.map(AnyBody::new));
    }
    let (answer, body) = service.inner.call(Request::from_parts(head, Body::empty())).await?.into_parts();
    if let Some(text) = collect(AnyBody::new(body)).await? {
        return Ok(Response::from_parts(answer, text.into()));
    }
    tracing::debug!(path, objects, "a page is too large; reading its objects one by one");
    service.divide(path, objects);
    Ok(service.inner.ready().await?.call(single).await?.map(AnyBody::new))
}

/// The text of a body; `None` if it has more than [`MAX_PAGE_BYTES`].
async fn collect(body: AnyBody) -> Result<Option<Vec<u8>>, BoxError> {
    let (mut parts, mut text) = (body.into_data_stream(), Vec::new());
    while let Some(part) = parts.try_next().await? {
        if text.len() + part.len() > MAX_PAGE_BYTES {
            return Ok(None);
        }
        text.extend_from_slice(&part);
    }
    Ok(Some(text))
}

/// The number of objects in a page of a list; `None` for any other request.
fn page_size(uri: &Uri) -> Option<u32> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("limit="))?.parse().ok()
}

/// Returns true if the page continues a list.
fn is_continued(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("continue=")))
}

/// The same page with one object.
fn with_one_object(uri: &Uri) -> Option<Uri> {
    let query: Vec<&str> =
        uri.query()?.split('&').map(|pair| if pair.starts_with("limit=") { "limit=1" } else { pair }).collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), query.join("&")).try_into().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "/apis/networking.k8s.io/v1/networkpolicies?&limit=3";

    /// Sends requests for objects of that number of bytes each. Returns the bytes of each response, and the requests
    /// that reach the API server.
    async fn read(objects: &[(&str, usize)]) -> (Vec<usize>, Vec<String>) {
        let (sent, bytes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (log, size) = (sent.clone(), bytes.clone());
        let serve = move |request: Request<Body>| {
            let limit = page_size(request.uri()).unwrap_or(1);
            log.lock().ignore_poison().push(request.uri().to_string());
            let text = vec![b'x'; usize::try_from(limit).unwrap() * *size.lock().ignore_poison()];
            async move { Ok::<_, BoxError>(Response::new(Body::from(text))) }
        };
        let mut service = SmallPages::new(tower::service_fn(serve));
        let mut received = Vec::new();
        for (uri, size) in objects {
            *bytes.lock().ignore_poison() = *size;
            let request = Request::get(*uri).body(Body::empty()).unwrap();
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            received.push(axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().len());
        }
        let sent = sent.lock().ignore_poison().clone();
        (received, sent)
    }

    #[tokio::test]
    async fn the_objects_of_a_page_that_is_too_large_are_read_one_by_one() {
        let (small, large) = (1_000, 3 * 1_024 * 1_024);
        let next = format!("{LIST}&continue=abc");
        let one = |uri: &str| uri.replace("limit=3", "limit=1");
        let pages = [(LIST, large), (&*next, large), (&*next, small), (&*next, small), (LIST, large)];
        let (received, sent) = read(&pages).await;
        assert_eq!(received, [large, large, small, 3 * small, large]);
        assert_eq!(sent, [LIST.to_owned(), one(LIST), one(&next), one(&next), next, LIST.to_owned(), one(LIST)]);
    }

    #[tokio::test]
    async fn a_list_that_begins_again_is_read_in_whole_pages() {
        let (small, large) = (1_000, 3 * 1_024 * 1_024);
        let one = LIST.replace("limit=3", "limit=1");
        let (received, sent) = read(&[(LIST, large), (LIST, small), (&format!("{LIST}&continue=abc"), small)]).await;
        assert_eq!(received, [large, 3 * small, 3 * small]);
        assert_eq!(sent, [LIST.to_owned(), one, LIST.to_owned(), format!("{LIST}&continue=abc")]);
    }

    #[tokio::test]
    async fn other_responses_are_returned_unchanged() {
        let huge = 16 * 1_024 * 1_024;
        let policy = "/apis/networking.k8s.io/v1/namespaces/orchid-lab/networkpolicies/open";
        let watch = "/apis/networking.k8s.io/v1/networkpolicies?&watch=true&resourceVersion=7";
        let single = "/apis/networking.k8s.io/v1/networkpolicies?&limit=1";
        let (received, sent) = read(&[(policy, huge), (watch, huge), (LIST, 1_000)]).await;
        assert_eq!((received, sent), (vec![huge, huge, 3_000], [policy, watch, LIST].map(str::to_owned).into()));
        let (received, sent) = read(&[(single, huge)]).await;
        assert_eq!((received, sent), (vec![huge], vec![single.to_owned()]));
    }

    #[tokio::test]
    async fn a_page_that_breaks_off_is_an_error() {
        let parts = [Ok("the begin"), Err(BoxError::from("connection reset by peer"))];
        let parts = Arc::new(Mutex::new(Some(parts)));
        let serve = move |_: Request<Body>| {
            let parts = parts.lock().ignore_poison().take();
            let body = AnyBody::from_stream(futures::stream::iter(parts.into_iter().flatten()));
            async move { Ok::<_, BoxError>(Response::new(body)) }
        };
        let mut service = SmallPages::new(tower::service_fn(serve));
        let request = Request::get(LIST).body(Body::empty()).unwrap();
        assert!(service.ready().await.unwrap().call(request).await.is_err());
    }
}
