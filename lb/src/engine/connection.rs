//! What an engine knows of the connection a request came in on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::policy::ListenerId;

/// A connection from a client.
#[derive(Debug)]
pub struct Connection {
    /// The listener that accepted it.
    pub listener: ListenerId,
    /// The listener's name.
    pub listener_name: Arc<str>,
    /// The other end. A Unix socket's is the loopback address.
    pub peer: IpAddr,
    /// Whether it is over TLS.
    pub tls: bool,
    linger: AtomicBool,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(listener: ListenerId, listener_name: Arc<str>, peer: IpAddr, tls: bool) -> Self {
        Self { listener, listener_name, peer, tls, linger: AtomicBool::new(false) }
    }

    /// Asks for a lingering close: a response was sent while the request was
    /// still arriving, and a reset would take it away from the client.
    pub fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }

    /// Whether a lingering close was asked for.
    pub fn lingers(&self) -> bool {
        self.linger.load(Ordering::Relaxed)
    }
}
