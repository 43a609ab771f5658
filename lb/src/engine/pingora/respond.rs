//! Answers of our own.

use std::time::Duration;

use ::pingora::Result;
use ::pingora::http::ResponseHeader;
use ::pingora::proxy::Session;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::arrival::connection;
use super::exchange::Exchange;
use crate::response::{Cause, own_response};

/// How much of an unwanted HTTP/2 request body is read: the window we grant.
const SMALL_BODY: usize = 256 * 1024;

/// And for how long.
const SMALL_BODY_PATIENCE: Duration = Duration::from_secs(1);

/// What we answer instead of an endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) cause: Cause,
    /// Instead of the cause's own.
    pub(super) status: Option<StatusCode>,
    pub(super) location: Option<String>,
    pub(super) fields: Vec<(HeaderName, String)>,
}

impl Answer {
    pub(super) fn redirect(status: StatusCode, location: String) -> Self {
        Self { status: Some(status), location: Some(location), ..Cause::Redirect.into() }
    }
}

impl From<Cause> for Answer {
    fn from(cause: Cause) -> Self {
        Self { cause, status: None, location: None, fields: Vec::new() }
    }
}

/// Sends the answer, with the edits of listener, host and route.
pub(super) async fn respond(
    session: &mut Session,
    exchange: &mut Exchange,
    answer: Answer,
) -> Result<()> {
    let Answer { cause, status, location, fields } = answer;
    exchange.cause = Some(cause);
    if let Some(deadline) = &exchange.deadline {
        deadline.disarm();
    }
    let mut own = own_response(cause, status, location.as_deref(), &exchange.request_id);
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            own.headers.insert(name, value);
        }
    }
    let tls = connection(session).is_some_and(|connection| connection.tls);
    if let (Some(live), Some(connection)) = (&exchange.live, connection(session)) {
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
    if !tls {
        own.headers.remove(header::STRICT_TRANSPORT_SECURITY);
    }
    let mut response = ResponseHeader::build(own.status, Some(own.headers.len()))?;
    for (name, value) in &own.headers {
        response.append_header(name, value)?;
    }
    if matches!(own.status, StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED) {
        // Where one request was malformed, the next cannot be trusted to begin
        // where it seems to (nginx closes, too).
        session.set_keepalive(None);
    }
    let head_only = session.req_header().method == Method::HEAD;
    exchange.responding = true;
    session.write_response_header(Box::new(response), head_only).await?;
    if !head_only {
        session.write_response_body(Some(Bytes::from(own.body)), true).await?;
    }
    if session.is_http2() {
        take_in_small_body(session).await;
    }
    Ok(())
}

/// Reads what is left of a small request body. An HTTP/2 stream that is
/// answered before its body came is reset afterwards; that is allowed
/// (RFC 9113 §8.1), but some clients, curl 7.88 among them, then throw the
/// answer away.
async fn take_in_small_body(session: &mut Session) {
    let taking = async {
        let mut taken = 0;
        while taken < SMALL_BODY {
            match session.read_request_body().await {
                Ok(Some(body)) => taken += body.len(),
                Ok(None) | Err(_) => return,
            }
        }
    };
    // Err: the client is slow; it gets the reset.
    let _ = tokio::time::timeout(SMALL_BODY_PATIENCE, taking).await;
}
