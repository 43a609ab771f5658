//! What an upstream does when its endpoints fail or are full.

use std::time::Duration;

use super::context::Context;
use crate::config::{self, Path};
use crate::upstream::BreakerSettings;
use crate::values::{Percent, Span};

fn seconds(span: Option<Span>, default: u64) -> Duration {
    span.map_or(Duration::from_secs(default), Span::duration)
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
