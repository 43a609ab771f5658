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
        let metrics = Metrics::new("one", true).unwrap();
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
async fn one_reads_for_all_who_wait() {
    let site = Site::new();
    let gate = tokio::sync::Semaphore::new(0);
    let read = async || {
        gate.acquire().await.unwrap().forget();
        site.load(1).await
    };
    let readers = join_all((0..100).map(|_| site.aside.find("key", at(1), read())));
    let open = async {
        while site.count("fastnext_cache_coalesced_total") < 99 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(100);
    };
    let (entries, ()) = tokio::join!(readers, open);
    assert!(entries.into_iter().all(|entry| entry.unwrap().position == at(1)));
    // The first for itself, as the others came after it had begun; the second for them.
    assert_eq!(site.loads(), 2);
    assert_eq!(site.flights(), 0);
}

#[tokio::test]
async fn nobody_is_given_what_was_read_before_they_asked() {
    let site = Site::new();
    let gate = Notify::new();
    // Two states that no position tells apart for who brings none: a token that is active,
    // and is refused.
    let slow = async {
        let active = site.load(1).await;
        gate.notified().await;
        active
    };
    let mut first = Box::pin(site.aside.find("key", Position::START, slow));
    assert!((&mut first).now_or_never().is_none());
    let second = async {
        gate.notify_one();
        site.aside.find("key", Position::START, site.load(2)).await
    };
    *site.memory.is_down.lock() = true;
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap().position, second.unwrap().position), (at(1), at(2)));
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
