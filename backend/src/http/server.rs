//! The accept loop and the connections: HTTP/1.1 and, by prior knowledge,
//! HTTP/2 without TLS. TLS is the balancer's business.

use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::deadline::{IDLE_TIMEOUT, Watched};

/// How long to wait when there are no descriptors left: until some connection
/// ends, there is nothing else to do.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A peer that vanished without a word (its machine lost power, a WebSocket's
/// network is gone) is found out after a minute of silence plus the probes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// The same for HTTP/2, where an idle connection has no timeout.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(60);

/// How long a ping waits for its answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Accepts connections and serves `router` on them, until dropped. The
/// connections go on, and are ended through `graceful`.
pub async fn accept(listener: &TcpListener, router: &Router, graceful: &GracefulShutdown) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The client was faster with its leave than we with our welcome.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        if let Err(error) = configure(&stream) {
            tracing::debug!(%error, "connection was gone when it was accepted");
            continue;
        }
        let connection = graceful.watch(connection(stream, router.clone()));
        tokio::spawn(async move {
            // Resets and timeouts are the clients' affair, and come in floods.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

/// One connection on `io`.
pub(super) fn connection<I>(
    io: I,
    router: Router,
) -> impl GracefulConnection<Error = Box<dyn Error + Send + Sync>> + Send + 'static
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = Watched::new(io);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(io.head_timer()).header_read_timeout(IDLE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
        .serve_connection_with_upgrades(TokioIo::new(io), TowerToHyperService::new(router))
        .into_owned()
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))
}
