//! A cache of small values by key. [`Cache`] is what the handlers know; it has
//! the operations that a cache shared over the network can have too.
//!
//! A cache may forget anything at any time and may be down: whoever uses one
//! goes on without it.

mod memory;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use memory::MemoryCache;

/// Keys to values, each for a limited time.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value of `key`, if it is there and its time is not over.
    async fn find(&self, key: &str) -> Result<Option<Bytes>, CacheError>;

    /// Keeps `value` under `key` for at most `time_to_live`, instead of what
    /// was there.
    async fn store(
        &self,
        key: &str,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<(), CacheError>;

    /// Makes a round trip to wherever the values are.
    async fn ping(&self) -> Result<(), CacheError>;

    /// Hits and misses of this process since it started.
    fn lookups(&self) -> Lookups;
}

/// How often [`Cache::find`] found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookups {
    /// Found.
    pub hits: u64,
    /// Not found, or too old.
    pub misses: u64,
}

impl Lookups {
    /// Hits per lookup, 0 to 1; 0 before the first lookup.
    pub fn hit_ratio(self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            total => self.hits as f64 / total as f64,
        }
    }
}

/// The cache is down.
#[derive(Debug, thiserror::Error)]
#[error("cache failed")]
pub struct CacheError(#[source] pub Box<dyn Error + Send + Sync>);
