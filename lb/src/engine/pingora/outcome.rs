//! What Pingora knows at the end of an exchange.

use ::pingora::Error;
use ::pingora::proxy::Session;
use http::{HeaderName, Version, header};

use crate::engine::Shared;
use crate::engine::exchange::Exchange;
use crate::engine::record::{self, Facts, Finished};
use crate::response::Cause;

/// Records the exchange, once, and gives back what it held.
pub(super) fn record(
    shared: &Shared,
    session: &mut Session,
    exchange: &mut Exchange,
    error: Option<&Error>,
) {
    let fault = exchange.connection.as_ref().and_then(|connection| connection.fault());
    if let (None, Some(error)) = (exchange.cause, error) {
        // The client left, or was too slow, while an answer was on its way.
        exchange.cause = Some(fault.unwrap_or(Cause::ClientClosed));
        exchange.error.get_or_insert_with(|| error.to_string());
    }
    // Which looks the same; see `failure::classify`.
    if exchange.cause.is_some() && exchange.is_cut() {
        exchange.cause = Some(Cause::DrainTimeout);
    }
    if !session.as_downstream_mut().is_body_done()
        && let Some(connection) = &exchange.connection
    {
        connection.linger();
    }
    let status = session
        .response_written()
        .filter(|response| !response.status.is_informational() || session.was_upgraded())
        .map_or_else(
            || exchange.cause.map_or(Cause::ClientClosed.status(), Cause::status),
            |r| r.status.as_u16(),
        );
    let request = session.req_header();
    // Bytes beyond ASCII are shown as well as they can be, never left out.
    let field = |name: HeaderName| {
        request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    let authority = || request.uri.authority().map(|authority| authority.as_str().into());
    let facts = Facts {
        method: request.method.as_str().into(),
        host: field(header::HOST).or_else(authority),
        raw_target: String::from_utf8_lossy(request.raw_path()),
        protocol: match request.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        user_agent: field(header::USER_AGENT),
        referer: field(header::REFERER),
    };
    let finished = Finished {
        status,
        bytes_sent: session.body_bytes_sent() as u64,
        bytes_received: session.body_bytes_read() as u64,
        tunnel: session.was_upgraded(),
    };
    record::record(shared, exchange, &facts, finished);
}
