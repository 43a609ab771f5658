//! Series that requests touch: looked up when a snapshot goes live, and kept.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec};

use crate::response::Cause;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The series of one route.
#[derive(Debug)]
pub struct RouteSeries {
    requests: IntCounterVec,
    labels: [String; 2],
    duration: Histogram,
    answered: [OnceLock<IntCounter>; CLASSES.len()],
    caused: Vec<[OnceLock<IntCounter>; CLASSES.len()]>,
}

impl RouteSeries {
    /// Of a virtual host and a route. What it counts is made when it is first counted.
    pub(super) fn new(requests: IntCounterVec, labels: [String; 2], duration: Histogram) -> Self {
        Self {
            requests,
            labels,
            duration,
            answered: CLASSES.map(|_| OnceLock::new()),
            caused: Cause::ALL.iter().map(|_| CLASSES.map(|_| OnceLock::new())).collect(),
        }
    }

    /// Counts a finished exchange, and its duration unless it was a tunnel.
    pub fn record(&self, status: u16, cause: Option<Cause>, duration: Option<Duration>) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let (cell, cause) = match cause {
            None => (&self.answered[class], ""),
            Some(cause) => (&self.caused[cause as usize][class], cause.name()),
        };
        // Made when first needed: most combinations never occur.
        cell.get_or_init(|| {
            self.requests.with_label_values(&[
                &*self.labels[0],
                &*self.labels[1],
                CLASSES[class],
                cause,
            ])
        })
        .inc();
        if let Some(duration) = duration {
            self.duration.observe(duration.as_secs_f64());
        }
    }
}

/// The series of one upstream.
#[derive(Debug)]
pub struct UpstreamSeries {
    /// Time until new connections stood.
    pub connect: Histogram,
    /// Time until response heads came.
    pub first_byte: Histogram,
    /// Requests sent again.
    pub retries: IntCounter,
    /// Requests not sent again for want of budget.
    pub retries_refused: IntCounter,
    /// Requests that found all endpoints full.
    pub queue: QueueSeries,
}

/// How requests fared that found all endpoints full.
#[derive(Debug)]
pub struct QueueSeries {
    /// They waited and got a place, or another answer than these.
    pub served: IntCounter,
    /// Nobody more could wait.
    pub full: IntCounter,
    /// They waited for as long as they may.
    pub timeout: IntCounter,
    /// The client left.
    pub left: IntCounter,
}
