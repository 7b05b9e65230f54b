//! Owns connections and requests: each request is numbered, recorded, matched against the rules, and forwarded or not.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::{
    fault::Fault,
    network::Snapshot,
    request_info::RequestInfo,
    response::{Body, ProxyResponse, Reset, error_response, full_body, truncated_body},
    state::ProxyState,
    stream::relay,
};
use crate::process;

pub(super) async fn accept(listener: TcpListener, state: Arc<ProxyState>) {
    loop {
        // Accepting fails only when file descriptors run out, which is temporary.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, state.clone()));
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<ProxyState>) {
    let _ = stream.set_nodelay(true);
    // A connection that is closed without a response ends with RST.
    if stream.set_zero_linger().is_err() {
        return;
    }
    let mut network = state.network.subscribe();
    let service = service_fn(|request| handle(state.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        _ = network.wait_for(|network| network.partition) => {}
    }
}

async fn handle(state: Arc<ProxyState>, request: Request<Incoming>) -> ProxyResponse {
    if state.network.borrow().black_hole {
        let _ = state.network.subscribe().wait_for(|network| !network.black_hole).await;
        return Err(Reset);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    let request = Request::from_parts(head, body);
    let request_info = RequestInfo::parse(request.method(), request.uri(), request.body());
    let (position, matched) = state.rules().match_request(&request_info);
    let (rule, fault) = matched.unzip();
    let index = state.journal.record_request(request_info.clone(), position, rule);
    let exchange = Exchange { state: state.clone(), request, request_info, index };
    let response = match fault {
        Some(fault) => exchange.apply(fault).await,
        None => exchange.forward().await,
    };
    let mut response = response?;
    shift_date(&mut response, state.network.borrow().clock);
    state.journal.record_response(index, response.status().as_u16());
    Ok(response)
}

/// Shifts the time in the `Date` header of the response.
fn shift_date(response: &mut Response<Body>, by: TimeDelta) {
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).filter(|_| !by.is_zero()) else {
        return;
    };
    let shifted = (date.to_utc() + by).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(shifted) = shifted.parse() {
        response.headers_mut().insert(header::DATE, shifted);
    }
}

/// A request that is under way.
#[derive(Clone)]
struct Exchange {
    state: Arc<ProxyState>,
    request: Request<Bytes>,
    request_info: RequestInfo,
    /// The number of the request in the journal.
    index: usize,
}

impl Exchange {
    /// Responds to the request as the fault requires.
    async fn apply(&self, fault: Fault) -> ProxyResponse {
        match fault {
            Fault::ResetBefore => Err(Reset),
            Fault::ResetAfter => self.forward().await.and(Err(Reset)),
            Fault::Respond { code, after } => {
                if after {
                    self.forward().await?;
                }
                error_response(code)
            }
            Fault::Truncate => {
                let (head, bytes) = self.fetch().await?;
                let length = bytes.len();
                let mut response = Response::from_parts(head, truncated_body(&bytes));
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                Ok(response)
            }
            Fault::Delay(span) => {
                tokio::time::sleep(span).await;
                self.forward().await
            }
            Fault::Hang { after } => {
                if after {
                    self.forward().await?;
                }
                std::future::pending().await
            }
            Fault::Hold(gate) => {
                // A held request is forwarded even if its sender has given up by then.
                let exchange = self.clone();
                let forwarding = tokio::spawn(async move {
                    gate.wait().await;
                    exchange.forward().await
                });
                forwarding.await.map_err(|_| Reset)?
            }
            Fault::Signal { signal, after } => self.signal(signal, after).await,
        }
    }

    /// Only SIGKILL ends the exchange together with the operator. After SIGTERM the operator may still receive the
    /// response.
    async fn signal(&self, signal: &'static str, after: bool) -> ProxyResponse {
        let kills = signal == "KILL";
        let response_before = if after { Some(self.forward().await?) } else { None };
        let pid = self.state.pid.load(Ordering::Relaxed);
        // The process may have ended by itself. Then the case does not reach its end state, which the runner reports.
        let _ = tokio::task::spawn_blocking(move || process::signal(pid, signal)).await;
        match response_before {
            _ if kills => Err(Reset),
            Some(response) => Ok(response),
            None => self.forward().await,
        }
    }

    /// Forwards the request, or responds with a recorded list.
    async fn forward(&self) -> ProxyResponse {
        let snapshot = self.state.network.borrow().snapshot.clone();
        if let Some(bytes) = snapshot
            .filter(|_| self.request_info.verb == "list")
            .and_then(|snapshot| snapshot.lists.get(&self.path_and_query()).cloned())
        {
            return Response::builder()
                .header(header::CONTENT_TYPE, "application/json")
                .body(full_body(bytes))
                .map_err(|_| Reset);
        }
        if self.request_info.verb == "watch" {
            return self.watch().await;
        }
        let (head, bytes) = self.fetch().await?;
        if self.request_info.verb == "list" && head.status.is_success() {
            self.record(&bytes);
        }
        Ok(Response::from_parts(head, full_body(bytes)))
    }

    async fn watch(&self) -> ProxyResponse {
        let resource = &self.request_info.resource;
        if self.state.network.borrow().is_silent(resource) {
            let _ = self.state.network.subscribe().wait_for(|network| !network.is_silent(resource)).await;
        }
        let response = self.state.upstream.send(&self.request).await.map_err(|_| Reset)?;
        self.state.journal.record_served(self.index, response.status().as_u16());
        Ok(relay(&self.state, resource, response))
    }

    async fn fetch(&self) -> Result<(http::response::Parts, Bytes), Reset> {
        let response = self.state.upstream.send(&self.request).await.map_err(|_| Reset)?;
        let (mut head, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|_| Reset)?.to_bytes();
        self.state.journal.record_served(self.index, head.status.as_u16());
        for name in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION] {
            head.headers.remove(name);
        }
        Ok((head, bytes))
    }

    fn record(&self, bytes: &Bytes) {
        let mut recording = self.state.recording.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Snapshot { lists, resources }) = recording.as_mut() {
            lists.insert(self.path_and_query(), bytes.clone());
            resources.insert(self.request_info.resource.clone());
        }
    }

    fn path_and_query(&self) -> String {
        self.request.uri().path_and_query().map(ToString::to_string).unwrap_or_default()
    }
}
