//! Metrics that are read off the live snapshot when somebody asks.

use std::sync::Arc;
use std::time::Instant;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::snapshot::Snapshot;

/// Where the live snapshot comes from.
pub trait SnapshotSource: Send + Sync {
    /// The snapshot that new requests use.
    fn snapshot(&self) -> Arc<Snapshot>;
}

/// Endpoints and buckets, as they are at each scrape.
pub struct SnapshotGauges {
    source: Arc<dyn SnapshotSource>,
    in_flight: IntGaugeVec,
    connections: IntGaugeVec,
    healthy: IntGaugeVec,
    ejected: IntGaugeVec,
    requests: IntCounterVec,
    failures: IntCounterVec,
    available: IntGaugeVec,
    keys: IntGaugeVec,
    expiry: IntGaugeVec,
}

impl SnapshotGauges {
    /// Gauges over what `source` has at each scrape.
    pub fn new(source: Arc<dyn SnapshotSource>) -> prometheus::Result<Self> {
        let endpoint = &["upstream", "endpoint"];
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), endpoint);
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        };
        Ok(Self {
            source,
            in_flight: gauge("lb_endpoint_in_flight", "Exchanges in flight.", endpoint)?,
            connections: gauge(
                "lb_endpoint_connections",
                "Open connections, idle ones in the pool included.",
                endpoint,
            )?,
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
            requests: counter("lb_endpoint_requests_total", "Exchanges begun.")?,
            failures: counter("lb_endpoint_failures_total", "Exchanges that the endpoint failed.")?,
            available: gauge(
                "lb_upstream_available_endpoints",
                "Endpoints that could take a request now.",
                &["upstream"],
            )?,
            keys: gauge("lb_limit_keys", "Keys that a rate limit remembers.", &["limit"])?,
            expiry: gauge(
                "lb_certificate_expiry_timestamp_seconds",
                "When a certificate in use expires, in seconds since 1970.",
                &["listener", "certificate"],
            )?,
        })
    }

    fn counters(&self) -> [&IntCounterVec; 2] {
        [&self.requests, &self.failures]
    }

    fn gauges(&self) -> [&IntGaugeVec; 7] {
        [
            &self.in_flight,
            &self.connections,
            &self.healthy,
            &self.ejected,
            &self.available,
            &self.keys,
            &self.expiry,
        ]
    }
}

impl Collector for SnapshotGauges {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges().into_iter().flat_map(Collector::desc);
        gauges.chain(self.counters().into_iter().flat_map(Collector::desc)).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.source.snapshot();
        let now = Instant::now();
        // What left the snapshot leaves the metrics.
        self.gauges().into_iter().for_each(IntGaugeVec::reset);
        self.counters().into_iter().for_each(IntCounterVec::reset);
        for upstream in &snapshot.upstreams {
            for endpoint in &upstream.members().endpoints {
                let state = &endpoint.state;
                let labels: &[&str] = &[&upstream.name, state.label()];
                let healthy = upstream.check.is_none() || state.is_checked_healthy();
                self.in_flight.with_label_values(labels).set(i64::from(state.in_flight()));
                self.connections.with_label_values(labels).set(i64::from(state.connections()));
                self.healthy.with_label_values(labels).set(i64::from(healthy));
                self.ejected.with_label_values(labels).set(i64::from(state.is_ejected(now)));
                self.requests.with_label_values(labels).inc_by(state.requests());
                self.failures.with_label_values(labels).inc_by(state.failures());
            }
            self.available.with_label_values(&[&upstream.name]).set(upstream.available(now) as i64);
        }
        for limit in &snapshot.limits {
            self.keys.with_label_values(&[&limit.name]).set(limit.limiter.keys() as i64);
        }
        for listener in snapshot.listeners.iter() {
            let Some(tls) = &listener.tls else { continue };
            // Several of one name, such as ECDSA and RSA, are one series: the
            // first that expires is what matters.
            let mut expiries = tls.server.certificates.expiries();
            expiries.sort_by_key(|(_, expires)| std::cmp::Reverse(*expires));
            for (name, expires) in expiries {
                self.expiry.with_label_values(&[&*listener.name, &*name]).set(expires);
            }
        }
        let gauges = self.gauges().into_iter().flat_map(Collector::collect);
        gauges.chain(self.counters().into_iter().flat_map(Collector::collect)).collect()
    }
}
