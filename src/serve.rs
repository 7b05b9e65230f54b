//! HTTP for anybody who can reach the port. Nobody who asks slowly, much or often takes memory or keeps others from an answer: heads are
//! small and come in time, connections are few and end, and the oldest makes room for the newest.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What one connection may take, and how many there may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// For the head of a request, and so for a connection that sends none.
    head: Duration,
    /// For everything that is asked and answered.
    connection: Duration,
    connections: usize,
}

/// Probes and scrapes need milliseconds, and there are a handful of them.
const BOUNDS: Bounds = Bounds { head: Duration::from_secs(5), connection: Duration::from_secs(60), connections: 64 };

/// The most bytes of an unfinished head that are kept.
const LONGEST_HEAD: usize = 16 * 1_024;

/// Accepting fails for want of file descriptors, which come back.
const BREATH: Duration = Duration::from_millis(50);

/// Serves `router` until the process ends; the error is that the address cannot be listened on.
pub async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    accept(TcpListener::bind(address).await?, router, BOUNDS).await;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, bounds: Bounds) {
    let mut open: VecDeque<AbortOnDropHandle<()>> = VecDeque::with_capacity(bounds.connections);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        while open.len() >= bounds.connections {
            open.pop_front();
        }
        open.push_back(AbortOnDropHandle::new(tokio::spawn(answer(stream, router.clone(), bounds))));
    }
}

async fn answer(stream: TcpStream, router: Router, bounds: Bounds) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(LONGEST_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // However it ends, the client sees that it has.
    let _ = tokio::time::timeout(bounds.connection, connection).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ";

    async fn a_server(bounds: Bounds) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, Router::new().route("/healthz", get(async || "ok")), bounds));
        address
    }

    async fn begun(address: SocketAddr, head: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head).await.unwrap();
        stream
    }

    /// What came until the server ended the connection.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the server ends the connection");
        // One that is aborted with bytes unread ends with a reset.
        drop(ended);
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn is_answered(address: SocketAddr) {
        let text = rest(begun(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok"), "{text}");
    }

    #[tokio::test]
    async fn held_connections_keep_nobody_from_an_answer() {
        let address = a_server(Bounds { head: PATIENCE * 10, connection: PATIENCE * 10, connections: 3 }).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(begun(address, HALF).await);
        }
        is_answered(address).await;
        held.truncate(17);
        for connection in held {
            assert_eq!(rest(connection).await, "", "the oldest make room");
        }
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_and_a_connection_that_sends_nothing_are_closed() {
        let address = a_server(Bounds { head: Duration::from_millis(50), ..BOUNDS }).await;
        for head in [HALF, b""] {
            assert!(!rest(begun(address, head).await).await.contains("200 OK"));
        }
        is_answered(address).await;
    }

    #[tokio::test]
    async fn a_connection_ends_however_much_is_asked() {
        let address = a_server(Bounds { connection: Duration::from_millis(200), ..BOUNDS }).await;
        let text = rest(begun(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let address = a_server(BOUNDS).await;
        let mut stream = begun(address, HALF).await;
        // The server may close before all of it was sent.
        let _ = stream.write_all(&vec![b'a'; 4 * LONGEST_HEAD]).await;
        assert!(!rest(stream).await.contains("200 OK"));
        is_answered(address).await;
    }
}
