//! What passes through: the request towards the endpoint, the response back.

use std::fmt::Write as _;
use std::time::Instant;

use ::pingora::http::{RequestHeader, ResponseHeader};
use ::pingora::proxy::Session;
use ::pingora::{Error, ErrorType, Result};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::arrival::{FORWARDED_FOR, REQUEST_ID, connection};
use super::exchange::Exchange;
use crate::response::{Cause, EditFields};
use crate::values::EndpointAddress;

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that an endpoint believes, so that nobody else may set them. Spelt
/// with `_` some servers take them for the same (nginx drops those too).
const VOUCHED_FOR: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    "forwarded",
];

/// Edits the request that goes to the endpoint. Hop-by-hop fields, and those
/// that Connection names, are gone already.
pub(super) fn edit_request(
    session: &Session,
    request: &mut RequestHeader,
    exchange: &Exchange,
) -> Result<()> {
    let Some(connection) = connection(session) else { return Ok(()) };
    // The absolute form is for proxies (RFC 9112 §3.2.2).
    if request.raw_path() != exchange.target.as_bytes() {
        request.set_raw_path(exchange.target.as_bytes())?;
    }
    drop_look_alikes(request);
    let trusted = exchange.peer_trusted;
    let mut address = String::with_capacity(40);

    // Appended to what a trusted peer sent, instead of what anybody else sent.
    if trusted {
        for line in
            request.headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok())
        {
            let _ = write!(address, "{line}, ");
        }
        let _ = write!(address, "{}", connection.peer.to_canonical());
    } else {
        request.remove_header(&FORWARDED);
        let _ = write!(address, "{}", exchange.client);
    }
    request.insert_header(FORWARDED_FOR, address.as_str())?;
    address.clear();
    let _ = write!(address, "{}", exchange.client);
    request.insert_header(REAL_IP, address.as_str())?;

    if !(trusted && request.headers.contains_key(FORWARDED_PROTO)) {
        request.insert_header(FORWARDED_PROTO, if connection.tls { "https" } else { "http" })?;
    }
    if !(trusted && request.headers.contains_key(FORWARDED_HOST)) {
        let host = request.headers.get(header::HOST).cloned().or_else(|| {
            let authority = request.uri.authority()?;
            HeaderValue::from_str(authority.as_str()).ok()
        });
        match host {
            Some(host) => request.insert_header(FORWARDED_HOST, host)?,
            None => {
                request.remove_header(&FORWARDED_HOST);
                // An HTTP/1.0 request may come without; what we send is
                // HTTP/1.1 or later and may not (nginx: `$proxy_host`).
                if let Some(endpoint) = &exchange.last_endpoint {
                    request.insert_header(header::HOST, authority_of(endpoint.address()))?;
                }
            }
        }
    }
    request.insert_header(REQUEST_ID, exchange.request_id.as_str())?;
    if let Some(forward) = exchange.forward() {
        forward.request_headers.apply(request)?;
    }
    Ok(())
}

/// What to call an endpoint in Host when the client named nobody.
fn authority_of(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Unix(_) => "localhost".to_owned(),
        other => other.to_string(),
    }
}

fn drop_look_alikes(request: &mut RequestHeader) {
    if !request.headers.keys().any(|name| name.as_str().contains('_')) {
        return;
    }
    let look_alikes: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let dashed = name.as_str().replace('_', "-");
            VOUCHED_FOR.contains(&dashed.as_str())
        })
        .cloned()
        .collect();
    for name in look_alikes {
        request.remove_header(&name);
    }
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
    exchange.responding = true;
    if let Some(deadline) = &exchange.deadline {
        deadline.disarm();
    }
    let took = exchange.attempt_started.elapsed();
    exchange.first_byte_time = Some(took);
    let Some(live) = exchange.live.clone() else { return Ok(()) };
    if let Some(forward) = exchange.forward() {
        live.upstreams[forward.upstream.index()].series.first_byte.observe(took.as_secs_f64());
    }
    if !switching {
        remove_hop_by_hop(response);
    }
    let Some(connection) = connection(session) else { return Ok(()) };
    live.snapshot.listeners[connection.listener.0 as usize].response_headers.apply(response)?;
    if let Some(route) = exchange.route() {
        route.response_headers.apply(response)?;
    }
    if !connection.tls {
        response.remove_header(&header::STRICT_TRANSPORT_SECURITY);
    }
    Ok(())
}

/// RFC 9110 §7.6.1. Transfer-Encoding is the engine's own business.
fn remove_hop_by_hop(response: &mut ResponseHeader) {
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
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::UPGRADE] {
        response.remove_header(&name);
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

edit_fields!(RequestHeader);
edit_fields!(ResponseHeader);
