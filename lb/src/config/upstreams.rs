//! `upstreams`: groups of endpoints and how they are reached.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Certificate, CircuitBreaker, EndpointsFrom, Keepalive, OneOrMany, Outlier, PassiveHealth,
    Queue, Retry, Timeouts,
};
use crate::values::{EndpointAddress, KeyPart, Span, StatusRange};

/// A named group of endpoints.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// How an endpoint is chosen.
    pub balance: Option<Balance>,
    /// What `consistent_hash` hashes; `uri` if omitted.
    pub hash_key: Option<OneOrMany<KeyPart>>,
    /// The protocol spoken with endpoints.
    pub protocol: Option<Protocol>,
    /// TLS towards endpoints, for `https` and `h2`.
    pub tls: Option<UpstreamTls>,
    /// The header that tells endpoints who the client is, before HTTP and TLS.
    pub send_proxy: Option<SendProxy>,
    /// The endpoints, as far as they are known beforehand.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Where others are found while running.
    pub endpoints_from: Option<OneOrMany<EndpointsFrom>>,
    /// Active checks; none if omitted.
    pub health_check: Option<HealthCheck>,
    /// When failures of real requests take an endpoint out.
    pub passive_health: Option<PassiveHealth>,
    /// The share of endpoints that passive ejection always leaves in.
    #[schemars(range(min = 0, max = 100))]
    pub min_healthy_percent: Option<u8>,
    /// Requests that wait while all endpoints are full; none waits if omitted.
    pub queue: Option<Queue>,
    /// How long the share of an endpoint grows after it has come back.
    pub slow_start: Option<Span>,
    /// Takes out endpoints that are unlike the others; none if omitted.
    pub outlier: Option<Outlier>,
    /// Leaves the upstream alone while it fails most requests; never if omitted.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How long each step of an exchange may take.
    pub timeouts: Option<Timeouts>,
    /// Idle connections.
    pub keepalive: Option<Keepalive>,
    /// When a request is sent again to another endpoint.
    pub retry: Option<Retry>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Fewest exchanges in flight by weight; ties in smooth weighted turns.
    LeastConnections,
    /// Smooth weighted turns.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The same client address to the same endpoint.
    IpHash,
    /// The same `hash_key` to the same endpoint.
    ConsistentHash,
}

/// The protocol spoken with endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 in clear.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in clear, by prior knowledge.
    H2c,
}

/// TLS towards endpoints.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// PEM file with the authorities to trust; the system's if omitted.
    pub ca: Option<String>,
    /// The name to ask for and verify; the endpoint's own name if omitted.
    pub server_name: Option<String>,
    /// What is presented to endpoints that ask for a client's certificate.
    pub client_certificate: Option<Certificate>,
}

/// The PROXY protocol towards endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendProxy {
    /// Version 2, the binary one.
    V2,
}

/// One address of an upstream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// HOST:PORT, IP:PORT, [IPv6]:PORT or unix:/path.
    pub address: EndpointAddress,
    /// Its share of the load against the others, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u16>,
    /// It takes traffic only when no other endpoint can.
    pub backup: Option<bool>,
    /// How many exchanges may be in flight on it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
}

/// Active checks of every endpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What a check does.
    #[serde(rename = "type")]
    pub kind: Option<HealthCheckKind>,
    /// The path that an HTTP check asks for.
    pub path: Option<String>,
    /// The Host that an HTTP check sends; the endpoint's address if omitted.
    pub host: Option<String>,
    /// Statuses that count as success; 2xx if omitted.
    pub expect_status: Option<OneOrMany<StatusItem>>,
    /// Text that the first 64 KiB of the body must contain.
    pub expect_body: Option<String>,
    /// Between checks of a healthy endpoint.
    pub interval: Option<Span>,
    /// Between checks of an endpoint that fails.
    pub failing_interval: Option<Span>,
    /// How long one check may take.
    pub timeout: Option<Span>,
    /// Failures in a row that take an endpoint out.
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: Option<u8>,
    /// Successes in a row that bring it back.
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: Option<u8>,
}

/// What an active check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckKind {
    /// A request and its response.
    Http,
    /// A connection, nothing more.
    Tcp,
}

/// A status: `200`, or a range as text.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StatusItem {
    /// One status.
    Code(#[schemars(range(min = 100, max = 599))] u16),
    /// `200-299` or `2xx`.
    Range(StatusRange),
}
