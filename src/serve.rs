//! HTTP for every client that can reach the port. Slow, large or frequent requests neither exhaust memory nor block
//! other clients: request heads are limited in size and time, connections are limited in number and duration, and the
//! oldest connection is closed for the newest one.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The limits of one connection, and the number of connections.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The longest time for the head of a request, and so for a connection that sends none.
    head: Duration,
    /// The longest time for a whole connection.
    connection: Duration,
    connections: usize,
}

/// Probes and scrapes need milliseconds, and there are a handful of them.
const BOUNDS: Bounds = Bounds { head: Duration::from_secs(5), connection: Duration::from_secs(60), connections: 64 };

/// The most bytes of an unfinished head that are kept.
const MAX_HEAD_BYTES: usize = 16 * 1_024;

/// The pause after a failed accept: it fails for lack of file descriptors, which become free again.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Serves `router` until the process ends. Returns an error if it cannot listen on the address.
pub(crate) async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    accept(TcpListener::bind(address).await?, router, BOUNDS).await;
    Ok(())
}

async fn accept(listener: TcpListener, router: Router, bounds: Bounds) {
    let mut open: VecDeque<AbortOnDropHandle<()>> = VecDeque::with_capacity(bounds.connections);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
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
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(MAX_HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // The result is not needed: in any case the client sees that the connection ended.
    let _ = tokio::time::timeout(bounds.connection, connection).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TEST_TIMEOUT: Duration = Duration::from_secs(20);
    const HALF: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ";

    async fn serve_health(bounds: Bounds) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, Router::new().route("/healthz", get(async || "ok")), bounds));
        address
    }

    async fn send(address: SocketAddr, head: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head).await.unwrap();
        stream
    }

    /// Returns the text that was received until the server closed the connection.
    async fn read_to_end_of_connection(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let ended = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut text))
            .await
            .expect("the server ends the connection");
        // A connection that is aborted with unread bytes ends with a reset.
        drop(ended);
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn assert_answered(address: SocketAddr) {
        let text = read_to_end_of_connection(
            send(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await,
        )
        .await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok"), "{text}");
    }

    #[tokio::test]
    async fn held_connections_do_not_block_other_clients() {
        let address =
            serve_health(Bounds { head: TEST_TIMEOUT * 10, connection: TEST_TIMEOUT * 10, connections: 3 }).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(send(address, HALF).await);
        }
        assert_answered(address).await;
        held.truncate(17);
        for connection in held {
            assert_eq!(read_to_end_of_connection(connection).await, "", "the oldest make room");
        }
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_and_a_connection_that_sends_nothing_are_closed() {
        let address = serve_health(Bounds { head: Duration::from_millis(50), ..BOUNDS }).await;
        for head in [HALF, b""] {
            assert!(!read_to_end_of_connection(send(address, head).await).await.contains("200 OK"));
        }
        assert_answered(address).await;
    }

    #[tokio::test]
    async fn a_connection_ends_after_its_maximum_duration() {
        let address = serve_health(Bounds { connection: Duration::from_millis(200), ..BOUNDS }).await;
        let text = read_to_end_of_connection(send(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }

    #[tokio::test]
    async fn an_endless_head_is_refused() {
        let address = serve_health(BOUNDS).await;
        let mut stream = send(address, HALF).await;
        // The server may close before all of it was sent.
        let _ = stream.write_all(&vec![b'a'; 4 * MAX_HEAD_BYTES]).await;
        assert!(!read_to_end_of_connection(stream).await.contains("200 OK"));
        assert_answered(address).await;
    }
}
