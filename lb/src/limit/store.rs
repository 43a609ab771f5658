//! The bounded table of bucket states behind governor.
//!
//! governor's own keyed stores grow without bound, and counting or sweeping
//! them costs time in proportion to their size. Here each shard is a table in
//! order of use that drops its oldest key when full: constant work a request.

use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;
use parking_lot::Mutex;

use crate::policy::Key;

/// Below this many keys one shard holds all, so that "the oldest" is exact.
const KEYS_WORTH_SHARDING: usize = 4096;

/// Enough that workers rarely meet at one lock.
const SHARDS: usize = 32;

/// Bucket states by key, at most a fixed number of them. Clones share the table.
#[derive(Clone)]
pub(super) struct BoundedStore {
    shards: Arc<[Mutex<LruCache<Key, Nanos>>]>,
    keys_per_shard: usize,
}

impl BoundedStore {
    /// A table of at most about `max_keys` keys. Memory is taken as keys come.
    pub(super) fn new(max_keys: usize) -> Self {
        let shards = if max_keys < KEYS_WORTH_SHARDING { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::new(LruCache::unbounded())).collect(),
            keys_per_shard: max_keys.div_ceil(shards).max(1),
        }
    }

    /// How many keys are remembered. For metrics; takes every lock in turn.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl StateStore for BoundedStore {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Keys are uniform hashes: their low bits choose the shard.
        let mut shard = self.shards[key.0 as usize % self.shards.len()].lock();
        if let Some(state) = shard.get_mut(key) {
            let (outcome, next) = f(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        let (outcome, next) = f(None)?;
        if shard.len() >= self.keys_per_shard {
            shard.pop_lru();
        }
        shard.put(*key, next);
        Ok(outcome)
    }
}
