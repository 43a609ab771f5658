//! Gauges that are read off the live snapshot when somebody asks.

use std::sync::Arc;
use std::time::Instant;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use crate::snapshot::Snapshot;

/// Where the live snapshot comes from.
pub trait SnapshotSource: Send + Sync {
    /// The snapshot that new requests use.
    fn snapshot(&self) -> Arc<Snapshot>;
}

/// In flight, health and bucket gauges.
pub struct SnapshotGauges {
    source: Arc<dyn SnapshotSource>,
    in_flight: IntGaugeVec,
    healthy: IntGaugeVec,
    ejected: IntGaugeVec,
    requests: IntGaugeVec,
    failures: IntGaugeVec,
    available: IntGaugeVec,
    keys: IntGaugeVec,
}

impl SnapshotGauges {
    /// Gauges over what `source` has at each scrape.
    pub fn new(source: Arc<dyn SnapshotSource>) -> prometheus::Result<Self> {
        let endpoint = &["upstream", "endpoint"];
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        };
        Ok(Self {
            source,
            in_flight: gauge("lb_endpoint_in_flight", "Exchanges in flight.", endpoint)?,
            healthy: gauge(
                "lb_endpoint_healthy",
                "1 while active checks let the endpoint take traffic; always 1 without checks.",
                endpoint,
            )?,
            ejected: gauge(
                "lb_endpoint_ejected",
                "1 while failures of real requests keep the endpoint out.",
                endpoint,
            )?,
            requests: gauge(
                "lb_endpoint_requests",
                "Exchanges begun since the endpoint is known.",
                endpoint,
            )?,
            failures: gauge(
                "lb_endpoint_failures",
                "Failed exchanges since the endpoint is known.",
                endpoint,
            )?,
            available: gauge(
                "lb_upstream_available_endpoints",
                "Endpoints that could take a request now.",
                &["upstream"],
            )?,
            keys: gauge("lb_limit_keys", "Keys that a rate limit remembers.", &["limit"])?,
        })
    }

    fn all(&self) -> [&IntGaugeVec; 7] {
        [
            &self.in_flight,
            &self.healthy,
            &self.ejected,
            &self.requests,
            &self.failures,
            &self.available,
            &self.keys,
        ]
    }
}

impl Collector for SnapshotGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.source.snapshot();
        let now = Instant::now();
        // What left the snapshot leaves the metrics.
        self.all().into_iter().for_each(IntGaugeVec::reset);
        for upstream in &snapshot.upstreams {
            for endpoint in &upstream.endpoints {
                let state = &endpoint.state;
                let labels: &[&str] = &[&upstream.name, state.label()];
                let healthy = upstream.check.is_none() || state.is_checked_healthy();
                self.in_flight.with_label_values(labels).set(i64::from(state.in_flight()));
                self.healthy.with_label_values(labels).set(i64::from(healthy));
                self.ejected.with_label_values(labels).set(i64::from(state.is_ejected(now)));
                self.requests.with_label_values(labels).set(state.requests() as i64);
                self.failures.with_label_values(labels).set(state.failures() as i64);
            }
            self.available.with_label_values(&[&upstream.name]).set(upstream.available(now) as i64);
        }
        for limit in &snapshot.limits {
            self.keys.with_label_values(&[&limit.name]).set(limit.limiter.keys() as i64);
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
