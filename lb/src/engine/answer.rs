//! Answers of our own: what we say instead of an endpoint.

use std::io::Write as _;
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::exchange::Exchange;
use crate::response::{Cause, OwnResponse, own_response};

/// What we answer instead of an endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) cause: Cause,
    /// Instead of the cause's own.
    pub(super) status: Option<StatusCode>,
    pub(super) location: Option<String>,
    pub(super) fields: Vec<(HeaderName, String)>,
}

impl From<Cause> for Answer {
    fn from(cause: Cause) -> Self {
        Self { cause, status: None, location: None, fields: Vec::new() }
    }
}

impl Answer {
    pub(super) fn redirect(status: StatusCode, location: String) -> Self {
        Self { status: Some(status), location: Some(location), ..Cause::Redirect.into() }
    }

    /// The response, with the edits of listener, host and route; the exchange
    /// takes the cause.
    pub(super) fn into_response(self, exchange: &mut Exchange) -> OwnResponse {
        let Self { cause, status, location, fields } = self;
        exchange.cause = Some(cause);
        let mut own = own_response(cause, status, location.as_deref(), &exchange.request_id);
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                own.headers.insert(name, value);
            }
        }
        let Some(connection) = &exchange.connection else { return own };
        if let Some(live) = &exchange.live {
            let snapshot = &live.snapshot;
            let outer = &snapshot.listeners[connection.listener.0 as usize].response_headers;
            let inner = match (exchange.route, exchange.host) {
                (Some(route), _) => Some(&snapshot.table.route(route).response_headers),
                (None, Some(host)) => Some(&snapshot.table.host(host).response_headers),
                (None, None) => None,
            };
            for edits in [Some(outer), inner].into_iter().flatten() {
                // Err: more fields than a header can have; the answer goes without.
                let _ = edits.apply(&mut own.headers);
            }
        }
        if !connection.tls {
            own.headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
        own
    }
}

/// Whether the connection must end after an answer of this status. Where one
/// request was malformed, the next cannot be trusted to begin where it seems
/// to (nginx closes, too); and a body that is too large is not read to its end.
pub(super) fn ends_connection(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
    )
}

/// An HTTP/1.1 response as bytes.
pub(super) fn to_http1(own: &OwnResponse, head_only: bool, keep_alive: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512 + own.body.len());
    let reason = own.status.canonical_reason().unwrap_or("");
    // Writing to memory does not fail.
    let _ = write!(bytes, "HTTP/1.1 {} {reason}\r\n", own.status.as_u16());
    let _ = write!(bytes, "Date: {}\r\n", httpdate::fmt_http_date(SystemTime::now()));
    for (name, value) in &own.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    // Said both ways, as the engine does: HTTP/1.0 takes silence for "close"
    // (RFC 9112 §9.3).
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let _ = write!(bytes, "Connection: {connection}\r\n\r\n");
    if !head_only {
        bytes.extend_from_slice(own.body.as_bytes());
    }
    bytes
}
