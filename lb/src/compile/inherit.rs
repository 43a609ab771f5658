//! Inheritance: route over upstream over defaults, field by field, and the
//! values that omitted keys have.

use std::time::Duration;

use super::context::{Context, at};
use crate::config::{self, Defaults, Path, RetryItem, RetryOn as Failure};
use crate::policy::{Retry, RetryOn, Timeouts};
use crate::upstream::{BudgetSettings, PassiveSettings};
use crate::values::{Span, StatusSet};

/// Checks the layer that all others fall back to.
pub(super) fn check_defaults(defaults: &Defaults, context: &mut Context<'_>) {
    let Defaults { timeouts, limits: _, passive_health, keepalive, retry: _ } = defaults;
    let path = at!["defaults"];
    check_times(timeouts.as_ref(), passive_health.as_ref(), keepalive.as_ref(), &path, context);
}

/// Refuses times of nothing in one layer, whose sections stand under `path`.
pub(super) fn check_times(
    timeouts: Option<&config::Timeouts>,
    passive_health: Option<&config::PassiveHealth>,
    keepalive: Option<&config::Keepalive>,
    path: &Path,
    context: &mut Context<'_>,
) {
    if let Some(config::Timeouts { connect, send, read, request }) = timeouts {
        let path = path.join("timeouts");
        for (key, span) in
            [("connect", connect), ("send", send), ("read", read), ("request", request)]
        {
            context.positive(path.join(key), *span, "must be longer than 0s");
        }
    }
    if let Some(config::PassiveHealth { max_fails: _, fail_timeout }) = passive_health {
        context.positive(
            path.join("passive_health").join("fail_timeout"),
            *fail_timeout,
            "must be longer than 0s; \"max_fails: 0\" turns passive health off",
        );
    }
    if let Some(config::Keepalive { max_idle: _, idle_timeout }) = keepalive {
        context.positive(
            path.join("keepalive").join("idle_timeout"),
            *idle_timeout,
            "must be longer than 0s; \"max_idle: 0\" keeps no connection",
        );
    }
}

/// The first layer that has a field wins.
fn first<T: Copy, L>(layers: &[Option<&L>], field: impl Fn(&L) -> Option<T>) -> Option<T> {
    layers.iter().flatten().find_map(|layer| field(layer))
}

fn seconds(span: Option<Span>, default: u64) -> Duration {
    span.map_or(Duration::from_secs(default), Span::duration)
}

/// Timeouts, most specific layer first.
pub(super) fn timeouts(layers: &[Option<&config::Timeouts>]) -> Timeouts {
    Timeouts {
        connect: seconds(first(layers, |layer| layer.connect), 60),
        send: seconds(first(layers, |layer| layer.send), 60),
        read: seconds(first(layers, |layer| layer.read), 60),
        request: seconds(first(layers, |layer| layer.request), 300),
    }
}

/// Retries, most specific layer first.
pub(super) fn retry(layers: &[Option<&config::Retry>]) -> Retry {
    let on = layers.iter().flatten().find_map(|layer| layer.on.as_deref());
    let has = |failure| on.is_none_or(|on| on.contains(&RetryItem::Failure(failure)));
    let mut statuses = StatusSet::default();
    for item in on.unwrap_or_default() {
        if let RetryItem::Status(status) = item {
            statuses.insert(*status);
        }
    }
    Retry {
        attempts: first(layers, |layer| layer.attempts).unwrap_or(3),
        on: RetryOn {
            connect_failure: has(Failure::ConnectFailure),
            reset: has(Failure::Reset),
            timeout: has(Failure::Timeout),
            statuses,
        },
    }
}

/// The retry budget, which belongs to the upstream.
pub(super) fn budget(layers: &[Option<&config::Retry>]) -> BudgetSettings {
    let budgets: Vec<Option<&config::Budget>> =
        layers.iter().map(|layer| layer.and_then(|layer| layer.budget.as_ref())).collect();
    BudgetSettings {
        ratio: first(&budgets, |budget| budget.ratio).unwrap_or(0.2),
        min_per_second: first(&budgets, |budget| budget.min_per_second).unwrap_or(10),
    }
}

/// Passive health.
pub(super) fn passive(
    layers: &[Option<&config::PassiveHealth>],
    min_healthy_percent: Option<u8>,
) -> PassiveSettings {
    PassiveSettings {
        max_fails: first(layers, |layer| layer.max_fails).unwrap_or(3),
        fail_timeout: seconds(first(layers, |layer| layer.fail_timeout), 30),
        min_healthy_percent: min_healthy_percent.unwrap_or(50),
    }
}

/// Idle connections: how many, and for how long.
pub(super) fn keepalive(layers: &[Option<&config::Keepalive>]) -> (usize, Duration) {
    (
        first(layers, |layer| layer.max_idle).map_or(32, |count| count as usize),
        seconds(first(layers, |layer| layer.idle_timeout), 60),
    )
}

/// The body limit of a route, in bytes.
pub(super) fn body_limit(route: Option<&config::RouteLimits>, defaults: Option<&Defaults>) -> u64 {
    route
        .and_then(|limits| limits.body)
        .or_else(|| defaults.and_then(|defaults| defaults.limits.as_ref()?.body))
        .map_or(10 << 20, |size| size.bytes())
}
