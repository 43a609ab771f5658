//! The metrics of the API; every name stands here, or in
//! [`crate::request_metrics`] if other roles have it too.

use prometheus::{Gauge, IntGauge, Registry, TextEncoder};

use crate::cache::Lookups;
use crate::request_metrics::RequestMetrics;
use crate::store::PoolUsage;

/// Media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pool_size: IntGauge,
    pool_checked_out: IntGauge,
    cache_hit_ratio: Gauge,
    requests: RequestMetrics,
    websockets: IntGauge,
    rooms: IntGauge,
}

/// What is read when the metrics are asked for, instead of being kept.
#[derive(Debug, Clone, Copy)]
pub struct Readings {
    /// Connections to the database.
    pub pool: PoolUsage,
    /// Lookups in the cache.
    pub lookups: Lookups,
    /// Open WebSockets.
    pub websockets: usize,
    /// Broadcast rooms.
    pub rooms: usize,
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// Never, unless two of the names in this file are the same.
    pub fn new(instance: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();

        let requests = RequestMetrics::register(&registry, instance)?;
        let pool_size =
            IntGauge::new("fastnext_db_pool_size", "Open connections to the database.")?;
        let pool_checked_out =
            IntGauge::new("fastnext_db_pool_checked_out", "Connections to the database in use.")?;
        let cache_hit_ratio = Gauge::new(
            "fastnext_cache_hit_ratio",
            "Cache hits per lookup since the start, 0 to 1; 0 before the first.",
        )?;
        let websockets = IntGauge::new("fastnext_websockets", "Open WebSockets.")?;
        let rooms = IntGauge::new("fastnext_websocket_rooms", "Broadcast rooms with members.")?;

        registry.register(Box::new(pool_size.clone()))?;
        registry.register(Box::new(pool_checked_out.clone()))?;
        registry.register(Box::new(cache_hit_ratio.clone()))?;
        registry.register(Box::new(websockets.clone()))?;
        registry.register(Box::new(rooms.clone()))?;

        Ok(Self {
            registry,
            pool_size,
            pool_checked_out,
            cache_hit_ratio,
            requests,
            websockets,
            rooms,
        })
    }

    /// Those of the requests.
    pub fn requests(&self) -> &RequestMetrics {
        &self.requests
    }

    /// The text for Prometheus, with the `readings` of this moment.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn render(&self, readings: Readings) -> Result<String, prometheus::Error> {
        let Readings { pool, lookups, websockets, rooms } = readings;
        self.pool_size.set(count(pool.size));
        self.pool_checked_out.set(count(pool.checked_out));
        self.cache_hit_ratio.set(lookups.hit_ratio());
        self.websockets.set(count(websockets));
        self.rooms.set(count(rooms));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let readings = Readings {
            pool: PoolUsage { size: 5, checked_out: 2 },
            lookups: Lookups { hits: 3, misses: 1 },
            websockets: 7,
            rooms: 1,
        };
        metrics.render(readings).unwrap()
    }

    #[test]
    fn readings_are_those_of_the_moment() {
        let metrics = Metrics::new("one").unwrap();
        let text = text(&metrics);
        for line in [
            "fastnext_db_pool_size 5",
            "fastnext_db_pool_checked_out 2",
            "fastnext_cache_hit_ratio 0.75",
            "fastnext_websockets 7",
            "fastnext_websocket_rooms 1",
            "fastnext_instance_info{instance=\"one\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
