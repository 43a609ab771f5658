//! What every role measures of its requests, whatever they are about.
//!
//! Label values are bounded: routes are the templates of the router
//! (`/api/v1/users/{id}`), never paths that clients made up.

use std::time::Instant;

use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Upper bounds in seconds: from a cached read, under a millisecond, past a
/// password hash, some tens, to what balancers give up on.
const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of requests. Clones share them.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    requests: IntCounterVec,
    latency: HistogramVec,
    in_flight: IntGauge,
}

impl RequestMetrics {
    /// The metrics at zero, in `registry`; and with them those of the process:
    /// who it is, and what it uses.
    ///
    /// # Errors
    /// Never, unless two of the names in `registry` are the same.
    pub fn register(registry: &Registry, instance: &str) -> Result<Self, prometheus::Error> {
        let info = IntGaugeVec::new(
            Opts::new("fastnext_instance_info", "Always 1; the label says who answers."),
            &["instance"],
        )?;
        info.with_label_values(&[instance]).set(1);
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

        registry.register(Box::new(info))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self { requests, latency, in_flight })
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

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn metrics() -> (Registry, RequestMetrics) {
        let registry = Registry::new();
        let metrics = RequestMetrics::register(&registry, "one").unwrap();
        (registry, metrics)
    }

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_request_is_counted_by_route_and_class() {
        let (registry, metrics) = metrics();
        metrics.begin("/ws").answered(StatusCode::SWITCHING_PROTOCOLS);
        let text = text(&registry);
        assert!(text.contains("{route=\"/ws\",status=\"1xx\"} 1\n"), "{text}");
        assert!(!text.contains("aborted\"}"), "{text}");
    }

    #[test]
    fn a_request_dropped_before_its_response_is_aborted() {
        let (registry, metrics) = metrics();
        drop(metrics.begin("/health"));
        let text = text(&registry);
        assert!(text.contains("{route=\"/health\",status=\"aborted\"} 1\n"), "{text}");
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_dropped() {
        let (registry, metrics) = metrics();
        let guard = metrics.enter();
        assert!(text(&registry).contains("\nfastnext_http_requests_in_flight 1\n"));
        drop(guard);
        assert!(text(&registry).contains("\nfastnext_http_requests_in_flight 0\n"));
    }
}
