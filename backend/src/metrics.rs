//! The metrics of the process; every name stands here.
//!
//! Label values are bounded: routes are the templates of the router
//! (`/api/v1/users/{id}`), never paths that clients made up.

use std::time::Instant;

use http::StatusCode;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::cache::Lookups;
use crate::store::PoolUsage;

/// Media type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds in seconds: from a cached read, under a millisecond, past a
/// password hash, some tens, to what balancers give up on.
const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pool_size: IntGauge,
    pool_checked_out: IntGauge,
    cache_hit_ratio: Gauge,
    requests: IntCounterVec,
    latency: HistogramVec,
    in_flight: IntGauge,
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

        let info = IntGaugeVec::new(
            Opts::new("fastnext_instance_info", "Always 1; the label says who answers."),
            &["instance"],
        )?;
        info.with_label_values(&[instance]).set(1);
        registry.register(Box::new(info))?;

        let pool_size =
            IntGauge::new("fastnext_db_pool_size", "Open connections to the database.")?;
        let pool_checked_out =
            IntGauge::new("fastnext_db_pool_checked_out", "Connections to the database in use.")?;
        let cache_hit_ratio = Gauge::new(
            "fastnext_cache_hit_ratio",
            "Cache hits per lookup since the start, 0 to 1; 0 before the first.",
        )?;
        let requests = IntCounterVec::new(
            Opts::new(
                "fastnext_http_requests_total",
                "Requests by route and class of status; \"aborted\" if the client left first.",
            ),
            &["route", "status"],
        )?;
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "fastnext_http_request_duration_seconds",
                "Time from the request head to the response head, by route.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
            &["route"],
        )?;
        let in_flight = IntGauge::new(
            "fastnext_http_requests_in_flight",
            "Requests whose response has not been sent to its end.",
        )?;
        let websockets = IntGauge::new("fastnext_websockets", "Open WebSockets.")?;
        let rooms = IntGauge::new("fastnext_websocket_rooms", "Broadcast rooms with members.")?;

        registry.register(Box::new(pool_size.clone()))?;
        registry.register(Box::new(pool_checked_out.clone()))?;
        registry.register(Box::new(cache_hit_ratio.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(websockets.clone()))?;
        registry.register(Box::new(rooms.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;

        Ok(Self {
            registry,
            pool_size,
            pool_checked_out,
            cache_hit_ratio,
            requests,
            latency,
            in_flight,
            websockets,
            rooms,
        })
    }

    /// Starts to measure a request that matched `route`.
    pub fn begin(&self, route: &str) -> Measurement {
        Measurement {
            requests: self.requests.clone(),
            latency: self.latency.with_label_values(&[route]),
            route: route.to_owned(),
            started_at: Instant::now(),
            is_answered: false,
        }
    }

    /// Counts a request as in flight until the returned value is dropped.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
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

/// A request that is not answered yet. If it is dropped before it is, the
/// client has gone away.
#[derive(Debug)]
pub struct Measurement {
    requests: IntCounterVec,
    latency: Histogram,
    route: String,
    started_at: Instant,
    is_answered: bool,
}

impl Measurement {
    /// Counts the response, whose head is ready now.
    pub fn answered(mut self, status: StatusCode) {
        self.is_answered = true;
        self.latency.observe(self.started_at.elapsed().as_secs_f64());
        self.count(status_class(status));
    }

    fn count(&self, status: &str) {
        self.requests.with_label_values(&[self.route.as_str(), status]).inc();
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        if !self.is_answered {
            self.count("aborted");
        }
    }
}

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
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
    fn a_request_is_counted_by_route_and_class() {
        let metrics = Metrics::new("one").unwrap();
        metrics.begin("/ws").answered(StatusCode::SWITCHING_PROTOCOLS);
        let text = text(&metrics);
        assert!(text.contains("{route=\"/ws\",status=\"1xx\"} 1\n"), "{text}");
        assert!(!text.contains("aborted\"}"), "{text}");
    }

    #[test]
    fn a_request_dropped_before_its_response_is_aborted() {
        let metrics = Metrics::new("one").unwrap();
        drop(metrics.begin("/health"));
        let text = text(&metrics);
        assert!(text.contains("{route=\"/health\",status=\"aborted\"} 1\n"), "{text}");
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_dropped() {
        let metrics = Metrics::new("one").unwrap();
        let guard = metrics.enter();
        assert!(text(&metrics).contains("\nfastnext_http_requests_in_flight 1\n"));
        drop(guard);
        assert!(text(&metrics).contains("\nfastnext_http_requests_in_flight 0\n"));
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
