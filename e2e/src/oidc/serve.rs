//! Owns the issuer's connections: TLS and HTTP/1.1.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::issuer::{Fields, IssuerResponse, IssuerState, OAuthError};

pub(super) async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<IssuerState>) {
    loop {
        // Accepting fails only when file descriptors run out, which is temporary.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, tls.clone(), state.clone()));
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, state: Arc<IssuerState>) {
    // A client that does not trust the issuer's authority fails the handshake.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(|request| handle(state.clone(), request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn handle(state: Arc<IssuerState>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let form = body.collect().await?.to_bytes();
    let mut fields = parse_fields(head.uri.query().unwrap_or_default().as_bytes());
    fields.extend(parse_fields(&form));
    Ok(http_response(state.respond(&head.method, head.uri.path(), &fields)))
}

fn parse_fields(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

fn http_response(response: IssuerResponse) -> Response<Full<Bytes>> {
    match response {
        IssuerResponse::Document(document) => json_response(StatusCode::OK, &document),
        IssuerResponse::Error(OAuthError(code, description)) => {
            json_response(StatusCode::BAD_REQUEST, &json!({"error": code, "error_description": description}))
        }
        IssuerResponse::NotFound => json_response(StatusCode::NOT_FOUND, &json!({"error": "not_found"})),
        IssuerResponse::Redirect(to) => match HeaderValue::from_str(&to) {
            Ok(to) => {
                let mut response = json_response(StatusCode::FOUND, &Value::Null);
                response.headers_mut().insert(header::LOCATION, to);
                response
            }
            Err(_) => json_response(StatusCode::BAD_REQUEST, &json!({"error": "invalid_request"})),
        },
    }
}

fn json_response(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(document.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749, section 5.1.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
