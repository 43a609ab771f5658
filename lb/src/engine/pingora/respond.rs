//! Answers of our own.

use ::pingora::Result;
use ::pingora::http::ResponseHeader;
use ::pingora::proxy::Session;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::arrival::connection;
use super::exchange::Exchange;
use crate::response::{Cause, own_response};

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
        snapshot.listeners[connection.listener.0 as usize].response_headers.apply(&mut own.headers);
        match (exchange.route, exchange.host) {
            (Some(route), _) => {
                snapshot.table.route(route).response_headers.apply(&mut own.headers)
            }
            (None, Some(host)) => {
                snapshot.table.host(host).response_headers.apply(&mut own.headers)
            }
            (None, None) => {}
        }
    }
    if !tls {
        own.headers.remove(header::STRICT_TRANSPORT_SECURITY);
    }
    let mut response = ResponseHeader::build(own.status, Some(own.headers.len()))?;
    for (name, value) in &own.headers {
        response.append_header(name, value)?;
    }
    let head_only = session.req_header().method == Method::HEAD;
    exchange.responding = true;
    session.write_response_header(Box::new(response), head_only).await?;
    if !head_only {
        session.write_response_body(Some(Bytes::from(own.body)), true).await?;
    }
    Ok(())
}
