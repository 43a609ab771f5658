//! `virtual_hosts`: host names, routes, and what a route does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HeaderEdits, MaxConcurrent, Retry, Timeouts};
use crate::values::{ByteSize, HostPattern};

/// A set of host names with its routes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualHost {
    /// Names, exact, `*.example.com` or `*`.
    pub hosts: Vec<HostPattern>,
    /// Names of the listeners it is served on; all if omitted.
    pub listeners: Option<Vec<String>>,
    /// Header edits on requests forwarded for this host.
    pub request_headers: Option<HeaderEdits>,
    /// Header edits on every response of this host, our own errors included.
    pub response_headers: Option<HeaderEdits>,
    /// What to do with which request.
    pub routes: Vec<Route>,
}

/// A match and what to do: exactly one of `upstream` and `redirect`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A name for logs and metrics; the match's path if omitted.
    pub name: Option<String>,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Forward to this upstream.
    pub upstream: Option<String>,
    /// Answer with a redirect.
    pub redirect: Option<Redirect>,
    /// Names of the token buckets that every request is charged to.
    #[serde(default)]
    pub rate_limits: Vec<String>,
    /// A bound on exchanges in flight per key.
    pub max_concurrent: Option<MaxConcurrent>,
    /// Whether WebSocket upgrades are passed on.
    pub websocket: Option<bool>,
    /// How long each step of an exchange may take.
    pub timeouts: Option<Timeouts>,
    /// When a request is sent again to another endpoint.
    pub retry: Option<Retry>,
    /// How large a request may be.
    pub limits: Option<RouteLimits>,
    /// Whether requests are written to the access log.
    pub access_log: Option<bool>,
    /// Header edits on the request that is forwarded.
    pub request_headers: Option<HeaderEdits>,
    /// Header edits on the response.
    pub response_headers: Option<HeaderEdits>,
}

/// Which requests a route takes. Exactly one of the three path keys; all given
/// conditions must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// This path and no other.
    pub path: Option<String>,
    /// This path and everything below it, by whole segments.
    pub path_prefix: Option<String>,
    /// A regular expression that the whole path must match.
    pub path_regex: Option<String>,
    /// One of these methods; every method if omitted.
    pub methods: Option<Vec<String>>,
    /// Header fields and the values they must have.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters and the values they must have.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
}

/// Where a redirect points: the request's own URL with these parts replaced.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Another scheme.
    pub scheme: Option<RedirectScheme>,
    /// Another host.
    pub host: Option<String>,
    /// Another port; with a new scheme or host its standard port if omitted.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Another path; the query is kept.
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308; 302 if omitted.
    pub status: Option<u16>,
}

/// The scheme of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedirectScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// How large a request of a route may be.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteLimits {
    /// The body; over it, 413. Tunnels and gRPC streams have no limit.
    pub body: Option<ByteSize>,
}
