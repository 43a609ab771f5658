//! Answers of our own.

use std::time::Duration;

use ::pingora::Result;
use ::pingora::http::ResponseHeader;
use ::pingora::proxy::Session;
use bytes::Bytes;
use http::Method;

use crate::engine::answer::{Answer, ends_connection};
use crate::engine::exchange::Exchange;

/// How much of an unwanted HTTP/2 request body is read: the window we grant.
const SMALL_BODY: usize = 256 * 1024;

/// And for how long.
const SMALL_BODY_PATIENCE: Duration = Duration::from_secs(1);

/// Sends the answer, with the edits of listener, host and route.
pub(super) async fn respond(
    session: &mut Session,
    exchange: &mut Exchange,
    answer: Answer,
) -> Result<()> {
    if let Some(deadline) = &exchange.deadline {
        deadline.disarm();
    }
    let own = answer.into_response(exchange);
    let mut response = ResponseHeader::build(own.status, Some(own.headers.len()))?;
    for (name, value) in &own.headers {
        response.append_header(name, value)?;
    }
    if ends_connection(own.status) {
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
