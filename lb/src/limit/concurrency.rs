//! A bound on exchanges in flight per key (nginx: `limit_conn`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::policy::Key;

/// Enough that workers rarely meet at one lock.
const SHARDS: usize = 32;

/// Counts exchanges in flight by key. Only keys in flight take memory.
#[derive(Debug)]
pub struct ConcurrencyLimiter {
    shards: Box<[Mutex<HashMap<Key, u32, RandomState>>]>,
}

/// The right of one exchange to be in flight; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<ConcurrencyLimiter>,
    key: Key,
}

impl Default for ConcurrencyLimiter {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl ConcurrencyLimiter {
    /// A permit, unless `limit` of them are out for `key`.
    pub fn acquire(self: &Arc<Self>, key: Key, limit: u32) -> Option<Permit> {
        let mut shard = self.shard(key).lock();
        let in_flight = shard.entry(key).or_insert(0);
        if *in_flight >= limit {
            return None;
        }
        *in_flight += 1;
        Some(Permit { limiter: Arc::clone(self), key })
    }

    /// Permits that are out, over all keys.
    pub fn in_flight(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.lock().values().map(|count| u64::from(*count)).sum::<u64>())
            .sum()
    }

    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, u32, RandomState>> {
        &self.shards[key.0 as usize % SHARDS]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.limiter.shard(self.key).lock().entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back_when_dropped() {
        let limiter = Arc::new(ConcurrencyLimiter::default());
        let first = limiter.acquire(Key(1), 2).unwrap();
        let _second = limiter.acquire(Key(1), 2).unwrap();
        assert!(limiter.acquire(Key(1), 2).is_none());
        assert!(limiter.acquire(Key(2), 2).is_some());
        drop(first);
        assert!(limiter.acquire(Key(1), 2).is_some());
    }

    #[test]
    fn keys_at_rest_take_no_memory() {
        let limiter = Arc::new(ConcurrencyLimiter::default());
        for key in 0..1000 {
            drop(limiter.acquire(Key(key), 1));
        }
        assert_eq!(limiter.in_flight(), 0);
        assert!(limiter.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
