//! What an upstream does when its endpoints fail or are full.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{Percent, Span};

/// Requests that wait while all endpoints are full.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many may wait.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub size: Option<u32>,
    /// How long each may wait.
    pub timeout: Option<Span>,
}

/// Takes out endpoints that are unlike the others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outlier {
    /// The share of failed attempts that takes an endpoint out.
    pub error_rate: Option<Percent>,
    /// How many times slower than the median of the others takes it out.
    #[schemars(range(min = 1.1, max = 1000.0))]
    pub latency_factor: Option<f64>,
    /// Out of so many attempts in an interval at least.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: Option<u32>,
    /// How often endpoints are compared.
    pub interval: Option<Span>,
    /// How long an endpoint is out, the first time.
    pub eject_for: Option<Span>,
}

/// Leaves an upstream alone that fails most requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitBreaker {
    /// The share of failed attempts that opens the circuit.
    pub error_rate: Option<Percent>,
    /// Out of so many attempts at least.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: Option<u32>,
    /// How long attempts count.
    pub window: Option<Span>,
    /// How long requests are refused.
    pub open_for: Option<Span>,
    /// How many requests then try the upstream, at once and in all.
    #[schemars(range(min = 1, max = 1000))]
    pub probes: Option<u32>,
}
