//! Keys of a listener about its connections: sockets, limits, deadlines, the
//! PROXY protocol.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{ByteSize, Cidr, Span};

/// `auto`, or how many connections from clients.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MaxConnections {
    /// A word.
    Word(MaxConnectionsWord),
    /// A number of connections, 1 to 10 000 000.
    Count(#[schemars(range(min = 1, max = 10_000_000))] u32),
}

/// The words that `max_connections` knows.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaxConnectionsWord {
    /// As many as the limit on open files leaves room for.
    Auto,
}

/// Options of TCP sockets.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Probes on silent connections (SO_KEEPALIVE).
    pub keepalive: Option<TcpKeepalive>,
    /// How long sent data may stay unacknowledged (TCP_USER_TIMEOUT); 0s is the system's rule.
    pub user_timeout: Option<Span>,
    /// Accept a connection only when its first byte is there, or after so long
    /// (TCP_DEFER_ACCEPT); 0s is at once.
    pub defer_accept: Option<Span>,
}

/// Probes on silent connections.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Silence before the first probe; 0s turns probes off.
    pub idle: Option<Span>,
    /// Between probes.
    pub interval: Option<Span>,
    /// Probes without an answer that end the connection.
    #[schemars(range(min = 1, max = 100))]
    pub count: Option<u8>,
}

/// How many connections, and how much on each.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Connections of this listener at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: Option<u32>,
    /// Connections of one client's address at once; IPv6 by its /64.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_per_client: Option<u32>,
    /// Requests after which a connection is closed.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_per_connection: Option<u32>,
}

/// How long a client may take.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Until the PROXY header has come.
    pub proxy_header: Option<Span>,
    /// Until the TLS handshake is over.
    pub tls_handshake: Option<Span>,
    /// Until the preface and the first SETTINGS of HTTP/2 have come.
    pub http2_handshake: Option<Span>,
    /// From the first byte of a request's head to its last.
    pub head: Option<Span>,
    /// Between requests, and before the first.
    pub idle: Option<Span>,
    /// Bytes a second that a client has to send of a body, or take of a
    /// response; 0B turns it off.
    pub min_rate: Option<ByteSize>,
    /// How long a client may be slower than that.
    pub grace: Option<Span>,
}

/// HTTP/2 towards clients.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http2 {
    /// Streams at once on a connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrent_streams: Option<u32>,
}

/// The PROXY protocol, versions 1 and 2, as load balancers in front of us speak it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Whether connections without a header are refused.
    pub mode: ProxyProtocolMode,
    /// Who may send a header.
    pub trusted: Vec<Cidr>,
}

/// Whether connections without a PROXY header are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocolMode {
    /// Every connection begins with a header.
    Required,
    /// Those of trusted peers may begin with one.
    Optional,
}
