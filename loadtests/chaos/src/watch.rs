//! What lb believes of its endpoints, asked again and again: when an endpoint
//! was out, and when it was back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::setup::UPSTREAM;
use crate::status::{Metrics, Status};

/// Between two questions: as exact as the times can be.
const INTERVAL: Duration = Duration::from_millis(20);

/// One answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// For each endpoint, whether it could take requests.
    pub(crate) is_in: Vec<bool>,
    /// For each endpoint, the attempts that were made.
    pub(crate) attempts: Vec<f64>,
    pub(crate) reloads_applied: f64,
    pub(crate) reloads_failed: f64,
    pub(crate) retries: f64,
    pub(crate) retries_refused: f64,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
}

impl Watch {
    pub(crate) fn start(status: SocketAddr, endpoints: &[SocketAddr]) -> Self {
        let sender = watch::Sender::new(Seen::default());
        let seen = sender.subscribe();
        let names: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        let task = tokio::spawn(async move {
            let mut status = Status::new(status);
            let mut ticks = interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // Between two processes there may be a moment without an answer.
                if let Ok(metrics) = status.metrics().await {
                    sender.send_replace(read(&metrics, &names));
                }
            }
        });
        Self { seen, task: task.abort_handle() }
    }

    pub(crate) fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until `holds`; `None` if that does not come before `deadline`.
    pub(crate) async fn until(
        &self,
        deadline: Instant,
        holds: impl FnMut(&Seen) -> bool,
    ) -> Option<Instant> {
        let mut seen = self.seen.clone();
        timeout_at(deadline, seen.wait_for(holds)).await.ok()?.ok()?;
        Some(Instant::now())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    pub(crate) fn is_in(&self, endpoint: usize) -> bool {
        self.is_in.get(endpoint) == Some(&true)
    }

    pub(crate) fn are_all_in(&self) -> bool {
        !self.is_in.is_empty() && self.is_in.iter().all(|is_in| *is_in)
    }
}

fn read(metrics: &Metrics, endpoints: &[String]) -> Seen {
    let is_in = |endpoint: &String| {
        let labels = [("upstream", UPSTREAM), ("endpoint", endpoint.as_str())];
        metrics.sum("lb_endpoint_healthy", &labels) == Some(1.0)
            && metrics.sum("lb_endpoint_ejected", &labels) != Some(1.0)
    };
    let attempts = |endpoint: &String| {
        let labels = [("upstream", UPSTREAM), ("endpoint", endpoint.as_str())];
        metrics.sum("lb_endpoint_requests_total", &labels).unwrap_or_default()
    };
    let count = |name, label| metrics.sum(name, &[label]).unwrap_or_default();
    Seen {
        is_in: endpoints.iter().map(is_in).collect(),
        attempts: endpoints.iter().map(attempts).collect(),
        reloads_applied: count("lb_config_reloads_total", ("outcome", "applied")),
        reloads_failed: count("lb_config_reloads_total", ("outcome", "failed")),
        retries: count("lb_upstream_retries_total", ("outcome", "sent")),
        retries_refused: count("lb_upstream_retries_total", ("outcome", "budget_exhausted")),
    }
}
