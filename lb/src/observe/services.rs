//! Metrics of Services of Kubernetes, read off the live snapshot when somebody asks.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};

use super::SnapshotSource;
use crate::upstream::{SERVICE_PROBLEMS, Service, ServiceStatus};

/// The Services that endpoints come from, as they are at each scrape.
pub struct ServiceGauges {
    source: Arc<dyn SnapshotSource>,
    up: IntGaugeVec,
    stale_since: GaugeVec,
    endpoints: IntGaugeVec,
    problem: IntGaugeVec,
    failures: IntCounterVec,
}

impl ServiceGauges {
    /// Gauges over what `source` has at each scrape.
    pub fn new(source: Arc<dyn SnapshotSource>) -> prometheus::Result<Self> {
        let labels =
            |more: &[&'static str]| [&["upstream", "namespace", "service", "port"], more].concat();
        let gauge = |name: &str, help: &str, more: &[&'static str]| {
            IntGaugeVec::new(Opts::new(name, help), &labels(more))
        };
        Ok(Self {
            source,
            up: gauge(
                "lb_kubernetes_watch_up",
                "1 while all pods of the Service are known and changes are followed.",
                &[],
            )?,
            stale_since: GaugeVec::new(
                Opts::new(
                    "lb_kubernetes_stale_since_timestamp_seconds",
                    "Since when what is known of the Service may be outdated, in seconds since 1970; 0 while it is not.",
                ),
                &labels(&[]),
            )?,
            endpoints: gauge(
                "lb_kubernetes_endpoints",
                "Addresses in the Service's EndpointSlices.",
                &["state"],
            )?,
            problem: gauge(
                "lb_kubernetes_problem",
                "1 for what is wrong with the Service at present.",
                &["problem"],
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "lb_kubernetes_failures_total",
                    "Lists and watches of the Service's EndpointSlices that failed.",
                ),
                &labels(&["reason"]),
            )?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 5] {
        [&self.up, &self.stale_since, &self.endpoints, &self.problem, &self.failures]
    }

    fn set(&self, upstream: &str, service: &Service) {
        let of = service.of();
        let port = of.port.to_string();
        let labels: [&str; 4] = [upstream, &of.namespace, &of.name, &port];
        let with = |last: &'static str| [labels[0], labels[1], labels[2], labels[3], last];
        let ServiceStatus { up, stale_since, counts, problem, failures } = service.status();
        self.up.with_label_values(&labels).set(i64::from(up));
        let since = stale_since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since = since.map_or(0.0, |since| since.as_secs_f64());
        self.stale_since.with_label_values(&labels).set(since);
        for (state, count) in [
            ("ready", counts.ready),
            ("terminating", counts.terminating),
            ("not_ready", counts.not_ready),
        ] {
            self.endpoints.with_label_values(&with(state)).set(count as i64);
        }
        let problem = problem.map(|problem| problem.reason());
        for reason in SERVICE_PROBLEMS {
            let is_present = problem == Some(reason);
            self.problem.with_label_values(&with(reason)).set(i64::from(is_present));
        }
        for (reason, count) in failures {
            self.failures.with_label_values(&with(reason)).inc_by(count);
        }
    }
}

impl Collector for ServiceGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // What left the snapshot leaves the metrics.
        for gauge in [&self.up, &self.endpoints, &self.problem] {
            gauge.reset();
        }
        self.stale_since.reset();
        self.failures.reset();
        for upstream in &self.source.snapshot().upstreams {
            for service in upstream.services() {
                self.set(&upstream.name, service);
            }
        }
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}
