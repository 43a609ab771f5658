//! What holds for the connections of a listener, compiled.

use std::time::Duration;

use crate::values::Cidr;

/// What holds for the connections of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// How many connections, and how much on each.
    pub limits: ConnectionLimits,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// HTTP/2 streams at once on a connection.
    pub http2_streams: u32,
    /// What carries their requests.
    pub engine: crate::config::Engine,
    /// The PROXY protocol, if connections may begin with its header.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Options of listening sockets, inherited by what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections that the kernel holds until we accept them.
    pub backlog: i32,
    /// Probes on silent connections.
    pub keepalive: Option<KeepaliveProbes>,
    /// TCP_USER_TIMEOUT (RFC 5482); the system's rule if `None`.
    pub user_timeout: Option<Duration>,
    /// TCP_DEFER_ACCEPT; at once if `None`.
    pub defer_accept: Option<Duration>,
}

/// Probes on silent connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveProbes {
    /// Silence before the first.
    pub idle: Duration,
    /// Between two.
    pub interval: Duration,
    /// Unanswered ones that end the connection.
    pub count: u32,
}

/// How many connections, and how much on each; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of the listener at once.
    pub connections: Option<u32>,
    /// Connections of one client at once.
    pub per_client: Option<u32>,
    /// Requests on one connection.
    pub requests: Option<u32>,
}

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until the PROXY header has come.
    pub proxy_header: Duration,
    /// Until the TLS handshake is over.
    pub tls_handshake: Duration,
    /// Until the preface and the first SETTINGS of HTTP/2 have come.
    pub http2_handshake: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// Between requests, and before the first.
    pub idle: Duration,
    /// How slowly a client may send and take.
    pub pace: Pace,
}

/// The slowest that a client may send a body or take a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; 0 is no bound.
    pub min_rate: u64,
    /// How long it may be slower.
    pub grace: Duration,
}

/// Who may, and who must, begin with a PROXY header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Connections without one are refused.
    pub required: bool,
    /// Whose headers are believed.
    pub trusted: Vec<Cidr>,
}
