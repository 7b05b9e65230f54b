//! Owns the bodies and the responses that the proxy generates itself.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Ends a connection without a response. Connections of the proxy do not linger, so the peer sees a reset.
#[derive(Debug)]
pub(super) struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset by the proxy")
    }
}

impl std::error::Error for Reset {}

pub(super) type Body = UnsyncBoxBody<Bytes, Reset>;
/// The response to a request, or a reset of its connection.
pub(super) type ProxyResponse = Result<Response<Body>, Reset>;

/// A body that is sent as a whole.
pub(super) fn full_body(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that is fed through a channel, chunk by chunk.
pub(super) fn channel_body() -> (mpsc::Sender<Result<Bytes, Reset>>, Body) {
    let (sender, receiver) = mpsc::channel(64);
    let chunks = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Result<Bytes, Reset>>| async move {
        receiver.recv().await.map(|chunk| (chunk.map(Frame::data), receiver))
    });
    (sender, StreamBody::new(chunks).boxed_unsync())
}

/// A body that ends after its first half. The headers still announce the full length.
pub(super) fn truncated_body(bytes: &Bytes) -> Body {
    let chunks = [Ok(Frame::data(bytes.slice(..bytes.len() / 2))), Err(Reset)];
    StreamBody::new(stream::iter(chunks)).boxed_unsync()
}

/// The `Status` object with which the API server rejects a request.
pub(super) fn status_object(code: u16) -> Value {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": format!("made up by the fault proxy: {reason}"), "reason": reason, "code": code})
}

/// The response with which the API server rejects a request.
pub(super) fn error_response(code: u16) -> ProxyResponse {
    let mut response =
        Response::builder().status(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    response = response.header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        response = response.header(header::RETRY_AFTER, "1");
    }
    response.body(full_body(Bytes::from(status_object(code).to_string()))).map_err(|_| Reset)
}

/// The line that ends a watch whose resourceVersion has expired.
pub(super) fn expired_event() -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status_object(410)})))
}
