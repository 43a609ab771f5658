//! A compiled configuration: one immutable value that requests load once and
//! keep to their end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limit::{ConcurrencyLimiter, RateLimiter};
use crate::policy::Table;
use crate::response::HeaderEdits;
use crate::upstream::Upstream;
use crate::values::{BindAddress, Cidr};

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
    pub listeners: Vec<Listener>,
    /// How large the head of a request may be.
    pub head_limits: HeadLimits,
    /// Peers whose X-Forwarded-* fields are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// What concerns the process as a whole.
    pub process: Process,
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
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where to accept.
    pub bind: Vec<BindAddress>,
    /// Edits on every response.
    pub response_headers: HeaderEdits,
    /// TLS towards clients.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// How large the head of a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// All header lines together, in bytes.
    pub header_size: usize,
    /// The number of header lines.
    pub headers: usize,
    /// The target, in bytes.
    pub uri: usize,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone)]
pub struct Process {
    /// Worker threads.
    pub workers: usize,
    /// The status server.
    pub status: SocketAddr,
    /// The access log.
    pub access_log: AccessLog,
    /// How long /readyz is 503 before accepting stops.
    pub shutdown_delay: Duration,
    /// How long open exchanges may go on after that.
    pub drain_timeout: Duration,
}

/// Where and how requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// A file, or standard output if `None`.
    pub path: Option<PathBuf>,
    /// The format of a line.
    pub format: crate::config::LogFormat,
}
