//! What the operator wrote: the configuration contract as plain data.
//!
//! [`load`] turns the text of a file into a [`Config`] and every problem of
//! shape it has: unknown keys, wrong types, unreadable leaves, each at its
//! position. No behaviour lives here, no defaults are applied and no names are
//! resolved; that is `compile`'s job.

mod connections;
mod discovery;
mod document;
mod expand;
mod failover;
mod limits;
mod listeners;
mod parse;
mod policy;
mod problem;
mod process;
mod routes;
mod shape;
mod upstreams;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use connections::{
    ConnectionLimits, Deadlines, Http2, MaxConnections, MaxConnectionsWord, ProxyProtocol,
    ProxyProtocolMode, Tcp, TcpKeepalive,
};
pub use discovery::{EndpointsFrom, Kubernetes, Service};
pub use document::{Document, Node, Path, Position, Step, Value};
pub use failover::{CircuitBreaker, Outlier, Queue};
pub use limits::{MaxConcurrent, OneOrMany, RateLimit};
pub use listeners::{
    Alpn, Certificate, ClientAuth, ClientAuthMode, Engine, Listener, ListenerTls, TlsVersion,
    UnknownSni,
};
pub use policy::{
    Budget, Defaults, HeaderEdits, Keepalive, Limits, PassiveHealth, Retry, RetryItem, RetryOn,
    Timeouts,
};
pub use problem::{Problem, Problems, Severity, did_you_mean};
pub use process::{AccessLog, Admin, ClientIp, Dns, LogFormat, Reload, Shutdown, Status, Workers};
pub use routes::{Match, Redirect, RedirectScheme, Route, RouteLimits, VirtualHost};
pub use upstreams::{
    Balance, Endpoint, HealthCheck, HealthCheckKind, Protocol, SendProxy, StatusItem, Upstream,
    UpstreamTls,
};

/// The whole configuration file, version 1 of the contract.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "lb configuration")]
pub struct Config {
    /// The version of the configuration contract; always 1.
    pub version: u32,
    /// Worker threads: `auto` is one per core.
    pub workers: Option<Workers>,
    /// Connections from clients at once, of all listeners: `auto` is what the
    /// limit on open files leaves room for.
    pub max_connections: Option<MaxConnections>,
    /// The read-only status server: /metrics, /healthz, /readyz.
    pub status: Option<Status>,
    /// The server for those who operate the process: reload. Off if omitted.
    pub admin: Option<Admin>,
    /// When this file is read again.
    pub reload: Option<Reload>,
    /// Where and how requests are logged.
    pub access_log: Option<AccessLog>,
    /// How the process stops.
    pub shutdown: Option<Shutdown>,
    /// How names of endpoints are resolved.
    pub dns: Option<Dns>,
    /// The API server that Services of Kubernetes are asked of.
    pub kubernetes: Option<Kubernetes>,
    /// How the address of the client is found.
    pub client_ip: Option<ClientIp>,
    /// Settings that upstreams and routes inherit, field by field.
    pub defaults: Option<Defaults>,
    /// Addresses to accept on, by name.
    #[serde(default)]
    pub listeners: BTreeMap<String, Listener>,
    /// Named groups of endpoints.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Upstream>,
    /// Token buckets that routes charge, by name.
    #[serde(default)]
    pub rate_limits: BTreeMap<String, RateLimit>,
    /// Host names and their routes.
    #[serde(default)]
    pub virtual_hosts: Vec<VirtualHost>,
}

/// The JSON Schema of [`Config`] (draft 2020-12), for editors and for [`load`].
///
/// A key that may be left out may not be empty: `tls:` with nothing under it
/// would otherwise be a listener in clear.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).into();
    shape::refuse_null(&mut schema);
    schema
}

/// A file that could be read as far as it goes.
#[derive(Debug)]
pub struct Loaded {
    /// The text as a tree with positions, pruned to what is sound.
    pub document: Document,
    /// The whole tree, broken parts included.
    pub written: Document,
    /// What could be understood; `None` when nothing useful was left.
    pub config: Option<Config>,
}

/// Parses `text` and checks its shape against the schema. Problems go to
/// `problems`; broken parts are left out of [`Loaded::config`], so that the
/// rest can still be checked in the same run. `None` when it is not YAML.
///
/// `variables` looks up `${NAME}`; it is `std::env::var` outside tests.
pub fn load(
    text: &str,
    variables: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<Loaded> {
    let mut document = match Document::parse(text) {
        Ok(document) => document,
        Err((position, message)) => {
            problems.error_at(position, Path::default(), message);
            return None;
        }
    };
    expand::expand(&mut document, variables, problems);
    let written = document.clone();
    let usable = shape::check(&mut document, &schema(), problems);
    let config = usable.and_then(|value| match serde_json::from_value(value) {
        Ok(config) => Some(config),
        Err(error) => {
            // The shape check lets nothing through that serde refuses; if it
            // ever does, the operator still gets a message.
            if !problems.has_errors() {
                problems.error_at(Position::START, Path::default(), error.to_string());
            }
            None
        }
    });
    Some(Loaded { document, written, config })
}
