//! A compiled configuration: one immutable value that requests load once and
//! keep to their end.

mod connections;
mod listeners;
mod registry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limit::{ConcurrencyLimiter, RateLimiter};
use crate::policy::Table;
use crate::response::HeaderEdits;
use crate::tls::{CertificateFiles, ServerTls};
use crate::upstream::Upstream;
use crate::values::{BindAddress, Cidr};

pub use crate::head::HeadLimits;
pub use connections::{
    ConnectionLimits, Connections, Deadlines, KeepaliveProbes, Pace, ProxyProtocol, SocketOptions,
};
pub use listeners::{Listeners, Slot, Slots};
pub use registry::{ClientTlsIdentity, ConcurrencyIdentity, Kept, LimiterIdentity, Registry};

/// Everything that one configuration says.
#[derive(Debug)]
pub struct Snapshot {
    /// Virtual hosts and routes.
    pub table: Table,
    /// Upstreams, by [`UpstreamId`](crate::policy::UpstreamId).
    pub upstreams: Vec<Arc<Upstream>>,
    /// Token buckets, by [`LimitId`](crate::policy::LimitId).
    pub limits: Vec<Limit>,
    /// Concurrency counters, by [`ConcurrencyId`](crate::policy::ConcurrencyId).
    pub concurrency: Vec<Arc<ConcurrencyLimiter>>,
    /// Listeners, by [`ListenerId`](crate::policy::ListenerId).
    pub listeners: Listeners,
    /// How large the head of a request may be.
    pub head_limits: HeadLimits,
    /// Peers whose X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// What concerns the process as a whole.
    pub process: Process,
    /// A digest of each section as it was written, by what it is called.
    pub sections: BTreeMap<String, u64>,
}

/// A named token bucket table.
#[derive(Debug)]
pub struct Limit {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The buckets.
    pub limiter: Arc<RateLimiter>,
}

/// Addresses to accept on, and what holds for their connections.
#[derive(Debug)]
pub struct Listener {
    /// Its number, and its alone for as long as it is used.
    pub slot: Arc<Slot>,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where to accept.
    pub bind: Vec<BindAddress>,
    /// Edits on every response.
    pub response_headers: HeaderEdits,
    /// TLS towards clients.
    pub tls: Option<ListenerTls>,
    /// What holds for its connections.
    pub connections: Connections,
}

/// A listener's TLS.
#[derive(Debug)]
pub struct ListenerTls {
    /// Our side of handshakes; the same as before if nothing of it has changed.
    pub server: Arc<ServerTls>,
    /// The files they came from, in the same order.
    pub files: Vec<CertificateFiles>,
    /// The files with their secrets; none if the process has its own.
    pub ticket_key_files: Vec<PathBuf>,
    /// Whether endpoints are told whose certificate a client has.
    pub forward_identity: bool,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Worker threads.
    pub workers: usize,
    /// Connections from clients at once; `None` is what open files leave room for.
    pub max_connections: Option<u32>,
    /// The status server.
    pub status: SocketAddr,
    /// The admin server, if there is one.
    pub admin: Option<BindAddress>,
    /// Whether a change of the file is taken up without being asked.
    pub watch: bool,
    /// The access log.
    pub access_log: AccessLog,
    /// How long /readyz is 503 before accepting stops.
    pub shutdown_delay: Duration,
    /// How long open exchanges may go on after that.
    pub drain_timeout: Duration,
    /// How long a new process may take to be ready.
    pub handover_timeout: Duration,
}

/// Where and how requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// A file, or standard output if `None`.
    pub path: Option<PathBuf>,
    /// The format of a line.
    pub format: crate::config::LogFormat,
}
