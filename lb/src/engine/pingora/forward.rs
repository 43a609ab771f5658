//! What passes through: the request towards the endpoint, the response back.

use std::time::Instant;

use ::pingora::http::{RequestHeader, ResponseHeader};
use ::pingora::proxy::Session;
use ::pingora::{Error, ErrorType, Result};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Version, header};

use crate::engine::attempt;
use crate::engine::exchange::Exchange;
use crate::engine::forward::{FieldSink, Forwarding};
use crate::response::{Cause, EditFields};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Edits the request that goes to the endpoint. Hop-by-hop fields, and those
/// that Connection names, are gone already.
pub(super) fn edit_request(
    session: &Session,
    request: &mut RequestHeader,
    exchange: &Exchange,
) -> Result<()> {
    require_http2(request, exchange)?;
    // The absolute form is for proxies (RFC 9112 §3.2.2).
    if request.raw_path() != exchange.target.as_bytes() {
        request.set_raw_path(exchange.target.as_bytes())?;
    }
    let sent = session.req_header();
    let Some(forwarding) = Forwarding::new(exchange, sent.version) else { return Ok(()) };
    let dropped: Vec<HeaderName> =
        request.headers.keys().filter(|name| !forwarding.passes(name.as_str())).cloned().collect();
    for name in &dropped {
        request.remove_header(name);
    }
    if request.uri.authority().is_none() && forwarding.lacks_host(sent) {
        request.insert_header(header::HOST, forwarding.host())?;
    }
    join_cookies(request)?;
    forwarding.write(sent, request)
}

impl FieldSink for RequestHeader {
    type Error = ::pingora::BError;

    fn field(&mut self, name: &HeaderName, value: &[u8]) -> Result<()> {
        self.append_header(name, value).map(drop)
    }
}

/// Pingora speaks HTTP/1 with an endpoint that does not choose h2 by ALPN, which
/// health checks do not, and which what we do for HTTP/1 would have to know.
fn require_http2(request: &RequestHeader, exchange: &Exchange) -> Result<()> {
    let (Some(live), Some(forward)) = (&exchange.live, exchange.forward()) else { return Ok(()) };
    let protocol = live.upstreams[forward.upstream.index()].upstream.protocol;
    if !protocol.is_http2() || request.version == Version::HTTP_2 {
        return Ok(());
    }
    Error::e_explain(ErrorType::H1Error, "the endpoint does not speak HTTP/2")
        .map_err(|error: Box<Error>| error.into_up())
}

/// HTTP/2 clients may split Cookie; before HTTP/1.1 its parts are joined again
/// (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let mut lines = request.headers.get_all(header::COOKIE).iter();
    if request.version == Version::HTTP_2 || lines.nth(1).is_none() {
        return Ok(());
    }
    let lines: Vec<&[u8]> =
        request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = lines.join(&b"; "[..]);
    request.insert_header(header::COOKIE, joined.as_slice())
}

/// `Expect: 100-continue` reaches an HTTP/1 endpoint, which answers it. An
/// HTTP/2 endpoint does not see it: we answer ourselves.
pub(super) async fn answer_expectation(session: &mut Session, exchange: &Exchange) -> Result<()> {
    let Some(live) = &exchange.live else { return Ok(()) };
    let Some(forward) = exchange.forward() else { return Ok(()) };
    let request = session.req_header();
    let expects = request
        .headers
        .get(header::EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let http2 = live.upstreams[forward.upstream.index()].upstream.protocol.is_http2();
    if expects && http2 && request.version == Version::HTTP_11 {
        session.write_continue_response().await?;
    }
    Ok(())
}

/// Counts the body of the request against the route's limit.
pub(super) fn count_request_body(body: Option<&Bytes>, exchange: &mut Exchange) -> Result<()> {
    let Some(body) = body else { return Ok(()) };
    exchange.body_received += body.len() as u64;
    let Some(forward) = exchange.forward() else { return Ok(()) };
    let (limit, request_timeout) = (forward.body_limit, forward.timeouts.request);
    let unlimited = exchange.grpc || exchange.upgrade;
    if !unlimited && exchange.body_received > limit {
        exchange.cause = Some(Cause::BodyTooLarge);
        return Error::e_explain(ErrorType::HTTPStatus(413), "the request body is over the limit");
    }
    // An upload that moves is not late: the time until the response head
    // counts from the last byte that came. A replay brings no new byte.
    if exchange.body_received > exchange.body_high_water {
        exchange.body_high_water = exchange.body_received;
        if let Some(deadline) = &exchange.deadline {
            deadline.extend(Instant::now() + request_timeout);
        }
    }
    Ok(())
}

/// Edits the response that goes to the client.
pub(super) fn edit_response(
    session: &Session,
    response: &mut ResponseHeader,
    exchange: &mut Exchange,
) -> Result<()> {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if response.status.is_informational() && !switching {
        return Ok(());
    }
    require_sound(response, exchange)?;
    if let Some(deadline) = &exchange.deadline {
        deadline.disarm();
    }
    let Some(live) = exchange.live.clone() else { return Ok(()) };
    if let Some(forward) = exchange.forward() {
        let target = &live.upstreams[forward.upstream.index()];
        attempt::responds(exchange, target);
    }
    if !switching {
        remove_hop_by_hop(response, session.is_http2());
        // The version is that of a connection, and this one is ours.
        response.set_version(Version::HTTP_11);
    }
    let Some(connection) = &exchange.connection else { return Ok(()) };
    if let Some(listener) = connection.listener(&live) {
        listener.response_headers.apply(response)?;
    }
    if let Some(route) = exchange.route() {
        route.response_headers.apply(response)?;
    }
    if !connection.tls {
        response.remove_header(&header::STRICT_TRANSPORT_SECURITY);
    }
    if session.is_http2() {
        keep_out_of_the_table(response)?;
    }
    Ok(())
}

/// Keeps values out of the table of a connection's header compression (RFC 7541
/// §7.1.3): it would hold the buffer that the head was read into for as long as
/// the connection lives. nginx does not use that table for responses either.
fn keep_out_of_the_table(response: &mut ResponseHeader) -> Result<()> {
    // Only in parts can the values be reached. HTTP/2 has no letter case to lose.
    let blank = ResponseHeader::build_no_case(response.status, None)?;
    let mut parts = http::response::Parts::from(std::mem::replace(response, blank));
    parts.headers.values_mut().for_each(|value| value.set_sensitive(true));
    *response = parts.into();
    Ok(())
}

/// Refuses what Pingora would pass on: a switch of protocols that nobody asked
/// for, and codings that leave the end of the body to guessing.
fn require_sound(response: &ResponseHeader, exchange: &Exchange) -> Result<()> {
    let invalid =
        |why: &'static str| Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        let websocket = response
            .headers
            .get(header::UPGRADE)
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !(exchange.upgrade && websocket) {
            return invalid("the endpoint switches to a protocol that was not asked for");
        }
    }
    let mut codings = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked =
            coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        // RFC 9112 §6.1: HTTP/1.0 has no transfer codings.
        if !chunked || response.version == Version::HTTP_10 {
            return invalid("the endpoint's transfer coding is not understood");
        }
    }
    Ok(())
}

/// RFC 9110 §7.6.1. Transfer-Encoding is the engine's own business.
fn remove_hop_by_hop(response: &mut ResponseHeader, http2: bool) {
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| {
            ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(name)
        })
        .collect();
    for name in nominated {
        response.remove_header(&name);
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::UPGRADE, header::TE] {
        response.remove_header(&name);
    }
    if !http2 {
        // Trailers of HTTP/1 are not passed on, so they are not announced.
        response.remove_header(&header::TRAILER);
    }
    if response.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6, RFC 9112 §6.1: neither belongs to a 204.
        response.remove_header(&header::CONTENT_LENGTH);
        response.remove_header(&header::TRANSFER_ENCODING);
    }
}

/// Pingora's headers keep the letter case of names beside the map.
macro_rules! edit_fields {
    ($header:ty) => {
        impl EditFields for $header {
            type Error = ::pingora::BError;

            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }

            fn set(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()> {
                self.insert_header(name, value)
            }

            fn add(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<()> {
                self.append_header(name, value).map(drop)
            }
        }
    };
}

edit_fields!(ResponseHeader);
