//! Settings that are inherited: route over upstream over defaults, field by field.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{ByteSize, Span};

/// What upstreams and routes inherit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// How long each step of an exchange may take.
    pub timeouts: Option<Timeouts>,
    /// How large a request may be.
    pub limits: Option<Limits>,
    /// When failures of real requests take an endpoint out.
    pub passive_health: Option<PassiveHealth>,
    /// Idle connections to endpoints.
    pub keepalive: Option<Keepalive>,
    /// When a request is sent again to another endpoint.
    pub retry: Option<Retry>,
}

/// How long each step of an exchange may take.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection to an endpoint stands, TLS included.
    pub connect: Option<Span>,
    /// Between two writes to the endpoint.
    pub send: Option<Span>,
    /// Between two reads from the endpoint.
    pub read: Option<Span>,
    /// From the request until the head of its response, retries included.
    pub request: Option<Span>,
}

/// How large a request may be.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// All header lines together; over it, 431.
    pub header_size: Option<ByteSize>,
    /// The number of header lines, at most 256; over it, 431.
    #[schemars(range(min = 1, max = 256))]
    pub headers: Option<u16>,
    /// The request target; over it, 414.
    pub uri: Option<ByteSize>,
    /// The body; over it, 413. Tunnels and gRPC streams have no limit.
    pub body: Option<ByteSize>,
}

/// When failures of real requests take an endpoint out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassiveHealth {
    /// So many failures; 0 turns it off.
    pub max_fails: Option<u32>,
    /// Within so long, and out for so long.
    pub fail_timeout: Option<Span>,
}

/// Idle connections to endpoints.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keepalive {
    /// How many idle connections are kept; never a cap on busy ones.
    pub max_idle: Option<u32>,
    /// How long an idle connection is kept.
    pub idle_timeout: Option<Span>,
}

/// When a request is sent again to another endpoint.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included; 1 never retries.
    #[schemars(range(min = 1, max = 16))]
    pub attempts: Option<u8>,
    /// The failures that are retried, and the statuses of responses.
    pub on: Option<Vec<RetryItem>>,
    /// What retries may add to the load.
    pub budget: Option<Budget>,
}

/// A failure that may be retried, or the status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryItem {
    /// A failure without a response.
    Failure(RetryOn),
    /// A response with this status.
    Status(#[schemars(range(min = 400, max = 599))] u16),
}

/// A failure that may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection could be made.
    ConnectFailure,
    /// The connection broke before a response began.
    Reset,
    /// Nothing came in time.
    Timeout,
}

/// What retries may add to the load of an upstream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Retries per request over the last ten seconds, 0 to 10.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub ratio: Option<f64>,
    /// Retries that are always allowed.
    pub min_per_second: Option<u32>,
}

/// Changes to the header of a message, by field name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Fields that replace any of the same name.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Fields added beside any of the same name.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// Names of fields taken away.
    #[serde(default)]
    pub remove: Vec<String>,
}
