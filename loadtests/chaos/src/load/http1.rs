//! HTTP/1.1 with a pool of idle connections, the latest used first.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Request;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::Body;
use super::answer::Check;
use super::outcome::Failure;
use super::wire::{Wire, innermost};

/// Idle connections that are kept. What a stall needed more of is closed after it,
/// so that the load is the same before and after.
const MAX_IDLE: usize = 24;

/// Clients of one address.
#[derive(Debug)]
pub(crate) struct Http1 {
    wire: Wire,
    address: SocketAddr,
    is_tls: bool,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Http1 {
    pub(crate) fn new(wire: Wire, address: SocketAddr, is_tls: bool) -> Self {
        Self { wire, address, is_tls, idle: Mutex::default() }
    }

    /// Opens `count` connections to begin with.
    pub(crate) async fn open(&self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let connection = self.connect().await?;
            self.idle().push(connection);
        }
        Ok(())
    }

    /// One request on an idle connection, or a new one: `is_on_new` asks for that.
    pub(crate) async fn exchange(&self, check: Check, is_on_new: bool) -> Result<(), Failure> {
        let idle = if is_on_new { None } else { self.take() };
        let is_reused = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection
            .try_send_request(check.request(false)?)
            .await
            .map_err(|error| unanswered(error, is_reused))?;
        check.read(response).await?;
        // Not after an answer that says `Connection: close`.
        if connection.ready().await.is_ok() {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
        Ok(())
    }

    fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle();
        loop {
            let connection = idle.pop()?;
            if !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Failure> {
        let stream = if self.is_tls {
            self.wire.tls(self.address).await?
        } else {
            self.wire.plain(self.address).await?
        };
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::NoConnection(innermost(&error)))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Body>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered(mut error: TrySendError<Request<Body>>, is_reused: bool) -> Failure {
    // It comes back if nothing of it was written.
    let is_untouched = error.take_message().is_some();
    Failure::Unanswered { is_reused, is_untouched, error: innermost(error.error()) }
}
