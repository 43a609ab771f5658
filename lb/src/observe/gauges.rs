//! Metrics that are read off the live snapshot when somebody asks.

use std::sync::Arc;
use std::time::Instant;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};

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
    weight: GaugeVec,
    requests: IntCounterVec,
    failures: IntCounterVec,
    ejections: IntCounterVec,
    dns_failures: IntCounterVec,
    endpoints: IntGaugeVec,
    available: IntGaugeVec,
    draining: IntGaugeVec,
    queue: IntGaugeVec,
    circuit: IntGaugeVec,
    opened: IntCounterVec,
    keys: IntGaugeVec,
    expiry: IntGaugeVec,
}

impl SnapshotGauges {
    /// Gauges over what `source` has at each scrape.
    pub fn new(source: Arc<dyn SnapshotSource>) -> prometheus::Result<Self> {
        let endpoint = &["upstream", "endpoint"];
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
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
            weight: GaugeVec::new(
                Opts::new(
                    "lb_endpoint_weight",
                    "Its share of the load against the others now, less during a slow start.",
                ),
                endpoint,
            )?,
            requests: counter("lb_endpoint_requests_total", "Exchanges begun.", endpoint)?,
            failures: counter(
                "lb_endpoint_failures_total",
                "Exchanges that the endpoint failed.",
                endpoint,
            )?,
            ejections: counter(
                "lb_endpoint_ejections_total",
                "How often real requests took the endpoint out, by why: max_fails, error_rate, latency.",
                &["upstream", "endpoint", "reason"],
            )?,
            dns_failures: counter(
                "lb_dns_failures_total",
                "Look-ups of a name that failed, or had no address.",
                &["upstream", "name"],
            )?,
            endpoints: gauge(
                "lb_upstream_endpoints",
                "Endpoints, healthy or not; a name counts once for each of its addresses.",
                &["upstream"],
            )?,
            available: gauge(
                "lb_upstream_available_endpoints",
                "Endpoints that could take a request now.",
                &["upstream"],
            )?,
            draining: gauge(
                "lb_upstream_draining_in_flight",
                "Exchanges in flight at endpoints that have left the upstream.",
                &["upstream"],
            )?,
            queue: gauge(
                "lb_upstream_queue_length",
                "Requests that wait because all endpoints are full.",
                &["upstream"],
            )?,
            circuit: gauge(
                "lb_upstream_circuit_state",
                "Of upstreams with a circuit breaker: 0 closed, 1 half-open, 2 open.",
                &["upstream"],
            )?,
            opened: counter(
                "lb_upstream_circuit_opened_total",
                "How often the circuit breaker has opened.",
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

    fn counters(&self) -> [&IntCounterVec; 5] {
        [&self.requests, &self.failures, &self.ejections, &self.dns_failures, &self.opened]
    }

    fn gauges(&self) -> [&IntGaugeVec; 11] {
        [
            &self.in_flight,
            &self.connections,
            &self.healthy,
            &self.ejected,
            &self.endpoints,
            &self.available,
            &self.draining,
            &self.queue,
            &self.circuit,
            &self.keys,
            &self.expiry,
        ]
    }
}

impl Collector for SnapshotGauges {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges().into_iter().flat_map(Collector::desc);
        let counters = self.counters().into_iter().flat_map(Collector::desc);
        gauges.chain(counters).chain(self.weight.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.source.snapshot();
        let now = Instant::now();
        // What left the snapshot leaves the metrics.
        self.gauges().into_iter().for_each(IntGaugeVec::reset);
        self.counters().into_iter().for_each(IntCounterVec::reset);
        self.weight.reset();
        for upstream in &snapshot.upstreams {
            let members = upstream.members();
            for endpoint in &members.endpoints {
                let state = &endpoint.state;
                let labels: &[&str] = &[&upstream.name, state.label()];
                let healthy = upstream.check.is_none() || state.is_checked_healthy();
                self.in_flight.with_label_values(labels).set(i64::from(state.in_flight()));
                self.connections.with_label_values(labels).set(i64::from(state.connections()));
                self.healthy.with_label_values(labels).set(i64::from(healthy));
                self.ejected.with_label_values(labels).set(i64::from(state.is_ejected(now)));
                self.weight.with_label_values(labels).set(endpoint.current_weight(now));
                self.requests.with_label_values(labels).inc_by(state.requests());
                self.failures.with_label_values(labels).inc_by(state.failures());
                for (reason, count) in state.ejections() {
                    let labels: &[&str] = &[&upstream.name, state.label(), reason];
                    self.ejections.with_label_values(labels).inc_by(count);
                }
            }
            let draining = self.draining.with_label_values(&[&upstream.name]);
            draining.set(i64::from(upstream.shared.draining()));
            if upstream.queue.is_some() {
                let waiting = upstream.shared.queue.len();
                self.queue.with_label_values(&[&upstream.name]).set(i64::from(waiting));
            }
            if upstream.breaker.is_some() {
                let (breaker, labels) = (&upstream.shared.breaker, &[&*upstream.name]);
                self.circuit.with_label_values(labels).set(breaker.state() as i64);
                self.opened.with_label_values(labels).inc_by(breaker.opened());
            }
            for name in upstream.names() {
                let failures = self.dns_failures.with_label_values(&[&upstream.name, name.name()]);
                failures.inc_by(name.failures());
            }
            let endpoints = self.endpoints.with_label_values(&[&upstream.name]);
            endpoints.set(members.endpoints.len() as i64);
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
        let counters = self.counters().into_iter().flat_map(Collector::collect);
        gauges.chain(counters).chain(self.weight.collect()).collect()
    }
}
