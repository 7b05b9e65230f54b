//! Owns the plain HTTP requests to health and metrics endpoints and to etcd on loopback.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends `GET path` to 127.0.0.1 and returns the status code and the body.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    send(port, path, &format!("GET {path} HTTP/1.0\r\n"), "").await
}

/// Sends `POST path` with a JSON body to 127.0.0.1 and returns the status code and the body.
pub async fn post(port: u16, path: &str, body: &str) -> Result<(u16, String)> {
    let head = format!("POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    send(port, path, &head, body).await
}

/// Sends `GET path` with one additional header line, which ends with CR and LF.
pub async fn get_with(port: u16, path: &str, line: &str) -> Result<(u16, String)> {
    send(port, path, &format!("GET {path} HTTP/1.0\r\n{line}"), "").await
}

/// Returns true if the server answers the HTTP/2 connection preface (RFC 9113, section 3.4) with a SETTINGS frame.
pub async fn speaks_http2(port: u16) -> Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const SETTINGS: u8 = 4;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(PREFACE).await?;
    let mut head = [0; 9];
    let answered = timeout(RESPONSE_TIMEOUT, stream.read_exact(&mut head)).await;
    Ok(matches!(answered, Ok(Ok(_))) && !head.starts_with(b"HTTP/") && head[3] == SETTINGS)
}

async fn send(port: u16, path: &str, head: &str, body: &str) -> Result<(u16, String)> {
    // HTTP/1.0, so that the response is neither chunked nor kept open.
    let request = format!("{head}Host: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n{body}");
    timeout(RESPONSE_TIMEOUT, exchange(port, &request))
        .await
        .with_context(|| format!("127.0.0.1:{port}{path} did not answer within {RESPONSE_TIMEOUT:?}"))?
}

async fn exchange(port: u16, request: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("nothing listens on 127.0.0.1:{port}"))?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let status = head.split_whitespace().nth(1).context("the answer has no status line")?;
    Ok((status.parse().context("the status is not a number")?, body.to_owned()))
}
