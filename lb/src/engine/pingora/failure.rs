//! When something fails: whose fault it was, whether to try again, what to say.

use std::io;
use std::time::Instant;

use ::pingora::proxy::{FailToProxy, Session};
use ::pingora::{BError, Error, ErrorSource, ErrorType, Result};

use super::respond;
use crate::engine::attempt;
use crate::engine::exchange::Exchange;
use crate::engine::retry::{self, Kind, Repeat, blame, is_refused_handshake, may_retry};
use crate::response::{Cause, Fault};

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
        ErrorType::ConnectTimedout if exchange.is_overdue(Instant::now()) => {
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
    let again = may_retry(exchange, kind, repeat(session));
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
    if std::mem::take(&mut exchange.set_aside) {
        retry::put_aside(exchange);
        error.set_retry(true);
        return error;
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
    if stale && repeat(session).is_harmless() && exchange.replaced == 0 {
        exchange.replaced += 1;
        exchange.attempts = exchange.attempts.saturating_sub(1);
        error.set_retry(true);
        return error;
    }
    if cause.fault() == Fault::Upstream && cause != Cause::RequestTimeout && !stale {
        blame(exchange, cause, &error);
    } else if cause == Cause::RequestTimeout {
        attempt::failed(exchange);
    }
    let again = may_retry(exchange, kind, repeat(session));
    note(exchange, cause, &error, again);
    error.set_retry(again);
    error
}

fn classify(exchange: &Exchange, error: &Error) -> (Cause, Kind) {
    // Cutting closes sockets, which looks like somebody's leaving.
    if exchange.is_cut() {
        return (Cause::DrainTimeout, Kind::Final);
    }
    if exchange.is_overdue(Instant::now()) && !exchange.responding {
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
        (ErrorSource::Upstream, _) if is_refused(error) => {
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

/// Whether the endpoint has refused us in a handshake.
fn is_refused(error: &Error) -> bool {
    let root = error.root_cause();
    let io = root.downcast_ref::<io::Error>();
    io.or_else(|| root.downcast_ref::<h2::Error>()?.get_io()).is_some_and(is_refused_handshake)
}

/// What of the request could be sent again.
pub(super) fn repeat(session: &Session) -> Repeat {
    Repeat {
        held: !session.as_ref().retry_buffer_truncated(),
        idempotent: session.req_header().method.is_idempotent(),
    }
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
    if exchange.error.is_none() && !cause.is_complete() {
        exchange.error = Some(error.to_string());
    }
    // A response that began cannot be taken back, and nobody reads one after
    // the client has gone: the connection just ends. In a tunnel, an answer would
    // be taken for something that the endpoint has said.
    let begun = session
        .response_written()
        .is_some_and(|head| !head.status.is_informational() || session.was_upgraded());
    if begun || cause == Cause::ClientClosed {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    // Pingora closes the connection after a failed exchange, whatever we return:
    // the client must be told.
    session.set_keepalive(None);
    let _ = respond::respond(session, exchange, cause.into()).await;
    FailToProxy { error_code: cause.status(), can_reuse_downstream: false }
}
