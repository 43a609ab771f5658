//! The metrics of the API; every name stands in this module, or in
//! [`crate::request_metrics`] if other roles have it too.
//!
//! Label values are bounded: routes are the templates of the router
//! (`/api/v1/users/{id}`), never paths that clients made up.

mod cache;
mod database;
mod machine;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{IntGauge, Registry, TextEncoder};

use crate::request_metrics::RequestMetrics;
use crate::store::{ReadCounts, StoreStatus};

pub use cache::{CacheMetrics, Lookup, RoomMetrics, SessionMetrics};

use database::Database;
use machine::Machine;

/// Media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests, and how long they take.
    pub requests: RequestMetrics,
    /// The cache.
    pub cache: CacheMetrics,
    /// Sessions.
    pub sessions: SessionMetrics,
    /// Messages of rooms.
    pub room_messages: RoomMetrics,
    database: Database,
    machine: Machine,
    websockets: IntGauge,
    rooms: IntGauge,
    ready: IntGauge,
    degraded: IntGauge,
    /// Two scrapes at once would bring counters forward twice.
    rendering: Mutex<()>,
}

/// What is read when the metrics are asked for, instead of being kept.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// The servers of the store.
    pub store: StoreStatus,
    /// Where reads have gone.
    pub reads: ReadCounts,
    /// Open WebSockets.
    pub websockets: usize,
    /// Broadcast rooms.
    pub rooms: usize,
    /// Whether requests can be served, and are wanted.
    pub is_ready: bool,
    /// Whether something is missing without which requests can be served.
    pub is_degraded: bool,
}

impl Metrics {
    /// All metrics, at zero; those of Redis if it is there.
    ///
    /// # Errors
    /// Never, unless two of the names in this module are the same.
    pub fn new(instance: &str, has_redis: bool) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();

        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        Ok(Self {
            requests: RequestMetrics::register(&registry, instance)?,
            cache: CacheMetrics::new(&registry, has_redis)?,
            sessions: SessionMetrics::new(&registry)?,
            room_messages: RoomMetrics::new(&registry, has_redis)?,
            database: Database::new(&registry)?,
            machine: Machine::new(&registry)?,
            websockets: gauge("fastnext_websockets", "Open WebSockets.")?,
            rooms: gauge("fastnext_websocket_rooms", "Broadcast rooms with members.")?,
            ready: gauge("fastnext_ready", "Whether requests can be served, and are wanted.")?,
            degraded: gauge(
                "fastnext_degraded",
                "Whether something is missing without which requests can be served.",
            )?,
            rendering: Mutex::new(()),
            registry,
        })
    }

    /// The text for Prometheus, with the `readings` of this moment.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn render(&self, readings: Readings) -> Result<String, prometheus::Error> {
        let Readings { store, reads, websockets, rooms, is_ready, is_degraded } = readings;
        let _alone = self.rendering.lock();
        self.database.show(&store, reads);
        self.cache.show();
        self.machine.show();
        self.websockets.set(count(websockets));
        self.rooms.set(count(rooms));
        self.ready.set(is_ready.into());
        self.degraded.set(is_degraded.into());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// The collector, after it has been registered.
fn registered<C>(registry: &Registry, collector: C) -> Result<C, prometheus::Error>
where
    C: Collector + Clone + 'static,
{
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{PoolUsage, Position, ServerStatus};
    use std::time::Duration;

    pub(super) fn metrics() -> Metrics {
        Metrics::new("one", true).unwrap()
    }

    pub(super) fn text(metrics: &Metrics) -> String {
        metrics.render(readings()).unwrap()
    }

    fn readings() -> Readings {
        let server = |name: &str, lag: Option<Duration>| ServerStatus {
            name: name.to_owned(),
            host: "localhost:5432".to_owned(),
            is_primary: name == "primary",
            is_up: true,
            takes_reads: true,
            reason: None,
            latency: None,
            lag,
            position: Position::START,
            is_streaming: true,
            pool: PoolUsage { size: 5, checked_out: 2, max: 60, timeouts: 4 },
        };
        let lag = Some(Duration::from_millis(1500));
        Readings {
            store: StoreStatus {
                is_migrated: true,
                servers: vec![server("primary", None), server("replica-1", lag)],
            },
            reads: ReadCounts {
                replica: 9,
                primary: 3,
                no_replica: 2,
                not_replayed: 1,
                ..ReadCounts::default()
            },
            websockets: 7,
            rooms: 1,
            is_ready: true,
            is_degraded: false,
        }
    }

    #[test]
    fn readings_are_those_of_the_moment() {
        let metrics = metrics();
        metrics.cache.looked_up(Lookup::Hit);
        metrics.cache.looked_up(Lookup::Hit);
        metrics.cache.looked_up(Lookup::Hit);
        metrics.cache.looked_up(Lookup::Miss);
        let text = text(&metrics);
        for line in [
            "fastnext_db_pool_size 5",
            "fastnext_db_pool_checked_out 2",
            "fastnext_db_pool_connections{server=\"primary\",state=\"idle\"} 3",
            "fastnext_db_pool_max_connections{server=\"replica-1\"} 60",
            "fastnext_db_replica_lag_seconds{server=\"replica-1\"} 1.5",
            "fastnext_db_reads_total{target=\"replica\"} 9",
            "fastnext_db_reads_fallback_total{reason=\"not_replayed\"} 1",
            "fastnext_redis_hit_ratio 0.75",
            "fastnext_cache_lookups_total{result=\"hit\"} 3",
            "fastnext_websockets 7",
            "fastnext_websocket_rooms 1",
            "fastnext_ready 1",
            "fastnext_degraded 0",
            "fastnext_instance_info{instance=\"one\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_down() {
        let metrics = Metrics::new("one", false).unwrap();
        assert!(metrics.cache.is_up());
        let text = text(&metrics);
        assert!(!text.contains("fastnext_redis_up") && !text.contains("fastnext_room_bus_up"));
        assert!(text.contains("\nfastnext_redis_hit_ratio 0\n"), "{text}");
    }

    #[test]
    fn what_is_counted_elsewhere_is_not_counted_twice() {
        let metrics = metrics();
        text(&metrics);
        let text = text(&metrics);
        assert!(text.contains("fastnext_db_reads_total{target=\"primary\"} 3\n"), "{text}");
        assert!(text.contains("fastnext_db_pool_timeouts_total{server=\"primary\"} 4\n"), "{text}");
    }

    #[test]
    fn the_machine_is_neither_idle_nor_overfull_by_more_than_all_of_it() {
        let metrics = metrics();
        let text = text(&metrics);
        for name in ["fastnext_cpu_percent", "fastnext_memory_percent"] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            let percent: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!((0.0..=100.0).contains(&percent), "{line}");
        }
        assert!(!text.contains("fastnext_memory_percent 0\n"), "{text}");
    }
}
