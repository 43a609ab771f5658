//! Reading through the cache: what is there is taken, what is not is read from the store
//! and kept.
//!
//! Those who miss the same key at the same time take turns, and what one reads is taken by
//! all who had come before it began: nobody is given what was read before they asked, which
//! may not have what they know of. There is no task of its own that reads: a turn that ends
//! without a result, because the store failed or the client left, is simply the next one's.
//! What was read is put into the cache beside the answer, which does not wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Cache, Entry};
use crate::causes::chain;
use crate::metrics::{CacheMetrics, Lookup};
use crate::store::Position;

/// How long somebody waits for another's reading, at most. Then it reads itself.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);

/// Readings that are on their way into the cache, at most. What comes on top is not kept:
/// a cache that takes so long has enough to do.
const MAX_FILLS: usize = 128;

/// Writings that failed and wait for their second try, at most.
const MAX_REPAIRS: usize = 128;

/// When a writing that failed is tried again: when a part of the cache that rests is
/// tried again too, and a node that was hung up for a moment may be back.
const REPAIR_DELAY: Duration = Duration::from_secs(2);

/// How much shorter than asked for something is kept, at most: things that were stored at
/// the same time do not all end at the same time. Never longer: that would break the rule.
const JITTER: f64 = 0.2;

/// The cache, and the rules of its use. Clones share it.
#[derive(Clone)]
pub struct CacheAside(Option<Arc<Inner>>);

struct Inner {
    cache: Arc<dyn Cache>,
    metrics: CacheMetrics,
    flights: Mutex<HashMap<String, Arc<Flight>>>,
    /// Numbers in the order of what happens: misses, and the beginnings of readings.
    clock: AtomicU64,
    fills: Arc<Semaphore>,
    repairs: Arc<Semaphore>,
}

/// What was read from the store, and how long it may be kept.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was read.
    pub entry: Entry,
    /// For how long it is kept, at most.
    pub time_to_live: Duration,
}

/// Those who miss one key. Who holds the lock has the turn; what it reads is left for the
/// others, with the time at which it began.
type Flight = tokio::sync::Mutex<Option<(u64, Entry)>>;

impl CacheAside {
    /// Reads through `cache`.
    pub fn new(cache: Arc<dyn Cache>, metrics: CacheMetrics) -> Self {
        Self(Some(Arc::new(Inner {
            cache,
            metrics,
            flights: Mutex::default(),
            clock: AtomicU64::new(0),
            fills: Arc::new(Semaphore::new(MAX_FILLS)),
            repairs: Arc::new(Semaphore::new(MAX_REPAIRS)),
        })))
    }

    /// Reads from the store, always.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Whether there is a cache.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// The value of `key` in a state no older than `at_least`: from the cache, or by `load`,
    /// which gives a state no older than that either.
    ///
    /// # Errors
    /// Those of `load`. The cache's are counted, and cost the way to the store.
    pub async fn find<E>(
        &self,
        key: &str,
        at_least: Position,
        load: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<Entry, E> {
        let Some(inner) = &self.0 else {
            return load.await.map(|loaded| loaded.entry);
        };
        if let Some(entry) = inner.look_up(key, at_least).await {
            return Ok(entry);
        }
        let flight = Boarded::board(inner, key);
        let turn = match flight.flight.try_lock() {
            Ok(turn) => Some(turn),
            Err(_) => {
                inner.metrics.coalesced();
                timeout(TURN_TIMEOUT, flight.flight.lock()).await.ok()
            }
        };
        if let Some((begun_at, entry)) = turn.as_ref().and_then(|turn| turn.as_ref())
            && *begun_at > flight.boarded_at
            && entry.position >= at_least
        {
            return Ok(entry.clone());
        }
        let begun_at = inner.tick();
        let loaded = load.await?;
        if let Some(mut turn) = turn {
            *turn = Some((begun_at, loaded.entry.clone()));
        }
        inner.fill(key, &loaded);
        Ok(loaded.entry)
    }

    /// Reads from the store what the cache is known to have wrong, and corrects it.
    ///
    /// # Errors
    /// Those of `load`.
    pub async fn refresh<E>(
        &self,
        key: &str,
        load: impl Future<Output = Result<Loaded, E>>,
    ) -> Result<Entry, E> {
        let loaded = load.await?;
        if let Some(inner) = &self.0 {
            inner.fill(key, &loaded);
        }
        Ok(loaded.entry)
    }

    /// Puts what was just written to the store into the cache. Where the cache fails, it is
    /// tried a second time in the background; if that fails too, what the cache has is out
    /// of date until it ends, except for those who ask for a later state.
    pub async fn replace(&self, key: &str, loaded: Loaded) {
        let Some(inner) = &self.0 else { return };
        let Loaded { entry, time_to_live } = loaded;
        let Err(error) = inner.cache.replace(key, entry.clone(), time_to_live).await else {
            return;
        };
        tracing::debug!(error = chain(&error), "a write did not reach the cache");
        let Ok(permit) = Arc::clone(&inner.repairs).try_acquire_owned() else {
            tracing::warn!("a write did not reach the cache, and too many others did not either");
            return;
        };
        let (cache, key) = (Arc::clone(&inner.cache), key.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(REPAIR_DELAY).await;
            if let Err(error) = cache.replace(&key, entry, time_to_live).await {
                tracing::warn!(error = chain(&error), "a write did not reach the cache");
            }
            drop(permit);
        });
    }
}

impl Inner {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel)
    }

    async fn look_up(&self, key: &str, at_least: Position) -> Option<Entry> {
        let (lookup, entry) = match self.cache.find(key).await {
            Ok(Some(entry)) if entry.position >= at_least => (Lookup::Hit, Some(entry)),
            Ok(Some(_)) => (Lookup::Stale, None),
            Ok(None) => (Lookup::Miss, None),
            Err(error) => {
                tracing::debug!(error = chain(&error), "the cache was not asked");
                (Lookup::Error, None)
            }
        };
        self.metrics.looked_up(lookup);
        entry
    }

    /// In the background, so that nobody waits.
    fn fill(&self, key: &str, loaded: &Loaded) {
        let Ok(permit) = Arc::clone(&self.fills).try_acquire_owned() else { return };
        let (cache, key) = (Arc::clone(&self.cache), key.to_owned());
        let Loaded { entry, time_to_live } = loaded.clone();
        let time_to_live = shortened(time_to_live);
        tokio::spawn(async move {
            if let Err(error) = cache.fill(&key, entry, time_to_live).await {
                tracing::debug!(error = chain(&error), "what was read did not reach the cache");
            }
            drop(permit);
        });
    }
}

/// Somebody who misses a key; the last one takes the flight away.
struct Boarded<'a> {
    inner: &'a Inner,
    key: &'a str,
    flight: Arc<Flight>,
    boarded_at: u64,
}

impl<'a> Boarded<'a> {
    fn board(inner: &'a Inner, key: &'a str) -> Self {
        let mut flights = inner.flights.lock();
        let flight = match flights.get(key) {
            Some(flight) => Arc::clone(flight),
            None => Arc::clone(flights.entry(key.to_owned()).or_default()),
        };
        Self { inner, key, flight, boarded_at: inner.tick() }
    }
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        let mut flights = self.inner.flights.lock();
        // The map and ourselves. Under the lock: nobody boards meanwhile.
        if Arc::strong_count(&self.flight) == 2 {
            flights.remove(self.key);
        }
    }
}

/// By up to [`JITTER`].
fn shortened(time_to_live: Duration) -> Duration {
    time_to_live.mul_f64(1.0 - JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests;
