//! HTTP/2 over a few connections that all requests share.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;

use super::Body;
use super::answer::Check;
use super::outcome::Failure;
use super::wire::{Wire, innermost};

/// As many as some browsers' worth of clients.
const CONNECTIONS: usize = 6;

/// Clients of one address.
#[derive(Debug)]
pub(crate) struct Http2 {
    wire: Wire,
    address: SocketAddr,
    turn: AtomicUsize,
    connections: [Mutex<Option<Shared>>; CONNECTIONS],
}

/// A connection that many use at once.
#[derive(Debug, Clone)]
struct Shared {
    sender: SendRequest<Body>,
    /// Whether a request was answered on it.
    is_used: Arc<AtomicBool>,
}

impl Http2 {
    pub(crate) fn new(wire: Wire, address: SocketAddr) -> Self {
        Self { wire, address, turn: AtomicUsize::new(0), connections: Default::default() }
    }

    pub(crate) async fn open(&self) -> Result<(), Failure> {
        for index in 0..CONNECTIONS {
            self.connection(index).await?;
        }
        Ok(())
    }

    pub(crate) async fn exchange(&self, check: Check) -> Result<(), Failure> {
        let index = self.turn.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut connection = self.connection(index).await?;
        let is_reused = connection.is_used.load(Ordering::Relaxed);
        let sent = connection.sender.try_send_request(check.request(true)?).await;
        let response = match sent {
            Ok(response) => response,
            Err(mut error) => {
                let is_untouched =
                    error.take_message().is_some() || is_not_processed(error.error());
                let error = innermost(error.error());
                return Err(Failure::Unanswered { is_reused, is_untouched, error });
            }
        };
        connection.is_used.store(true, Ordering::Relaxed);
        check.read(response).await
    }

    /// Opened when it is not there; others wait meanwhile.
    async fn connection(&self, index: usize) -> Result<Shared, Failure> {
        let mut slot = self.connections[index].lock().await;
        if let Some(shared) = &mut *slot
            && !shared.sender.is_closed()
            && shared.sender.ready().await.is_ok()
        {
            return Ok(shared.clone());
        }
        let stream = self.wire.tls_http2(self.address).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::NoConnection(innermost(&error)))?;
        tokio::spawn(connection);
        let shared = Shared { sender, is_used: Arc::default() };
        *slot = Some(shared.clone());
        Ok(shared)
    }
}

/// Whether the other side has promised that it did not act on the request: it
/// refused the stream, or went away with a lower last stream (RFC 9113 sections
/// 6.8 and 8.7).
fn is_not_processed(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_remote()
                && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM));
        }
        source = error.source();
    }
    false
}
