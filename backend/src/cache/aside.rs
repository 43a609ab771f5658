//! Reading through the cache: what is there is taken, what is not is read from the store
//! and kept.
//!
//! Those who miss the same key at the same time take turns, and who comes later takes what
//! was read before it. There is no task of its own that reads: a turn that ends without a
//! result, because the store failed or the client left, is simply the next one's. What was
//! read is put into the cache beside the answer, which does not wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
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
/// others.
type Flight = tokio::sync::Mutex<Option<Entry>>;

impl CacheAside {
    /// Reads through `cache`.
    pub fn new(cache: Arc<dyn Cache>, metrics: CacheMetrics) -> Self {
        Self(Some(Arc::new(Inner {
            cache,
            metrics,
            flights: Mutex::default(),
            fills: Arc::new(Semaphore::new(MAX_FILLS)),
            repairs: Arc::new(Semaphore::new(MAX_REPAIRS)),
        })))
    }

    /// Reads from the store, always.
    pub fn disabled() -> Self {
        Self(None)
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
        if let Some(entry) = turn.as_ref().and_then(|turn| turn.as_ref())
            && entry.position >= at_least
        {
            return Ok(entry.clone());
        }
        let loaded = load.await?;
        if let Some(mut turn) = turn {
            *turn = Some(loaded.entry.clone());
            // Who misses from now on does so later than we read.
            flight.close();
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
}

impl<'a> Boarded<'a> {
    fn board(inner: &'a Inner, key: &'a str) -> Self {
        let mut flights = inner.flights.lock();
        let flight = match flights.get(key) {
            Some(flight) => Arc::clone(flight),
            None => Arc::clone(flights.entry(key.to_owned()).or_default()),
        };
        Self { inner, key, flight }
    }

    /// Nobody boards any more.
    fn close(&self) {
        self.close_if(|_| true);
    }

    fn close_if(&self, condition: impl FnOnce(&Arc<Flight>) -> bool) {
        let mut flights = self.inner.flights.lock();
        // Another one may have its place by now.
        let is_ours = flights.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        if is_ours && condition(&self.flight) {
            flights.remove(self.key);
        }
    }
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        // The map and ourselves. Under the lock: nobody boards meanwhile.
        self.close_if(|flight| Arc::strong_count(flight) == 2);
    }
}

/// By up to [`JITTER`].
fn shortened(time_to_live: Duration) -> Duration {
    time_to_live.mul_f64(1.0 - JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::super::CacheError;
    use super::*;
    use crate::metrics::Metrics;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A cache in memory that knows what it was told last.
    #[derive(Default)]
    struct Memory {
        entries: Mutex<HashMap<String, (Entry, Duration)>>,
        is_down: Mutex<bool>,
        written: Notify,
    }

    #[async_trait]
    impl Cache for Memory {
        async fn find(&self, key: &str) -> Result<Option<Entry>, CacheError> {
            self.check()?;
            Ok(self.entries.lock().get(key).map(|(entry, _)| entry.clone()))
        }

        async fn fill(&self, key: &str, entry: Entry, ttl: Duration) -> Result<(), CacheError> {
            self.replace(key, entry, ttl).await
        }

        async fn replace(&self, key: &str, entry: Entry, ttl: Duration) -> Result<(), CacheError> {
            self.check()?;
            self.entries.lock().insert(key.to_owned(), (entry, ttl));
            self.written.notify_one();
            Ok(())
        }

        async fn ping(&self) -> Result<(), CacheError> {
            self.check()
        }
    }

    impl Memory {
        fn check(&self) -> Result<(), CacheError> {
            if *self.is_down.lock() { Err(CacheError("down".into())) } else { Ok(()) }
        }
    }

    struct Site {
        memory: Arc<Memory>,
        aside: CacheAside,
        metrics: Metrics,
        loads: AtomicUsize,
    }

    impl Site {
        fn new() -> Self {
            let memory = Arc::new(Memory::default());
            let metrics = Metrics::new("one").unwrap();
            let aside = CacheAside::new(memory.clone(), metrics.cache.clone());
            Self { memory, aside, metrics, loads: AtomicUsize::new(0) }
        }

        async fn load(&self, position: u64) -> Result<Loaded, &'static str> {
            self.loads.fetch_add(1, Ordering::Relaxed);
            Ok(loaded(position))
        }

        fn loads(&self) -> usize {
            self.loads.load(Ordering::Relaxed)
        }

        fn flights(&self) -> usize {
            self.aside.0.as_ref().unwrap().flights.lock().len()
        }

        fn count(&self, metric: &str) -> u64 {
            let text = self.metrics.render(crate::metrics::Readings::default()).unwrap();
            let line = text.lines().find(|line| line.starts_with(metric)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        }
    }

    fn at(bytes: u64) -> Position {
        Position::from_bytes(bytes)
    }

    fn loaded(position: u64) -> Loaded {
        let entry = Entry { position: at(position), value: Bytes::from(position.to_string()) };
        Loaded { entry, time_to_live: MINUTE }
    }

    #[tokio::test]
    async fn what_was_read_is_kept_for_no_longer_than_its_rule() {
        let site = Site::new();
        let mut shortest = MINUTE;
        for number in 0..200 {
            let key = number.to_string();
            site.aside.find(&key, at(1), site.load(1)).await.unwrap();
            site.memory.written.notified().await;
            let kept = site.memory.entries.lock()[&key].1;
            assert!((MINUTE.mul_f64(1.0 - JITTER)..=MINUTE).contains(&kept), "{kept:?}");
            shortest = shortest.min(kept);
        }
        assert!(shortest < MINUTE.mul_f64(0.9), "they do not end together: {shortest:?}");

        assert_eq!(site.aside.find("7", at(1), site.load(2)).await.unwrap().value, "1");
        assert_eq!(site.loads(), 200);
    }

    #[tokio::test]
    async fn what_is_too_old_is_read_again() {
        let site = Site::new();
        site.aside.find("key", at(1), site.load(1)).await.unwrap();
        site.memory.written.notified().await;
        let entry = site.aside.find("key", at(5), site.load(6)).await.unwrap();
        assert_eq!(entry.position, at(6));
        assert_eq!(site.count("fastnext_cache_lookups_total{result=\"stale\"}"), 1);
    }

    #[tokio::test]
    async fn a_cache_that_is_down_costs_the_way_to_the_store() {
        let site = Site::new();
        *site.memory.is_down.lock() = true;
        assert_eq!(site.aside.find("key", at(1), site.load(3)).await.unwrap().position, at(3));
        assert_eq!(site.count("fastnext_cache_lookups_total{result=\"error\"}"), 1);
    }

    #[tokio::test]
    async fn one_reads_for_all_who_miss_at_the_same_time() {
        let site = Site::new();
        let gate = Notify::new();
        let read = async || {
            gate.notified().await;
            site.load(1).await
        };
        let readers = join_all((0..100).map(|_| site.aside.find("key", at(1), read())));
        let open = async {
            while site.count("fastnext_cache_coalesced_total") < 99 {
                tokio::task::yield_now().await;
            }
            gate.notify_one();
        };
        let (entries, ()) = tokio::join!(readers, open);
        assert!(entries.into_iter().all(|entry| entry.unwrap().position == at(1)));
        assert_eq!(site.loads(), 1);
        assert_eq!(site.flights(), 0);
    }

    #[tokio::test]
    async fn who_asks_for_a_later_state_does_not_share_an_earlier_one() {
        let site = Site::new();
        let gate = Notify::new();
        let first = async {
            gate.notified().await;
            site.load(1).await
        };
        let first = site.aside.find("key", at(1), first);
        let second = async {
            gate.notify_one();
            site.aside.find("key", at(2), site.load(2)).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first.unwrap().position, second.unwrap().position), (at(1), at(2)));
    }

    #[tokio::test]
    async fn a_turn_that_fails_is_the_next_ones() {
        let site = Site::new();
        let failing = async {
            tokio::task::yield_now().await;
            Err("the store is down")
        };
        let (first, second) = tokio::join!(
            site.aside.find("key", at(1), failing),
            site.aside.find("key", at(1), site.load(1)),
        );
        assert_eq!(first.unwrap_err(), "the store is down");
        assert_eq!(second.unwrap().position, at(1));
        assert_eq!(site.flights(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_whose_client_leaves_is_the_next_ones() {
        let site = Site::new();
        let endless = std::future::pending::<Result<Loaded, &str>>();
        let mut leader = Box::pin(site.aside.find("key", at(1), endless));
        assert!((&mut leader).now_or_never().is_none());
        let mut follower = Box::pin(site.aside.find("key", at(1), site.load(1)));
        assert!((&mut follower).now_or_never().is_none());

        let start = tokio::time::Instant::now();
        drop(leader);
        assert_eq!(follower.await.unwrap().position, at(1));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(site.flights(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_another_for_long() {
        let site = Site::new();
        let endless = std::future::pending::<Result<Loaded, &str>>();
        let mut leader = Box::pin(site.aside.find("key", at(1), endless));
        assert!((&mut leader).now_or_never().is_none());

        let start = tokio::time::Instant::now();
        site.aside.find("key", at(1), site.load(1)).await.unwrap();
        assert!((TURN_TIMEOUT..TURN_TIMEOUT * 2).contains(&start.elapsed()));
        drop(leader);
        assert_eq!(site.flights(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_does_not_arrive_is_tried_again() {
        let site = Site::new();
        *site.memory.is_down.lock() = true;
        site.aside.replace("key", loaded(7)).await;
        *site.memory.is_down.lock() = false;
        site.memory.written.notified().await;
        assert_eq!(site.memory.entries.lock()["key"].0.position, at(7));
    }
}
