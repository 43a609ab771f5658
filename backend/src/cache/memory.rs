//! A cache in the memory of this process: each instance has its own, so it
//! may hold only what never changes.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Cache, CacheError, Lookups};

/// The entries used most recently, up to a fixed number of them.
///
/// An entry whose time is over goes when it is looked up, or when it has
/// become the one used least recently: no task sweeps.
#[derive(Debug)]
pub struct MemoryCache {
    entries: Mutex<LruCache<Box<str>, Entry>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    expires_at: Instant,
}

impl MemoryCache {
    /// An empty cache that holds up to `capacity` entries.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            entries: Mutex::new(LruCache::new(capacity)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn lookup(&self, key: &str) -> Option<Bytes> {
        let mut entries = self.entries.lock();
        let entry = entries.get(key)?;
        if entry.expires_at > Instant::now() {
            return Some(entry.value.clone());
        }
        entries.pop(key);
        None
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn find(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let found = self.lookup(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(found)
    }

    async fn store(
        &self,
        key: &str,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<(), CacheError> {
        let expires_at = Instant::now() + time_to_live;
        self.entries.lock().put(key.into(), Entry { value, expires_at });
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }

    fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn cache(capacity: usize) -> MemoryCache {
        MemoryCache::new(NonZeroUsize::new(capacity).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lives_as_long_as_it_was_given() {
        let cache = cache(2);
        cache.store("short", Bytes::from_static(b"s"), MINUTE).await.unwrap();
        cache.store("long", Bytes::from_static(b"l"), 2 * MINUTE).await.unwrap();

        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(cache.find("short").await.unwrap().unwrap(), "s");

        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.find("short").await.unwrap(), None);
        assert_eq!(cache.find("long").await.unwrap().unwrap(), "l");
    }

    #[tokio::test]
    async fn a_full_cache_forgets_what_was_not_used() {
        let cache = cache(2);
        cache.store("a", Bytes::from_static(b"1"), MINUTE).await.unwrap();
        cache.store("b", Bytes::from_static(b"2"), MINUTE).await.unwrap();
        cache.find("a").await.unwrap().unwrap();
        cache.store("c", Bytes::from_static(b"3"), MINUTE).await.unwrap();

        assert!(cache.find("a").await.unwrap().is_some());
        assert!(cache.find("b").await.unwrap().is_none());
        assert!(cache.find("c").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_hit_ratio_counts_lookups() {
        let cache = cache(2);
        assert_eq!(cache.lookups().hit_ratio(), 0.0);
        cache.store("a", Bytes::from_static(b"1"), MINUTE).await.unwrap();
        for key in ["a", "a", "a", "b"] {
            cache.find(key).await.unwrap();
        }
        assert_eq!(cache.lookups(), Lookups { hits: 3, misses: 1 });
        assert_eq!(cache.lookups().hit_ratio(), 0.75);
    }
}
