//! Who runs the active checks: one task an endpoint, and one a second for the
//! upstream's books.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::health::{CheckSettings, Transition};
use super::{EndpointState, Upstream, probe, resolve};

/// How often the name of an endpoint is resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);

/// How soon after a failure.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// The tasks of one snapshot's upstreams; dropping it stops them.
#[derive(Debug, Default)]
pub struct Checker {
    tasks: JoinSet<()>,
}

impl Checker {
    /// Starts checking. Must be called inside a runtime, which should not be
    /// one that carries requests.
    pub fn start(upstreams: &[Arc<Upstream>]) -> Self {
        let mut tasks = JoinSet::new();
        for upstream in upstreams {
            tasks.spawn(keep_books(Arc::clone(upstream)));
            tasks.spawn(first_round_then_check(Arc::clone(upstream)));
        }
        Self { tasks }
    }

    /// How many tasks run.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

async fn keep_books(upstream: Arc<Upstream>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        upstream.shared.budget.tick(upstream.requests());
    }
}

/// The first checks of all endpoints run at once and without delay; each then
/// goes on by itself.
async fn first_round_then_check(upstream: Arc<Upstream>) {
    let mut first = JoinSet::new();
    for endpoint in &upstream.members().endpoints {
        let (upstream, state) = (Arc::clone(&upstream), Arc::clone(&endpoint.state));
        first.spawn(async move { first_look(&upstream, &state).await });
    }
    while first.join_next().await.is_some() {}
    upstream.shared.first_round.finish();

    let mut running = JoinSet::new();
    for endpoint in &upstream.members().endpoints {
        let state = Arc::clone(&endpoint.state);
        if matches!(state.address(), crate::values::EndpointAddress::Name(..)) {
            running.spawn(keep_resolved(Arc::clone(&state)));
        }
        if let Some(settings) = upstream.check.clone() {
            running.spawn(keep_checking(Arc::clone(&upstream), state, settings));
        }
    }
    while running.join_next().await.is_some() {}
}

async fn first_look(upstream: &Upstream, state: &EndpointState) {
    match &upstream.check {
        Some(settings) => check_once(upstream, state, settings).await,
        None => {
            if let Err(reason) = resolve::resolve(state).await {
                tracing::warn!(upstream = %upstream.name, endpoint = %state.label(), reason, "endpoint is unusable");
            }
        }
    }
}

async fn keep_checking(
    upstream: Arc<Upstream>,
    state: Arc<EndpointState>,
    settings: CheckSettings,
) {
    loop {
        let pause =
            if state.health.is_failing() { settings.failing_interval } else { settings.interval };
        // A tenth earlier or later, so that checks of many balancers spread.
        let pause = pause.mul_f64(0.9 + fastrand::f64() * 0.2);
        // A failure of a real request asks for a check at once.
        let _ = timeout(pause, state.check_now.notified()).await;
        check_once(&upstream, &state, &settings).await;
    }
}

async fn check_once(upstream: &Upstream, state: &EndpointState, settings: &CheckSettings) {
    let result = probe::probe(upstream, state, settings).await;
    let transition = state.health.record_check(result.is_ok(), settings);
    match (transition, result) {
        (Some(Transition::Up), _) => {
            tracing::info!(upstream = %upstream.name, endpoint = %state.label(), "endpoint is healthy");
        }
        (Some(Transition::Down), Err(reason)) => {
            tracing::warn!(
                upstream = %upstream.name,
                endpoint = %state.label(),
                reason,
                "endpoint taken out: health checks fail"
            );
        }
        (_, Err(reason)) => {
            tracing::debug!(upstream = %upstream.name, endpoint = %state.label(), reason, "health check failed");
        }
        (_, Ok(())) => {}
    }
}

async fn keep_resolved(state: Arc<EndpointState>) {
    loop {
        sleep(if state.is_resolved() { RESOLVE_INTERVAL } else { RESOLVE_AGAIN }).await;
        if let Err(reason) = resolve::resolve(&state).await {
            tracing::debug!(endpoint = %state.label(), reason, "name not resolved");
        }
    }
}
