//! When an attempt fails: whom it counts against, and whether there is another.

use std::fmt::Display;
use std::time::Instant;

use super::exchange::Exchange;
use crate::policy::Retry;
use crate::response::{Cause, Fault};

/// A failure by the part of the exchange it hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection: nothing was sent.
    Connect,
    /// The connection broke.
    Reset,
    /// Nothing came in time.
    Timeout,
    /// Anything that sending again does not mend.
    Final,
}

/// What of a request could be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeat {
    /// All that came of its body is still held.
    pub(super) held: bool,
    /// RFC 9110 §9.2.2: repeating it is the same as sending it once.
    pub(super) idempotent: bool,
}

impl Repeat {
    /// Whether it may be sent again though an endpoint may have acted on it.
    pub(super) fn is_harmless(self) -> bool {
        self.held && self.idempotent
    }
}

/// Counts the failure against the endpoint: once for each request.
pub(super) fn blame(exchange: &mut Exchange, cause: Cause, error: &dyn Display) {
    if cause.fault() != Fault::Upstream {
        return;
    }
    let (Some(lease), Some(live), Some(forward)) =
        (&exchange.lease, &exchange.live, exchange.forward())
    else {
        return;
    };
    let index = lease.index();
    if !exchange.tried.contains(index) {
        let upstream = &live.upstreams[forward.upstream.index()].upstream;
        upstream.record_failure(lease, Instant::now(), cause.name());
        tracing::debug!(endpoint = %lease.endpoint().label(), %error, "attempt failed");
        exchange.tried.insert(index);
    }
}

/// Whether the request may be sent again, and takes it from the budget if so.
pub(super) fn may_retry(exchange: &Exchange, kind: Kind, repeat: Repeat) -> bool {
    let (Some(live), Some(forward)) = (&exchange.live, exchange.forward()) else { return false };
    let Retry { attempts, on } = forward.retry;
    let wanted = match kind {
        Kind::Connect => on.connect_failure,
        Kind::Reset => on.reset,
        Kind::Timeout => on.timeout,
        Kind::Final => false,
    };
    if !wanted
        || exchange.responding
        || exchange.attempts >= u32::from(attempts)
        || exchange.is_overdue(Instant::now())
    {
        return false;
    }
    // Nothing was sent on a connection that never stood; anything else must be
    // harmless to repeat, and its body still at hand.
    let possible = match kind {
        Kind::Connect => repeat.held,
        _ => repeat.is_harmless(),
    };
    if !possible {
        return false;
    }
    let target = &live.upstreams[forward.upstream.index()];
    let granted = target.upstream.withdraw_retry();
    let counter = if granted { &target.series.retries } else { &target.series.retries_refused };
    counter.inc();
    granted
}
