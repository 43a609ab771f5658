//! An attempt: a lease on an endpoint, and what is counted of the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LiveUpstream;
use super::exchange::Exchange;
use crate::policy::Timeouts;
use crate::response::Cause;
use crate::upstream::Placement;

/// What the first round may take beyond the timeouts in it.
const FIRST_ROUND_SLACK: Duration = Duration::from_secs(1);

/// Requests wait until every name has been looked up and every endpoint has been
/// checked once; the timeouts of both bound that.
pub(super) async fn wait_for_first_round(target: &LiveUpstream, remaining: Duration) {
    let upstream = &target.upstream;
    let first_round = &upstream.shared.first_round;
    if first_round.is_over() {
        return;
    }
    let mut bound = FIRST_ROUND_SLACK;
    bound += upstream.check.as_ref().map_or(Duration::ZERO, |check| check.timeout);
    if upstream.has_names() {
        bound += upstream.dns.timeout;
    }
    // Err: whoever is healthy by now is used, and nobody is an answer too.
    let _ = tokio::time::timeout(bound.min(remaining), first_round.wait()).await;
}

/// Takes a lease on an endpoint; the attempt begins. What is left of
/// `timeouts.request`.
pub(super) fn begin(
    exchange: &mut Exchange,
    target: &LiveUpstream,
    timeouts: &Timeouts,
) -> Result<Duration, Cause> {
    // Given back before another is taken: an endpoint is never counted twice.
    exchange.lease = None;
    let now = Instant::now();
    let remaining = exchange.remaining(timeouts.request, now);
    if remaining.is_zero() {
        return Err(Cause::RequestTimeout);
    }
    let placement = Placement { random: fastrand::u64(..), key: exchange.placement_key, now };
    let lease =
        target.upstream.lease(placement, &exchange.tried).map_err(|_| Cause::NoHealthyEndpoint)?;
    exchange.last_endpoint = Some(Arc::clone(lease.endpoint()));
    exchange.lease = Some(lease);
    exchange.attempts += 1;
    // What was read of the body is counted again, from the first byte.
    exchange.body_received = 0;
    exchange.attempt_started = now;
    exchange.connected = false;
    exchange.connect_time = None;
    Ok(remaining)
}

/// The connection stands. A new one took time.
pub(super) fn connected(exchange: &mut Exchange, target: &LiveUpstream, reused: bool) {
    exchange.connected = true;
    if !reused {
        let took = exchange.attempt_started.elapsed();
        target.series.connect.observe(took.as_secs_f64());
        exchange.connect_time = Some(took);
    }
}

/// The head of the response has come: nothing is retried any more.
pub(super) fn responds(exchange: &mut Exchange, target: &LiveUpstream) {
    exchange.responding = true;
    let took = exchange.attempt_started.elapsed();
    exchange.first_byte_time = Some(took);
    target.series.first_byte.observe(took.as_secs_f64());
}
