//! The active checks of one endpoint, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::health::{CheckSettings, Transition};
use super::keeper::Orders;
use super::{EndpointState, Upstream, probe};

/// Checks an endpoint at once, and then as often as the orders say at the time,
/// for as long as they have checks. `changed` is told when its health changes.
pub(super) async fn keep_checking(
    mut orders: watch::Receiver<Orders>,
    state: Arc<EndpointState>,
    changed: Arc<Notify>,
) {
    loop {
        let upstream = Arc::clone(&orders.borrow_and_update().upstream);
        let Some(settings) = &upstream.check else { return };
        if check_once(&upstream, &state, settings).await {
            changed.notify_one();
        }
        drop(upstream);
        if !wait(&mut orders, &state).await {
            return;
        }
    }
}

/// Waits until the next check is due. Whether there is one.
async fn wait(orders: &mut watch::Receiver<Orders>, state: &EndpointState) -> bool {
    let last = Instant::now();
    // A tenth earlier or later, so that checks of many balancers spread.
    let spread = 0.9 + fastrand::f64() * 0.2;
    loop {
        let pause = match &orders.borrow_and_update().upstream.check {
            Some(settings) => pause(settings, state).mul_f64(spread),
            None => return false,
        };
        tokio::select! {
            () = sleep(pause.saturating_sub(last.elapsed())) => return true,
            // A failure of a real request asks for a check at once.
            () = state.check_now.notified() => return true,
            // Other orders: the pause may be another.
            ordered = orders.changed() => if ordered.is_err() { return false },
        }
    }
}

fn pause(settings: &CheckSettings, state: &EndpointState) -> Duration {
    if state.health.is_failing() { settings.failing_interval } else { settings.interval }
}

/// Whether its health is another now.
async fn check_once(upstream: &Upstream, state: &EndpointState, settings: &CheckSettings) -> bool {
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
    transition.is_some()
}
