//! Builds every [`Client`], with its time-outs, its retries and its name in audit logs.

use std::{sync::Arc, task::Poll, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, DynBody, retry::RetryPolicy},
};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{
    BoxError, Service,
    buffer::BufferLayer,
    retry::{Policy, RetryLayer},
};

use crate::{
    clock::ServerCheckedClock,
    impersonation,
    metrics::Metrics,
    runtime::{recent_writes::RecentWrites, watchdog::Watchdog},
    small_pages::SmallPages,
};

/// The longest time for a response. It is above [`WATCH_TIMEOUT_SECONDS`], so that an idle watch is not a failure.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time for a write. A write that times out may have been carried out nevertheless, and every write is safe
/// in that case.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait before a retry. A proxy may ask for minutes, while ends of spaces are due.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The interval at which a watch is restarted, so that a frozen one is noticed within a minute.
pub(crate) const WATCH_TIMEOUT_SECONDS: u32 = 20;

/// The reason why no client could be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a kubeconfig nor a service account was found.
    #[error("failed to find the configuration of the cluster: set KUBECONFIG, or run in a pod with a ServiceAccount")]
    Infer(#[source] kube::config::InferConfigError),
    /// No client can be built from the configuration.
    #[error("failed to build a client from the cluster's configuration")]
    Build(#[source] kube::Error),
    /// The name of a user or group to impersonate is not a valid header.
    #[error(
        "the user or a group to impersonate contains a control character: check --as, --as-group and the kubeconfig"
    )]
    Impersonate(#[source] header::InvalidHeaderValue),
    /// The parameters of the retry policy are invalid.
    #[error("failed to build the retry policy")]
    Retry(#[source] kube::client::retry::InvalidBackoff),
}

/// The components that are notified of each response.
#[derive(Clone, Default)]
pub struct Listeners {
    /// The clock, which is checked against the server's time.
    pub clock: Arc<ServerCheckedClock>,
    /// The watchdog, which records each response.
    pub watchdog: Arc<Watchdog>,
    /// The metrics, which count each response.
    pub metrics: Arc<Metrics>,
    /// The register of writes, which records each write.
    pub writes: Arc<RecentWrites>,
}

/// Returns a client for the cluster of the environment. `listeners` are notified of each response. The bytes of a page
/// of a list are bounded: the operator reads the objects of all tenants, under a memory limit.
pub async fn connect(listeners: Listeners) -> Result<Client, Error> {
    let config = Config::infer().await.map_err(Error::Infer)?;
    let builder = builder(config, listeners, concat!("developerspace-operator/", env!("CARGO_PKG_VERSION")))?;
    Ok(builder.with_layer(&tower::layer::layer_fn(SmallPages::new)).build())
}

/// Returns a client for the cluster of `config`, with the operator's time-outs and retries, and with `agent` as its
/// name in audit logs. A read time-out in `config` is kept.
pub(crate) fn for_config(config: Config, listeners: Listeners, agent: &'static str) -> Result<Client, Error> {
    Ok(builder(config, listeners, agent)?.build())
}

fn builder(mut config: Config, listeners: Listeners, agent: &'static str) -> Result<ClientBuilder<impl Stack>, Error> {
    config.read_timeout = config.read_timeout.or(Some(READ_TIMEOUT));
    config.reset_reader_on_write = true;
    config.default_retry = false;
    config.headers.push((HeaderName::from_static("user-agent"), HeaderValue::from_static(agent)));
    config.headers.extend(impersonation::take_headers(&mut config.auth_info).map_err(Error::Impersonate)?);
    let retry = Retry::new().map_err(Error::Retry)?;
    let builder = ClientBuilder::try_from(config).map_err(Error::Build)?;
    let listen = tower::layer::layer_fn(move |inner| Listen { inner, listeners: listeners.clone() });
    Ok(builder.with_layer(&listen).with_layer(&BufferLayer::new(1024)).with_layer(&RetryLayer::new(retry)))
}

/// The layers of a client.
trait Stack:
    Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Stack for S where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Notifies the listeners of each response of the API server.
struct Listen<S> {
    inner: S,
    listeners: Listeners,
}

impl<S, B> Service<Request<Body>> for Listen<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let watch = is_watch.then(|| request.uri().path().to_owned());
        let Listeners { clock, watchdog, metrics, writes } = self.listeners.clone();
        let method = request.method().clone();
        let limit = (method != Method::GET).then_some(WRITE_TIMEOUT);
        if limit.is_some() {
            writes.record(request.uri().path());
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answered = match limit {
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .map_err(BoxError::from)
                    .and_then(|answer| answer.map_err(Into::into)),
                None => answer.await.map_err(Into::into),
            };
            let response = answered.inspect_err(|_| metrics.unanswered(method.as_str()))?;
            metrics.answered(method.as_str(), response.status().as_u16());
            // A load balancer or a proxy sends error pages of its own, with its own time.
            clock.record_server_time(date(response.headers()).filter(|_| response.status().is_success()));
            watchdog.record_response(watch.as_deref().filter(|_| response.status().is_success()));
            Ok(response)
        })
    }
}

fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

/// Retries requests that are known not to have been carried out (429), and reads that failed temporarily (503, 504);
/// three times at most. The header `Retry-After` lengthens a wait, at most to [`MAX_WAIT`].
///
/// kube's own default retries a POST too, which then conflicts with the object that it has created:
/// <https://github.com/kube-rs/kube/issues/2082>.
#[derive(Clone)]
struct Retry(RetryPolicy);

impl Retry {
    fn new() -> Result<Self, kube::client::retry::InvalidBackoff> {
        RetryPolicy::new(Duration::from_millis(100), MAX_WAIT, 3, true).map(Self)
    }

    fn may_repeat(method: &Method, status: StatusCode) -> bool {
        match status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => method == Method::GET,
            _ => false,
        }
    }
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Retry {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let status = result.as_ref().ok()?.status();
        if !Self::may_repeat(request.method(), status) {
            return None;
        }
        let wait = self.0.retry(request, result)?;
        let latest = Instant::now() + MAX_WAIT;
        Some(if wait.deadline() > latest { sleep_until(latest) } else { wait })
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        <RetryPolicy as Policy<Request<Body>, Response<B>, BoxError>>::clone_request(&mut self.0, request)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::Clock as _;

    type Answer = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    #[test]
    fn only_requests_that_are_safe_to_repeat_are_retried() {
        for (method, status, expected) in [
            (Method::POST, 429, true),
            (Method::POST, 503, false),
            (Method::PATCH, 504, false),
            (Method::DELETE, 503, false),
            (Method::GET, 503, true),
            (Method::GET, 504, true),
            (Method::GET, 500, false),
        ] {
            assert_eq!(
                Retry::may_repeat(&method, StatusCode::from_u16(status).unwrap()),
                expected,
                "{method} {status}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_lengthens_a_wait_to_a_few_seconds_at_most() {
        let wait = |after: Option<&str>| {
            let mut response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
            if let Some(after) = after {
                response = response.header(header::RETRY_AFTER, after);
            }
            let mut answered: Result<Response<Body>, BoxError> = Ok(response.body(Body::empty()).unwrap());
            let sleep = Retry::new().unwrap().retry(&mut request(Method::POST), &mut answered).unwrap();
            sleep.deadline() - Instant::now()
        };
        assert!(wait(None) < Duration::from_secs(1), "it backs off without the header");
        assert_eq!(wait(Some("2")), Duration::from_secs(2));
        for long in ["5", "32", "600", "4000000000"] {
            assert_eq!(wait(Some(long)), MAX_WAIT, "{long}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_counts_as_a_failure_and_not_as_a_response() {
        let listeners = Listeners::default();
        let reset = |_: Request<Body>| -> Answer { Box::pin(async { Err("connection reset by peer".into()) }) };
        let silent = |_: Request<Body>| -> Answer { Box::pin(std::future::pending()) };
        let mut resets = Listen { inner: tower::service_fn(reset), listeners: listeners.clone() };
        assert!(resets.call(request(Method::GET)).await.is_err());
        let mut hangs = Listen { inner: tower::service_fn(silent), listeners: listeners.clone() };
        assert!(hangs.call(request(Method::PATCH)).await.is_err(), "a write has a time-out");
        let text = listeners.metrics.render();
        for line in [
            r#"developerspace_api_failures_total{method="GET"} 1"#,
            r#"developerspace_api_failures_total{method="PATCH"} 1"#,
        ] {
            assert!(text.lines().any(|rendered| rendered == line), "{line} is not in {text}");
        }
        assert!(!text.contains("developerspace_api_requests_total{"), "{text}");
        assert!(!listeners.watchdog.ages(DateTime::UNIX_EPOCH).heard);
    }

    #[tokio::test]
    async fn only_successful_responses_move_the_clock() {
        let listeners = Listeners::default();
        let ahead = listeners.clock.now() + TimeDelta::hours(1);
        let shown = ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        for (code, moves) in [(304_u16, false), (404, false), (409, false), (502, false), (503, false), (200, true)] {
            let responds = |_: Request<Body>| -> Answer {
                let response =
                    Response::builder().status(code).header(header::DATE, shown.as_str()).body(Body::empty()).unwrap();
                Box::pin(async move { Ok(response) })
            };
            let mut listen = Listen { inner: tower::service_fn(responds), listeners: listeners.clone() };
            for _ in 0..2 {
                listen.call(request(Method::GET)).await.unwrap();
            }
            assert_eq!(listeners.clock.now() > ahead - TimeDelta::minutes(1), moves, "{code}");
        }
    }

    fn request(method: Method) -> Request<Body> {
        Request::builder().method(method).uri("/api/v1/namespaces/orchid-lab").body(Body::empty()).unwrap()
    }

    #[test]
    fn reads_the_date_of_a_response() {
        let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static("Tue, 24 Nov 2026 09:00:00 GMT"))]);
        assert_eq!(date(&headers).map(crate::api::time::rfc3339), Some("2026-11-24T09:00:00Z".into()));
    }
}
