//! `rate_limits` and concurrency limits.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{KeyPart, Rate};

/// A token bucket per key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// What is counted; several make one composite key.
    pub key: Option<OneOrMany<KeyPart>>,
    /// How fast tokens come back.
    pub rate: Rate,
    /// Tokens beyond the first that a rested key has.
    pub burst: Option<u32>,
    /// The status of a refusal; 429 if omitted.
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// How many keys are remembered; the oldest is dropped beyond.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_keys: Option<u32>,
}

/// A bound on exchanges in flight per key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxConcurrent {
    /// What is counted; several make one composite key.
    pub key: Option<OneOrMany<KeyPart>>,
    /// How many may be in flight at once.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// The status of a refusal; 429 if omitted.
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
}

/// One item, or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The items.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl<T: Clone> OneOrMany<T> {
    /// The items as a list.
    pub fn to_vec(&self) -> Vec<T> {
        match self {
            Self::One(item) => vec![item.clone()],
            Self::Many(items) => items.clone(),
        }
    }
}
