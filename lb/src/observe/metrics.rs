//! Every metric, its name and its labels, in one place.
//!
//! Series that a request touches are looked up once when a snapshot goes live,
//! never per request. Label values come from the configuration and from our own
//! tables, so that their number is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use tokio::runtime::Handle;

use super::{Closings, QueueSeries, RouteSeries, UpstreamSeries};
use crate::policy::Table;
use crate::snapshot::Snapshot;

/// From a tenth of a millisecond to a minute.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];

/// How a TLS handshake with a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// A new session.
    Full,
    /// A resumed session.
    Resumed,
    /// None.
    Failed,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: Mutex<HashMap<(String, String), Weak<RouteSeries>>>,
    requests: IntCounterVec,
    duration: HistogramVec,
    connect: HistogramVec,
    first_byte: HistogramVec,
    retries: IntCounterVec,
    queue: IntCounterVec,
    refusals: IntCounterVec,
    connections: IntCounterVec,
    open: IntGaugeVec,
    closed: IntCounterVec,
    handshakes: IntCounterVec,
    certificate_reloads: IntCounterVec,
    certificate_reload_failed: IntGaugeVec,
    /// Access log lines that were not written.
    pub access_log_dropped: IntCounter,
    tasks: IntGauge,
    /// The runtimes whose tasks are counted.
    runtimes: Mutex<Vec<Handle>>,
    /// 1 while the process stops.
    pub draining: IntGauge,
    /// 1 if the last reload was good, or there was none.
    pub reload_successful: IntGauge,
    /// When the configuration in use was taken up, in seconds since 1970.
    pub reload_time: IntGauge,
    reloads: IntCounterVec,
    /// 1 if the last hand-over succeeded, or there was none.
    pub handover_successful: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            routes: Mutex::default(),
            requests: counters(
                &registry,
                "lb_requests_total",
                "Requests by virtual host, route, status class and cause; the cause is empty when an endpoint answered.",
                &["virtual_host", "route", "status_class", "cause"],
            ),
            duration: histograms(
                &registry,
                "lb_request_duration_seconds",
                "From the request to the last byte of its response.",
                &["virtual_host", "route"],
            ),
            connect: histograms(
                &registry,
                "lb_upstream_connect_duration_seconds",
                "Until a new connection to an endpoint stood, TLS included.",
                &["upstream"],
            ),
            first_byte: histograms(
                &registry,
                "lb_upstream_first_byte_duration_seconds",
                "From the start of an attempt to the head of its response.",
                &["upstream"],
            ),
            retries: counters(
                &registry,
                "lb_upstream_retries_total",
                "Requests sent again, by what became of the wish: sent, budget_exhausted.",
                &["upstream", "outcome"],
            ),
            queue: counters(
                &registry,
                "lb_upstream_queue_total",
                "Requests that found all endpoints full, by how that ended: served, full, timeout, left.",
                &["upstream", "outcome"],
            ),
            refusals: counters(
                &registry,
                "lb_limit_refusals_total",
                "Requests refused by a rate limit.",
                &["limit"],
            ),
            connections: counters(
                &registry,
                "lb_connections_total",
                "Connections accepted from clients.",
                &["listener"],
            ),
            open: gauges(
                &registry,
                "lb_connections_open",
                "Open connections from clients.",
                &["listener"],
            ),
            closed: counters(
                &registry,
                "lb_connections_closed_total",
                "Connections from clients that the proxy closed without being asked to, by why.",
                &["listener", "cause"],
            ),
            handshakes: counters(
                &registry,
                "lb_tls_handshakes_total",
                "TLS handshakes with clients: full, resumed, failed.",
                &["listener", "result"],
            ),
            certificate_reloads: counters(
                &registry,
                "lb_certificate_reloads_total",
                "Certificates and ticket keys taken from changed files.",
                &["listener"],
            ),
            certificate_reload_failed: gauges(
                &registry,
                "lb_certificate_reload_failed",
                "1 while a changed file cannot be used and the old certificate or key stays.",
                &["listener"],
            ),
            access_log_dropped: registered(
                &registry,
                IntCounter::new(
                    "lb_access_log_dropped_total",
                    "Access log lines dropped because the log could not keep up or be written.",
                ),
            ),
            reload_successful: registered(
                &registry,
                IntGauge::new(
                    "lb_config_last_reload_successful",
                    "1 if the configuration file, as last read, is in use.",
                ),
            ),
            reload_time: registered(
                &registry,
                IntGauge::new(
                    "lb_config_last_reload_success_timestamp_seconds",
                    "When the configuration in use was taken up, in seconds since 1970.",
                ),
            ),
            reloads: counters(
                &registry,
                "lb_config_reloads_total",
                "Reloads by outcome: applied, failed.",
                &["outcome"],
            ),
            handover_successful: registered(
                &registry,
                IntGauge::new(
                    "lb_handover_last_successful",
                    "0 if the last attempt to hand over to a new process failed.",
                ),
            ),
            tasks: registered(
                &registry,
                IntGauge::new(
                    "lb_tasks",
                    "Tasks in the workers' runtimes: one a connection, one a stream, and some of their own.",
                ),
            ),
            runtimes: Mutex::default(),
            draining: registered(
                &registry,
                IntGauge::new("lb_draining", "1 while the process is stopping."),
            ),
            registry,
        };
        let build = gauges(
            &metrics.registry,
            "lb_build_info",
            "Always 1; the version is a label.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for outcome in ["applied", "failed"] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        metrics.reload_successful.set(1);
        metrics.handover_successful.set(1);
        #[cfg(target_os = "linux")]
        let _ = metrics
            .registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
        metrics
    }
}

impl Metrics {
    /// Adds a collector that is asked on every scrape.
    pub fn register(&self, collector: Box<dyn prometheus::core::Collector>) {
        if let Err(error) = self.registry.register(collector) {
            tracing::error!(%error, "a metric is defined twice");
        }
    }

    /// Counts a reload. `now` is in seconds since 1970.
    pub fn reloaded(&self, applied: bool, now: i64) {
        let outcome = if applied { "applied" } else { "failed" };
        self.reloads.with_label_values(&[outcome]).inc();
        self.reload_successful.set(i64::from(applied));
        if applied {
            self.reload_time.set(now);
        }
    }

    /// Counts the tasks of a runtime, too.
    pub fn watch_tasks(&self, runtime: Handle) {
        self.runtimes.lock().push(runtime);
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let alive = |runtime: &Handle| runtime.metrics().num_alive_tasks();
        let tasks: usize = self.runtimes.lock().iter().map(alive).sum();
        self.tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be rendered");
        }
        text
    }

    /// The series of every route of a table, by route index, and last those of
    /// requests that no route took.
    pub fn routes(&self, table: &Table) -> (Vec<Arc<RouteSeries>>, Arc<RouteSeries>) {
        let routes = table
            .routes()
            .iter()
            .map(|route| self.route(&table.host(route.host).name, &route.name))
            .collect();
        (routes, self.route("", ""))
    }

    /// The series of a route; those of the snapshot before, if it had the route.
    fn route(&self, host: &str, route: &str) -> Arc<RouteSeries> {
        let mut known = self.routes.lock();
        let name = (host.to_owned(), route.to_owned());
        if let Some(series) = known.get(&name).and_then(Weak::upgrade) {
            return series;
        }
        known.retain(|_, series| series.strong_count() > 0);
        let duration = self.duration.with_label_values(&[host, route]);
        let labels = [host.to_owned(), route.to_owned()];
        let series = Arc::new(RouteSeries::new(self.requests.clone(), labels, duration));
        known.insert(name, Arc::downgrade(&series));
        series
    }

    /// The series of every upstream of a snapshot, by upstream index.
    pub fn upstreams(&self, snapshot: &Snapshot) -> Vec<UpstreamSeries> {
        snapshot
            .upstreams
            .iter()
            .map(|upstream| UpstreamSeries {
                connect: self.connect.with_label_values(&[&upstream.name]),
                first_byte: self.first_byte.with_label_values(&[&upstream.name]),
                retries: self.retries.with_label_values(&[&*upstream.name, "sent"]),
                retries_refused: self
                    .retries
                    .with_label_values(&[&*upstream.name, "budget_exhausted"]),
                queue: QueueSeries {
                    served: self.queue.with_label_values(&[&*upstream.name, "served"]),
                    full: self.queue.with_label_values(&[&*upstream.name, "full"]),
                    timeout: self.queue.with_label_values(&[&*upstream.name, "timeout"]),
                    left: self.queue.with_label_values(&[&*upstream.name, "left"]),
                },
            })
            .collect()
    }

    /// Refusals of every rate limit of a snapshot, by limit index.
    pub fn limits(&self, snapshot: &Snapshot) -> Vec<IntCounter> {
        snapshot
            .limits
            .iter()
            .map(|limit| self.refusals.with_label_values(&[&limit.name]))
            .collect()
    }

    /// Connections accepted on a listener, and those open.
    pub fn listener(&self, name: &str) -> (IntCounter, IntGauge) {
        (self.connections.with_label_values(&[name]), self.open.with_label_values(&[name]))
    }

    /// Connections of a listener that we closed, by why.
    pub fn closings(&self, listener: &Arc<str>) -> Closings {
        Closings::new(Arc::clone(listener), |closing| {
            self.closed.with_label_values(&[listener, closing.name()])
        })
    }

    /// Files of a listener's TLS that were taken up.
    pub fn certificate_reloads(&self, listener: &str) -> IntCounter {
        self.certificate_reloads.with_label_values(&[listener])
    }

    /// Whether a changed file of a listener's TLS cannot be used.
    pub fn certificate_reload_failed(&self, listener: &str) -> IntGauge {
        self.certificate_reload_failed.with_label_values(&[listener])
    }

    /// Handshakes on a listener by how they ended.
    pub fn handshake(&self, listener: &str, result: Handshake) -> IntCounter {
        let result = match result {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Failed => "failed",
        };
        self.handshakes.with_label_values(&[listener, result])
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    registered(
        registry,
        HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels),
    )
}

#[expect(clippy::expect_used, reason = "names are constants of this file; a test builds them all")]
fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    let metric = metric.expect("the metric's name and labels are valid");
    registry.register(Box::new(metric.clone())).expect("the metric's name is not taken");
    metric
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::response::Cause;

    #[test]
    fn every_metric_renders() {
        let metrics = Metrics::default();
        let series = metrics.route("host", "route");
        series.record(200, None, Some(Duration::from_millis(1)));
        series.record(429, Some(Cause::RateLimited), Some(Duration::from_millis(1)));
        series.record(999, None, None);
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            r#"lb_requests_total{cause="",route="route",status_class="2xx",virtual_host="host"} 1"#,
            r#"lb_requests_total{cause="rate_limited",route="route",status_class="4xx",virtual_host="host"} 1"#,
            r#"lb_request_duration_seconds_count{route="route",virtual_host="host"} 2"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
