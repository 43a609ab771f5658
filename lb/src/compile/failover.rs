//! What an upstream does when its endpoints fail or are full.

use std::time::Duration;

use super::context::Context;
use crate::config::{self, Balance, Path};
use crate::upstream::{BreakerSettings, OutlierSettings, QueueSettings};
use crate::values::{Percent, Span};

fn seconds(span: Option<Span>, default: u64) -> Duration {
    span.map_or(Duration::from_secs(default), Span::duration)
}

pub(super) fn queue(
    written: Option<&config::Queue>,
    is_limited: bool,
    upstream: &Path,
    context: &mut Context<'_>,
) -> Option<QueueSettings> {
    let config::Queue { size, timeout } = written?;
    let path = upstream.join("queue");
    context.positive(
        path.join("timeout"),
        *timeout,
        "must be longer than 0s; leave queue out, and nobody waits",
    );
    if !is_limited {
        let what = "nobody will wait: no endpoint of this upstream has max_connections";
        context.warn(path, what);
    }
    Some(QueueSettings { size: size.unwrap_or(100), timeout: seconds(*timeout, 5) })
}

pub(super) fn slow_start(
    written: Option<Span>,
    balance: Balance,
    upstream: &Path,
    context: &mut Context<'_>,
) -> Option<Duration> {
    let path = upstream.join("slow_start");
    context.positive(
        path.clone(),
        written,
        "must be longer than 0s; leave it out for no slow start",
    );
    if written.is_some() && matches!(balance, Balance::IpHash | Balance::ConsistentHash) {
        let what = "slow_start has no effect with a hash, which places keys and not shares";
        context.warn(path, what);
        return None;
    }
    written.map(Span::duration)
}

pub(super) fn outlier(
    written: &config::Outlier,
    path: &Path,
    context: &mut Context<'_>,
) -> OutlierSettings {
    let config::Outlier { error_rate, latency_factor, min_requests, interval, eject_for } = written;
    if error_rate.is_none() && latency_factor.is_none() {
        context.missing(path.clone(), "give error_rate, latency_factor, or both");
    }
    let (interval, eject_for) = (seconds(*interval, 10), seconds(*eject_for, 30));
    for (key, time) in [("interval", interval), ("eject_for", eject_for)] {
        // The books are looked at once a second.
        if time < Duration::from_secs(1) {
            context.error(path.join(key), "must be at least 1s");
        }
    }
    OutlierSettings {
        error_rate: *error_rate,
        latency_factor: *latency_factor,
        min_requests: min_requests.unwrap_or(20),
        interval,
        eject_for,
    }
}

pub(super) fn circuit_breaker(
    written: &config::CircuitBreaker,
    path: &Path,
    context: &mut Context<'_>,
) -> BreakerSettings {
    let config::CircuitBreaker { error_rate, min_requests, window, open_for, probes } = written;
    for (key, span) in [("window", window), ("open_for", open_for)] {
        context.positive(path.join(key), *span, "must be longer than 0s");
    }
    BreakerSettings {
        error_rate: error_rate.unwrap_or(Percent::HALF),
        min_requests: min_requests.unwrap_or(20),
        window: seconds(*window, 10),
        open_for: seconds(*open_for, 5),
        probes: probes.unwrap_or(3),
    }
}
