//! What an engine knows of the connection a request came in on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::{Era, Live};
use crate::response::Cause;
use crate::snapshot::Listener;
use crate::tls::ClientIdentity;

/// A connection from a client.
#[derive(Debug)]
pub struct Connection {
    /// The listener that accepted it, as it was.
    pub era: Arc<Era>,
    /// Whether it is over TLS.
    pub tls: bool,
    /// Both ends; those of the PROXY header where one was believed.
    pub ends: Ends,
    /// The peer's address, written out once for all of its requests.
    pub(super) peer_text: Box<str>,
    /// Whose certificate the client proved to have.
    pub identity: Option<ClientIdentity>,
    linger: AtomicBool,
    fault: AtomicU8,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The other end's address; of a Unix socket, the loopback address.
    pub peer: IpAddr,
    /// The other end's port; 0 on a Unix socket.
    pub peer_port: u16,
    /// Our end; `None` on a Unix socket.
    pub local: Option<SocketAddr>,
}

impl Ends {
    /// Source and destination to tell an endpoint by the PROXY protocol, for a
    /// request of `client`; `None` where one of them is not known.
    pub(super) fn proxied(self, client: IpAddr) -> Option<(SocketAddr, SocketAddr)> {
        // Behind a trusted proxy the connection's port is not the client's.
        let port = if client == self.peer { self.peer_port } else { 0 };
        Some((SocketAddr::new(client, port), self.local?))
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(era: Arc<Era>, ends: Ends, tls: bool, identity: Option<ClientIdentity>) -> Self {
        Self {
            era,
            tls,
            ends,
            peer_text: ends.peer.to_string().into(),
            identity,
            linger: AtomicBool::new(false),
            fault: AtomicU8::new(NO_FAULT),
        }
    }

    /// What a snapshot says of its listener. `None`: nothing, which does not
    /// happen with the snapshot of [`Era::live`].
    pub(super) fn listener<'l>(&self, live: &'l Live) -> Option<&'l Listener> {
        live.snapshot.listeners.get(self.era.listener())
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

    /// Says why reading from the client, or writing to it, fails: an engine
    /// above sees an I/O error and no more.
    pub fn blame(&self, cause: Cause) {
        self.fault.store(cause as u8, Ordering::Relaxed);
    }

    /// What the client did wrong on the stream, if anything.
    pub fn fault(&self) -> Option<Cause> {
        Cause::ALL.get(usize::from(self.fault.load(Ordering::Relaxed))).copied()
    }
}

/// No cause has this number; a test of the table would notice.
const NO_FAULT: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_mistaken_for_no_fault() {
        assert!(Cause::ALL.len() < usize::from(NO_FAULT));
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }
}
