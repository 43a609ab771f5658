//! When an attempt fails: whom it counts against, and whether there is another.

use std::fmt::Display;
use std::io;
use std::time::Instant;

use rustls::AlertDescription;

use super::exchange::Exchange;
use crate::policy::Retry;
use crate::response::{Cause, Fault};

/// What a server says that does not like a client or its certificate (RFC 8446
/// §6.2).
const REFUSALS: &[AlertDescription] = &[
    AlertDescription::HandshakeFailure,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::CertificateRequired,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::DecryptError,
];

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
    if !exchange.tried.contains(lease.endpoint()) {
        let upstream = &live.upstreams[forward.upstream.index()].upstream;
        upstream.record_failure(lease, Instant::now(), cause.name());
        tracing::debug!(endpoint = %lease.endpoint().label(), %error, "attempt failed");
        exchange.tried.insert(lease.endpoint());
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

/// In TLS 1.3 a client is done before the server has seen its certificate, so
/// that a refusal comes when the request is on its way. Nobody has read that.
pub(super) fn is_refused_handshake(error: &io::Error) -> bool {
    // By its text: h2 passes on nothing else.
    let text = error.to_string();
    REFUSALS.iter().any(|alert| text == rustls::Error::AlertReceived(*alert).to_string())
}
