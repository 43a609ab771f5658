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
    let mut times = Times { scheduled: Instant::now(), last: Instant::now() };
    let mut due = Due::BySchedule;
    loop {
        let upstream = Arc::clone(&orders.borrow_and_update().upstream);
        let Some(settings) = &upstream.check else { return };
        if check_once(&upstream, &state, settings, due).await {
            changed.notify_one();
        }
        drop(upstream);
        times.last = Instant::now();
        if due == Due::BySchedule {
            times.scheduled = times.last;
        }
        match wait(&mut orders, &state, times).await {
            Some(next) => due = next,
            None => return,
        }
    }
}

/// Why a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Its time has come.
    BySchedule,
    /// A real request has failed. That checks succeed says nothing then: they did
    /// all along.
    OnFailure,
}

/// When checks were over.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The last by schedule.
    scheduled: Instant,
    /// The last of all.
    last: Instant,
}

/// Checks that failures of real requests ask for are no closer: each such failure
/// asks for one.
const CLOSEST: Duration = Duration::from_millis(100);

/// Waits until the next check is due, and says why it is. `None`: there is none.
async fn wait(
    orders: &mut watch::Receiver<Orders>,
    state: &EndpointState,
    times: Times,
) -> Option<Due> {
    // A tenth earlier or later, so that checks of many balancers spread.
    let spread = 0.9 + fastrand::f64() * 0.2;
    loop {
        let pause = match &orders.borrow_and_update().upstream.check {
            Some(settings) => pause(settings, state).mul_f64(spread),
            None => return None,
        };
        // What is in doubt is looked at in short steps from the last look.
        let since = if state.health.is_failing() { times.last } else { times.scheduled };
        let asked = async {
            state.check_now.notified().await;
            sleep(CLOSEST.saturating_sub(times.last.elapsed())).await;
        };
        tokio::select! {
            () = sleep(pause.saturating_sub(since.elapsed())) => return Some(Due::BySchedule),
            // A failure of a real request asks for a check at once.
            () = asked => return Some(Due::OnFailure),
            // Other orders: the pause may be another.
            ordered = orders.changed() => if ordered.is_err() { return None },
        }
    }
}

fn pause(settings: &CheckSettings, state: &EndpointState) -> Duration {
    if state.health.is_failing() { settings.failing_interval } else { settings.interval }
}

/// Whether its health is another now.
async fn check_once(
    upstream: &Upstream,
    state: &EndpointState,
    settings: &CheckSettings,
    due: Due,
) -> bool {
    let result = probe::probe(upstream, state, settings).await;
    let now = Instant::now().into_std();
    let transition = state.health.record_check(result.is_ok(), due, now, settings);
    if transition.is_some() {
        // Those who wait have one more, or nobody to wait for.
        upstream.shared.queue.look_again();
    }
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
