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
    answer::{Answer, Body, Reset, half, refusal, whole},
    fault::Fault,
    network::Snapshot,
    request_info::RequestInfo,
    state::State,
    stream::relay,
};
use crate::process;

pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        // Accepting fails only when file descriptors run out, which is temporary.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, state.clone()));
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
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

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Answer {
    if state.network.borrow().black_hole {
        let _ = state.network.subscribe().wait_for(|network| !network.black_hole).await;
        return Err(Reset);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    let request = Request::from_parts(head, body);
    let request_info = RequestInfo::of(request.method(), request.uri(), request.body());
    let (place, met) = state.rules().judge(&request_info);
    let (rule, fault) = met.unzip();
    let index = state.journal.begin(request_info.clone(), place, rule);
    let exchange = Exchange { state: state.clone(), request, request_info, index };
    let answer = match fault {
        Some(fault) => exchange.suffer(fault).await,
        None => exchange.pass().await,
    };
    let mut answer = answer?;
    shift(&mut answer, state.network.borrow().clock);
    state.journal.told(index, answer.status().as_u16());
    Ok(answer)
}

/// Shifts the time in the `Date` header of the response.
fn shift(answer: &mut Response<Body>, by: TimeDelta) {
    let told = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(told) = told.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).filter(|_| !by.is_zero()) else { return };
    let shifted = (told.to_utc() + by).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(shifted) = shifted.parse() {
        answer.headers_mut().insert(header::DATE, shifted);
    }
}

#[derive(Clone)]
struct Exchange {
    state: Arc<State>,
    request: Request<Bytes>,
    request_info: RequestInfo,
    index: usize,
}

impl Exchange {
    async fn suffer(&self, fault: Fault) -> Answer {
        match fault {
            Fault::ResetBefore => Err(Reset),
            Fault::ResetAfter => self.pass().await.and(Err(Reset)),
            Fault::Answer { code, after } => {
                if after {
                    self.pass().await?;
                }
                refusal(code)
            }
            Fault::Truncate => {
                let (head, bytes) = self.fetch().await?;
                let length = bytes.len();
                let mut answer = Response::from_parts(head, half(&bytes));
                answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                Ok(answer)
            }
            Fault::Delay(span) => {
                tokio::time::sleep(span).await;
                self.pass().await
            }
            Fault::Hang { after } => {
                if after {
                    self.pass().await?;
                }
                std::future::pending().await
            }
            Fault::Hold(gate) => {
                // A held request arrives even if its sender has given up by then.
                let exchange = self.clone();
                let arrives = tokio::spawn(async move {
                    gate.pass().await;
                    exchange.pass().await
                });
                arrives.await.map_err(|_| Reset)?
            }
            Fault::Signal { signal, after } => self.signal(signal, after).await,
        }
    }

    /// Only SIGKILL ends the exchange together with the operator. After SIGTERM the operator may still receive the
    /// response.
    async fn signal(&self, signal: &'static str, after: bool) -> Answer {
        let kills = signal == "KILL";
        let early = if after { Some(self.pass().await?) } else { None };
        let pid = self.state.pid.load(Ordering::Relaxed);
        // The process may have ended by itself. Then the case does not reach its end state, which the runner reports.
        let _ = tokio::task::spawn_blocking(move || process::signal(pid, signal)).await;
        match early {
            _ if kills => Err(Reset),
            Some(answer) => Ok(answer),
            None => self.pass().await,
        }
    }

    /// Forwards the request, or responds with a recorded list.
    async fn pass(&self) -> Answer {
        let past = self.state.network.borrow().past.clone();
        if let Some(bytes) = past.filter(|_| self.request_info.verb == "list").and_then(|past| past.lists.get(&self.place()).cloned()) {
            return Response::builder().header(header::CONTENT_TYPE, "application/json").body(whole(bytes)).map_err(|_| Reset);
        }
        if self.request_info.verb == "watch" {
            return self.watch().await;
        }
        let (head, bytes) = self.fetch().await?;
        if self.request_info.verb == "list" && head.status.is_success() {
            self.record(&bytes);
        }
        Ok(Response::from_parts(head, whole(bytes)))
    }

    async fn watch(&self) -> Answer {
        let resource = &self.request_info.resource;
        if self.state.network.borrow().is_silent(resource) {
            let _ = self.state.network.subscribe().wait_for(|network| !network.is_silent(resource)).await;
        }
        let answer = self.state.upstream.send(&self.request).await.map_err(|_| Reset)?;
        self.state.journal.served(self.index, answer.status().as_u16());
        Ok(relay(&self.state, resource, answer))
    }

    async fn fetch(&self) -> Result<(http::response::Parts, Bytes), Reset> {
        let answer = self.state.upstream.send(&self.request).await.map_err(|_| Reset)?;
        let (mut head, body) = answer.into_parts();
        let bytes = body.collect().await.map_err(|_| Reset)?.to_bytes();
        self.state.journal.served(self.index, head.status.as_u16());
        for name in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION] {
            head.headers.remove(name);
        }
        Ok((head, bytes))
    }

    fn record(&self, bytes: &Bytes) {
        let mut recording = self.state.recording.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Snapshot { lists, resources }) = recording.as_mut() {
            lists.insert(self.place(), bytes.clone());
            resources.insert(self.request_info.resource.clone());
        }
    }

    fn place(&self) -> String {
        self.request.uri().path_and_query().map(ToString::to_string).unwrap_or_default()
    }
}
