//! A cache that all instances share, and the rule that keeps it from lying:
//! every value carries the [`Position`] of the database at which it was true,
//! and nothing ever replaces what is newer than itself.
//!
//! A cache may forget anything at any time and may be down: whoever uses one
//! goes on without it.

mod aside;
mod redis;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::Position;

pub use self::redis::{OPERATION_TIMEOUT, RedisCache, RedisSettings};
pub use aside::{CacheAside, Loaded};

/// A value, and how new it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Everything written up to here was seen when this was read.
    pub position: Position,
    /// The value.
    pub value: Bytes,
}

/// Keys to values, each for a limited time.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The value of `key`, if it is there and its time is not over.
    async fn find(&self, key: &str) -> Result<Option<Entry>, CacheError>;

    /// Keeps what was read from the store, unless what is there is as new.
    async fn fill(&self, key: &str, entry: Entry, time_to_live: Duration)
    -> Result<(), CacheError>;

    /// Keeps what was just written to the store, unless what is there is newer.
    async fn replace(
        &self,
        key: &str,
        entry: Entry,
        time_to_live: Duration,
    ) -> Result<(), CacheError>;

    /// Makes a round trip to wherever the values are.
    async fn ping(&self) -> Result<(), CacheError>;
}

/// The cache is down.
#[derive(Debug, thiserror::Error)]
#[error("cache failed")]
pub struct CacheError(#[source] pub Box<dyn Error + Send + Sync>);

/// Remembers nothing. A database in a file on the same machine needs no cache;
/// and one in the memory of a process would be wrong, as other processes write too.
#[derive(Debug, Clone, Copy)]
pub struct NoCache;

#[async_trait]
impl Cache for NoCache {
    async fn find(&self, _: &str) -> Result<Option<Entry>, CacheError> {
        Ok(None)
    }

    async fn fill(&self, _: &str, _: Entry, _: Duration) -> Result<(), CacheError> {
        Ok(())
    }

    async fn replace(&self, _: &str, _: Entry, _: Duration) -> Result<(), CacheError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
