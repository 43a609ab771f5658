//! When something fails: whose fault it was, whether to try again, what to say.

use std::io;
use std::time::Instant;

use ::pingora::proxy::{FailToProxy, Session};
use ::pingora::{BError, Error, ErrorSource, ErrorType, Result};

use rustls::AlertDescription;

use super::respond;
use crate::engine::exchange::Exchange;
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
enum Kind {
    /// No connection: nothing was sent.
    Connect,
    /// The connection broke.
    Reset,
    /// Nothing came in time.
    Timeout,
    /// Anything that sending again does not mend.
    Final,
}

/// Ends the exchange with an answer of our own.
pub(super) fn refuse<T>(exchange: &mut Exchange, cause: Cause) -> Result<T> {
    exchange.cause = Some(cause);
    Error::e_explain(ErrorType::HTTPStatus(cause.status()), cause.name())
}

/// A state that cannot be.
pub(super) fn internal<T>(exchange: &mut Exchange, what: &'static str) -> Result<T> {
    exchange.error = Some(what.to_owned());
    refuse(exchange, Cause::InternalError)
}

/// No connection to the endpoint.
pub(super) fn connect_failed(
    session: &mut Session,
    exchange: &mut Exchange,
    mut error: BError,
) -> BError {
    let (cause, kind) = match error.etype() {
        ErrorType::ConnectTimedout if deadline_passed(exchange) => {
            (Cause::RequestTimeout, Kind::Final)
        }
        ErrorType::ConnectTimedout => (Cause::UpstreamConnectTimeout, Kind::Connect),
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::TLSWantX509Lookup
        | ErrorType::InvalidCert => (Cause::UpstreamTlsFailed, Kind::Connect),
        ErrorType::InternalError | ErrorType::BindError | ErrorType::SocketError => {
            // Our own want of ports or descriptors is not the endpoint's fault.
            (Cause::InternalError, Kind::Final)
        }
        _ => (Cause::UpstreamConnectFailed, Kind::Connect),
    };
    blame(exchange, cause, &error);
    let again = may_retry(session, exchange, kind);
    note(exchange, cause, &error, again);
    error.set_retry(again);
    error
}

/// The exchange broke after the connection stood.
pub(super) fn exchange_failed(
    session: &mut Session,
    exchange: &mut Exchange,
    mut error: BError,
    reused: bool,
) -> BError {
    if let Some(deadline) = &exchange.deadline {
        deadline.detach();
    }
    if exchange.cause.is_some() {
        // Decided where it happened: the body was over its limit.
        error.set_retry(false);
        return error;
    }
    let (cause, kind) = match classify(exchange, &error) {
        // Pingora has no time for the body of an HTTP/2 client: an endpoint that
        // waits for the rest of a request is not late.
        (Cause::UpstreamReadTimeout, _)
            if session.is_http2() && !session.as_downstream_mut().is_body_done() =>
        {
            (Cause::ClientBodyTimeout, Kind::Final)
        }
        found => found,
    };
    // A pooled connection that the endpoint closed in the meantime is nobody's
    // fault. What may be repeated is sent again on a new connection, which
    // costs neither an attempt nor the budget.
    let stale = reused && kind == Kind::Reset && !exchange.responding;
    if stale && is_repeatable(session) && exchange.replaced == 0 {
        exchange.replaced += 1;
        exchange.attempts = exchange.attempts.saturating_sub(1);
        error.set_retry(true);
        return error;
    }
    if cause.fault() == Fault::Upstream && cause != Cause::RequestTimeout && !stale {
        blame(exchange, cause, &error);
    }
    let again = may_retry(session, exchange, kind);
    note(exchange, cause, &error, again);
    error.set_retry(again);
    error
}

fn classify(exchange: &Exchange, error: &Error) -> (Cause, Kind) {
    if deadline_passed(exchange) && !exchange.responding {
        return (Cause::RequestTimeout, Kind::Final);
    }
    if let Some(fault) = exchange.connection.as_ref().and_then(|connection| connection.fault()) {
        // The stream knows better than the error that came of it.
        return (fault, Kind::Final);
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
            (Cause::ClientBodyTimeout, Kind::Final)
        }
        (
            ErrorSource::Downstream,
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ConnectionClosed
            | ErrorType::H2Error,
        ) => (Cause::ClientClosed, Kind::Final),
        // What is left is about what the client sent: a broken chunk, a field
        // that cannot be forwarded.
        (ErrorSource::Downstream, _) => (Cause::BadRequest, Kind::Final),
        (ErrorSource::Upstream, _) if exchange.responding => {
            (Cause::UpstreamIncomplete, Kind::Final)
        }
        (ErrorSource::Upstream, _) if is_refused_handshake(error) => {
            (Cause::UpstreamTlsFailed, Kind::Connect)
        }
        (ErrorSource::Upstream, kind) => match kind {
            ErrorType::ReadTimedout => (Cause::UpstreamReadTimeout, Kind::Timeout),
            ErrorType::WriteTimedout => (Cause::UpstreamSendTimeout, Kind::Timeout),
            ErrorType::InvalidHTTPHeader
            | ErrorType::H1Error
            | ErrorType::InvalidH2
            | ErrorType::H2Downgrade => (Cause::UpstreamInvalidResponse, Kind::Final),
            _ => (Cause::UpstreamReset, Kind::Reset),
        },
        (ErrorSource::Internal | ErrorSource::Unset, _) => (Cause::InternalError, Kind::Final),
    }
}

/// In TLS 1.3 a client is done before the server has seen its certificate, so
/// that a refusal comes when the request is on its way. Nobody has read that.
fn is_refused_handshake(error: &Error) -> bool {
    let root = error.root_cause();
    let io = root.downcast_ref::<io::Error>();
    let Some(io) = io.or_else(|| root.downcast_ref::<h2::Error>()?.get_io()) else { return false };
    // By its text: h2 passes on nothing else.
    let text = io.to_string();
    REFUSALS.iter().any(|alert| text == rustls::Error::AlertReceived(*alert).to_string())
}

/// Counts the failure against the endpoint: once for each request.
fn blame(exchange: &mut Exchange, cause: Cause, error: &Error) {
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
fn may_retry(session: &mut Session, exchange: &Exchange, kind: Kind) -> bool {
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
        || deadline_passed(exchange)
    {
        return false;
    }
    // Nothing was sent on a connection that never stood; anything else must be
    // harmless to repeat, and its body still at hand.
    let possible = match kind {
        Kind::Connect => !session.as_ref().retry_buffer_truncated(),
        _ => is_repeatable(session),
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

/// RFC 9110 §9.2.2: repeating an idempotent request is the same as sending it once.
fn is_repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

fn deadline_passed(exchange: &Exchange) -> bool {
    exchange.deadline.as_ref().is_some_and(|deadline| {
        deadline.is_hit()
            || deadline.remaining(Instant::now()).is_some_and(|remaining| remaining.is_zero())
    })
}

fn note(exchange: &mut Exchange, cause: Cause, error: &Error, again: bool) {
    if !again {
        exchange.cause = Some(cause);
        exchange.error = Some(error.to_string());
    }
}

/// The last word on a failed exchange.
pub(super) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    error: &Error,
) -> FailToProxy {
    let cause = exchange.cause.unwrap_or_else(|| classify(exchange, error).0);
    exchange.cause = Some(cause);
    exchange.lease = None;
    if exchange.error.is_none() && cause != Cause::NoHealthyEndpoint {
        exchange.error = Some(error.to_string());
    }
    // A response that began cannot be taken back, and nobody reads one after
    // the client has gone: the connection just ends.
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    if begun || cause == Cause::ClientClosed {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    // Pingora closes the connection after a failed exchange, whatever we return:
    // the client must be told.
    session.set_keepalive(None);
    let _ = respond::respond(session, exchange, cause.into()).await;
    FailToProxy { error_code: cause.status(), can_reuse_downstream: false }
}
