//! The policy table: every virtual host and route, compiled for look-up.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::conditions::Conditions;
use super::head::ListenerId;
use super::hosts::HostIndex;
use super::key::KeySeed;
use super::paths::{PathIndex, PathMatch, PathRegexError};
use super::redirect::Redirect;
use crate::response::HeaderEdits;
use crate::values::{HostPattern, KeyPart};

macro_rules! id {
    ($(#[$doc:meta] $name:ident;)+) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )+};
}

id! {
    /// A virtual host: its index in the table.
    HostId;
    /// A route: its index in the table.
    RouteId;
    /// An upstream: its index in the snapshot.
    UpstreamId;
    /// A rate limit: its index in the snapshot.
    LimitId;
    /// A concurrency limit: its index in the snapshot.
    ConcurrencyId;
}

/// A set of names with its routes.
#[derive(Debug)]
pub struct VirtualHost {
    /// The first of its names, for logs and metrics.
    pub name: Arc<str>,
    /// Edits on every response of the host, for requests that no route takes.
    pub response_headers: HeaderEdits,
    paths: PathIndex,
}

/// A route, with everything that was inherited already merged in.
#[derive(Debug)]
pub struct Route {
    /// For logs and metrics.
    pub name: Arc<str>,
    /// The host it belongs to.
    pub host: HostId,
    /// What must hold beside the path.
    pub conditions: Conditions,
    /// What to do.
    pub action: RouteAction,
    /// Buckets that every request is charged to, in order.
    pub charges: Vec<Charge>,
    /// A bound on exchanges in flight.
    pub concurrency: Option<Concurrency>,
    /// Whether requests are written to the access log.
    pub access_log: bool,
    /// Host and route edits on the response.
    pub response_headers: HeaderEdits,
}

/// What a route does.
#[derive(Debug)]
pub enum RouteAction {
    /// Hand the request to an upstream.
    Forward(Forward),
    /// Point the client elsewhere.
    Redirect(Redirect),
}

/// How a request is forwarded.
#[derive(Debug)]
pub struct Forward {
    /// To whom.
    pub upstream: UpstreamId,
    /// Whether WebSocket upgrades are passed on.
    pub websocket: bool,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// When the request is sent again.
    pub retry: Retry,
    /// The largest body, in bytes.
    pub body_limit: u64,
    /// Host and route edits on the forwarded request.
    pub request_headers: HeaderEdits,
}

/// How long each step of an exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Between two writes to the endpoint.
    pub send: Duration,
    /// Between two reads from the endpoint.
    pub read: Duration,
    /// Until the response head, retries included.
    pub request: Duration,
}

/// When a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u8,
    /// On which failures.
    pub on: RetryOn,
}

/// Failures that are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection could be made.
    pub connect_failure: bool,
    /// The connection broke before a response began.
    pub reset: bool,
    /// Nothing came in time.
    pub timeout: bool,
}

/// A bucket to charge.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Which.
    pub limit: LimitId,
    /// Its key.
    pub key: Arc<[KeyPart]>,
    /// The status of a refusal.
    pub status: StatusCode,
}

/// A bound on exchanges in flight per key.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// Which counter.
    pub id: ConcurrencyId,
    /// Its key.
    pub key: Arc<[KeyPart]>,
    /// How many may be in flight.
    pub limit: u32,
    /// The status of a refusal.
    pub status: StatusCode,
}

/// Every virtual host and route.
#[derive(Debug)]
pub struct Table {
    pub(super) listeners: Vec<HostIndex>,
    hosts: Vec<VirtualHost>,
    pub(super) routes: Vec<Route>,
    key_seed: KeySeed,
}

impl Table {
    /// A virtual host of this table.
    pub fn host(&self, id: HostId) -> &VirtualHost {
        &self.hosts[id.index()]
    }

    /// A route of this table.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[id.index()]
    }

    /// Every route, in written order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What the virtual hosts are called.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| &*host.name)
    }

    /// What limit keys are seeded with.
    pub fn key_seed(&self) -> KeySeed {
        self.key_seed
    }

    pub(super) fn paths(&self, id: HostId) -> &PathIndex {
        &self.hosts[id.index()].paths
    }
}

/// Why a part cannot enter the table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The name is taken on the listener.
    #[error("the host is already served on this listener")]
    DuplicateHost(HostId),
    /// The regular expressions of a host do not compile together.
    #[error(transparent)]
    Regex(#[from] PathRegexError),
}

/// A host as it enters the table.
#[derive(Debug)]
pub struct HostSpec {
    /// For logs and metrics.
    pub name: Arc<str>,
    /// Edits on responses that no route made.
    pub response_headers: HeaderEdits,
}

/// Gathers hosts and routes; [`build`](Self::build) closes the table.
#[derive(Debug)]
pub struct TableBuilder {
    table: Table,
}

impl TableBuilder {
    /// An empty table for so many listeners.
    pub fn new(listeners: usize, key_seed: KeySeed) -> Self {
        let listeners = (0..listeners).map(|_| HostIndex::default()).collect();
        Self { table: Table { listeners, hosts: Vec::new(), routes: Vec::new(), key_seed } }
    }

    /// Adds a virtual host without names or routes.
    pub fn host(&mut self, spec: HostSpec) -> HostId {
        let id = HostId(self.table.hosts.len() as u32);
        let HostSpec { name, response_headers } = spec;
        self.table.hosts.push(VirtualHost { name, response_headers, paths: PathIndex::default() });
        id
    }

    /// Gives a host a name on a listener.
    pub fn name(
        &mut self,
        host: HostId,
        listener: ListenerId,
        pattern: &HostPattern,
    ) -> Result<(), TableError> {
        self.table.listeners[listener.0 as usize]
            .insert(pattern, host)
            .map_err(TableError::DuplicateHost)
    }

    /// Adds a route to its host; routes come in written order.
    pub fn route(&mut self, path: &PathMatch, route: Route) -> RouteId {
        let id = RouteId(self.table.routes.len() as u32);
        self.table.hosts[route.host.index()].paths.insert(id, path, &route.conditions);
        self.table.routes.push(route);
        id
    }

    /// Compiles the regular expressions of one host.
    pub fn finish(&mut self, host: HostId) -> Result<(), TableError> {
        Ok(self.table.hosts[host.index()].paths.finish()?)
    }

    /// The finished table.
    pub fn build(self) -> Table {
        self.table
    }
}
