//! An attempt: a lease on an endpoint, and what is counted of the connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LiveUpstream;
use super::exchange::Exchange;
use crate::observe::UpstreamSeries;
use crate::policy::Timeouts;
use crate::response::Cause;
use crate::upstream::{CircuitOpen, Outcome, Placement, Unavailable, Upstream};

/// What the first round may take beyond the timeouts in it.
const FIRST_ROUND_SLACK: Duration = Duration::from_secs(1);

/// How long the answer to a body of so many bytes takes says something about the
/// endpoint.
const SMALL_BODY: u64 = 64 * 1024;

/// Requests wait until every name has been looked up, every Service listed and every
/// endpoint checked once; the timeouts of all three bound that.
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
    if upstream.services().next().is_some() {
        bound += upstream.kubernetes.timeout;
    }
    // Err: whoever is healthy by now is used, and nobody is an answer too.
    let _ = tokio::time::timeout(bound.min(remaining), first_round.wait()).await;
}

/// Why an attempt did not begin.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// There is none.
    Refused(Cause),
    /// Every endpoint is full: see [`wait_for_place`].
    Full,
}

/// Whether a request may pass those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Last,
    First,
}

/// Takes a lease on an endpoint; the attempt begins. What is left of
/// `timeouts.request`.
pub(super) fn begin(
    exchange: &mut Exchange,
    target: &LiveUpstream,
    timeouts: &Timeouts,
) -> Result<Duration, NotBegun> {
    // Given back before another is taken: an endpoint is never counted twice.
    exchange.lease = None;
    begin_in(Turn::Last, exchange, target, timeouts)
}

fn begin_in(
    turn: Turn,
    exchange: &mut Exchange,
    target: &LiveUpstream,
    timeouts: &Timeouts,
) -> Result<Duration, NotBegun> {
    let now = Instant::now();
    let remaining = exchange.remaining(timeouts.request, now);
    if remaining.is_zero() {
        return Err(NotBegun::Refused(Cause::RequestTimeout));
    }
    let upstream = &target.upstream;
    exchange.reported = None;
    // What an earlier probe came to was reported, or nobody will know.
    exchange.probe = None;
    exchange.probe = upstream.admit(now).map_err(|CircuitOpen(wait)| {
        exchange.retry_after = Some(wait);
        NotBegun::Refused(Cause::CircuitOpen)
    })?;
    let placement = Placement { random: fastrand::u64(..), key: exchange.placement_key, now };
    let lease = match turn {
        Turn::Last => upstream.lease(placement, &exchange.tried),
        Turn::First => upstream.lease_in_turn(placement, &exchange.tried),
    };
    let lease = lease.map_err(|unavailable| {
        exchange.probe = None;
        match unavailable {
            Unavailable::NoEndpoint => NotBegun::Refused(Cause::NoHealthyEndpoint),
            Unavailable::Full => NotBegun::Full,
        }
    })?;
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

/// Every endpoint is full: waits in the queue of the upstream, if it has one and
/// there is room, until the attempt has begun or `left` says that the client has
/// left.
pub(super) async fn wait_for_place(
    exchange: &mut Exchange,
    target: &LiveUpstream,
    timeouts: &Timeouts,
    left: impl Future<Output = ()>,
) -> Result<Duration, Cause> {
    let LiveUpstream { upstream, series: UpstreamSeries { queue: series, .. }, .. } = target;
    let place = upstream.queue.and_then(|settings| {
        let waiting = upstream.shared.queue.enter(settings.size)?;
        Some((waiting, settings.timeout))
    });
    let Some((waiting, timeout)) = place else {
        series.full.inc();
        return Err(Cause::UpstreamQueueFull);
    };
    let now = Instant::now();
    let remaining = exchange.remaining(timeouts.request, now);
    if exchange.deadline.is_none() && exchange.due.is_none() {
        // It counts from here on, as it does when an attempt begins.
        exchange.due = now.checked_add(timeouts.request);
    }
    let picky = !exchange.tried.is_empty();
    let look = || match begin_in(Turn::First, exchange, target, timeouts) {
        Err(NotBegun::Full) => None,
        Err(NotBegun::Refused(cause)) => Some(Err(cause)),
        Ok(remaining) => Some(Ok(remaining)),
    };
    let begun = async {
        match picky {
            true => waiting.wait_beside(look).await,
            false => waiting.wait_for(look).await,
        }
    };
    let (counter, outcome) = tokio::select! {
        biased;
        begun = begun => (&series.served, begun),
        () = left => (&series.left, Err(Cause::ClientClosed)),
        () = tokio::time::sleep(timeout.min(remaining)) => {
            let late = timeout < remaining;
            let cause = if late { Cause::UpstreamQueueTimeout } else { Cause::RequestTimeout };
            (&series.timeout, Err(cause))
        }
    };
    counter.inc();
    outcome
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

/// The head of a response has come, whoever will get it: what it says about the
/// endpoint.
pub(super) fn answered(exchange: &mut Exchange, target: &LiveUpstream, status: u16) {
    if !target.upstream.keeps_outcomes() {
        return;
    }
    let failed = status >= 500
        || exchange.forward().is_some_and(|forward| forward.retry.on.statuses.contains(status));
    let outcome = match failed {
        true => Outcome::Failed,
        // A long upload takes as long as the client does.
        false if exchange.body_received > SMALL_BODY => Outcome::Served(None),
        false => Outcome::Served(Some(exchange.attempt_started.elapsed())),
    };
    report(exchange, &target.upstream, outcome);
}

/// The attempt failed, before a response or in the middle of one.
pub(super) fn failed(exchange: &mut Exchange) {
    let Some(live) = exchange.live.clone() else { return };
    let Some(forward) = exchange.forward() else { return };
    let upstream = &live.upstreams[forward.upstream.index()].upstream;
    match (exchange.reported, &exchange.lease) {
        _ if !upstream.keeps_outcomes() => {}
        (None, _) => report(exchange, upstream, Outcome::Failed),
        (Some(Outcome::Served(_)), Some(lease)) => upstream.report_broken(lease),
        (Some(_), _) => {}
    }
}

/// Once an attempt.
fn report(exchange: &mut Exchange, upstream: &Upstream, outcome: Outcome) {
    let Some(lease) = &exchange.lease else { return };
    exchange.reported = Some(outcome);
    upstream.report(lease, exchange.probe.take(), outcome, Instant::now());
}

/// The head of the response has come: nothing is retried any more.
pub(super) fn responds(exchange: &mut Exchange, target: &LiveUpstream) {
    exchange.responding = true;
    let took = exchange.attempt_started.elapsed();
    exchange.first_byte_time = Some(took);
    target.series.first_byte.observe(took.as_secs_f64());
}
