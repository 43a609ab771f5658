//! A cluster, and caches that use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::cache::RedisSettings;
use backend::cache::{Cache, CacheAside, Entry, RedisCache};
use backend::host::Host;
use backend::metrics::{Metrics, Readings};
use backend::secret::Secret;
use backend::store::Position;
use bytes::Bytes;
use fleet::redis::{RedisCluster, Reply};

/// After so long a silent master is replaced.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// What an operation may take, with a little for a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(1);

/// A cache as an instance has one.
pub(crate) struct Instance {
    pub(crate) cache: Arc<RedisCache>,
    pub(crate) aside: CacheAside,
    pub(crate) metrics: Metrics,
}

pub(crate) fn cluster() -> RedisCluster {
    RedisCluster::for_test(NODE_TIMEOUT).unwrap()
}

pub(crate) fn settings(cluster: &RedisCluster) -> RedisSettings {
    let nodes = cluster.addresses().into_iter();
    RedisSettings {
        nodes: nodes
            .map(|address| Host { name: address.ip().to_string(), port: address.port() })
            .collect(),
        password: Some(Secret::new(cluster.password().to_owned())),
    }
}

impl Instance {
    /// Connects in the background.
    pub(crate) fn start(settings: &RedisSettings) -> Self {
        let metrics = Metrics::new("one", true).unwrap();
        let cache = Arc::new(RedisCache::new(settings, metrics.cache.clone()).unwrap());
        let aside = CacheAside::new(cache.clone(), metrics.cache.clone());
        Self { cache, aside, metrics }
    }

    /// Is connected.
    pub(crate) async fn connect(cluster: &RedisCluster) -> Self {
        let instance = Self::start(&settings(cluster));
        instance.wait_until_up().await;
        instance
    }

    pub(crate) async fn wait_until_up(&self) {
        eventually("a connection", async || self.cache.ping().await.ok()).await;
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.render(Readings::default()).unwrap();
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        let line = text.lines().find(is_it).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

pub(crate) fn at(bytes: u64) -> Position {
    Position::from_bytes(bytes)
}

pub(crate) fn entry(position: u64, value: &str) -> Entry {
    Entry { position: at(position), value: Bytes::from(value.to_owned()) }
}

/// As it is called in Redis.
pub(crate) fn stored(key: &str) -> String {
    format!("fastnext:1:{key}")
}

/// How many milliseconds a key has left.
pub(crate) fn time_left(cluster: &RedisCluster, key: &str) -> i64 {
    let key = stored(key);
    match cluster.ask_for_key(&key, &["PTTL", &key]).unwrap() {
        Reply::Integer(millis) => millis,
        other => panic!("{other:?}"),
    }
}

/// Keys of which every master has some.
pub(crate) fn keys() -> Vec<String> {
    (1..=60).map(|number| format!("user:{number}")).collect()
}

/// What it gave, and how long it took.
pub(crate) async fn timed<T>(operation: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = operation.await;
    (value, start.elapsed())
}

pub(crate) use crate::service::eventually;
