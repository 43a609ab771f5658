//! A request arrives: what it asks for is read, decided and charged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::pingora::Result;
use ::pingora::http::RequestHeader;
use ::pingora::proxy::Session;
use http::{HeaderName, Method, StatusCode, Version, header};

use super::exchange::Exchange;
use super::respond::Answer;
use crate::engine::{Connection, Deadline, Live, Shared};
use crate::limit::Refusal;
use crate::policy::{self, Action, Client, KeySeed, RequestHead, key_of};
use crate::request::{RequestId, acceptable_request_id, client_address, normalise_path};
use crate::response::Cause;
use crate::snapshot::Limit;
use crate::values::normalise_host;

/// How long an idle connection from a client is kept (nginx: `keepalive_timeout`).
pub const DOWNSTREAM_KEEPALIVE: Duration = Duration::from_secs(75);

/// Between two reads of a request body (nginx: `client_body_timeout`), and
/// between two writes of a response (nginx: `send_timeout`).
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// How long a request body that nobody wants any more is read on.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Fields that Connection cannot take away.
const UNTOUCHABLE: &[&str] = &["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The first thing that happens: the record begins.
pub(super) fn begin(shared: &Shared, session: &mut Session, exchange: &mut Exchange) {
    exchange.started = Instant::now();
    exchange.time = SystemTime::now();
    exchange.live = Some(shared.live());
    exchange.deadline = Deadline::current();
    // Pingora resets this to "for ever" after the first request.
    let keepalive = if shared.is_draining() { None } else { Some(DOWNSTREAM_KEEPALIVE.as_secs()) };
    if session.get_keepalive().is_some() {
        session.set_keepalive(keepalive);
    }
    session.set_read_timeout(Some(CLIENT_PATIENCE));
    session.set_write_timeout(Some(CLIENT_PATIENCE));
    session.set_total_drain_timeout(Some(DRAIN_PATIENCE));
}

/// Decides what happens. `Err` is an answer of our own.
pub(super) fn decide(session: &mut Session, exchange: &mut Exchange) -> Result<(), Answer> {
    let Some(live) = exchange.live.clone() else { return Err(Cause::InternalError.into()) };
    let upgrade = session.is_upgrade_req();
    let connection = connection(session);
    let (peer, tls, listener) = match connection {
        Some(connection) => (connection.peer, connection.tls, connection.listener),
        None => return Err(Cause::InternalError.into()),
    };
    let request = session.req_header();
    identify(&live, request, peer, exchange);

    if request.method == Method::CONNECT {
        return Err(Cause::ConnectRefused.into());
    }
    let target = Target::of(request)?;
    exchange.target = target.origin_form.to_owned();
    exchange.authority = target.authority.unwrap_or_default().to_owned();
    require_sound_fields(request)?;
    let limits = live.snapshot.head_limits;
    if target.origin_form.len() > limits.uri {
        return Err(Cause::UriTooLong.into());
    }
    let header_size: usize =
        request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if header_size > limits.header_size || request.headers.len() > limits.headers {
        return Err(Cause::HeadersTooLarge.into());
    }
    let host = match target.authority {
        Some(authority) => Some(normalise_host(authority).ok_or(Cause::BadHost)?),
        None if request.version == Version::HTTP_10 => None,
        None => return Err(Cause::MissingHost.into()),
    };
    let raw_path = target.origin_form.split('?').next().unwrap_or_default();
    let path = normalise_path(raw_path).map_err(|_| Cause::BadPath)?;

    let head = RequestHead {
        method: request.method.as_str(),
        host: host.as_deref(),
        port: target.authority.and_then(port_of),
        path: &path.path,
        alternative_path: path.alternative.as_deref(),
        target: target.origin_form,
        headers: &request.headers,
    };
    let client = Client { address: exchange.client, listener, tls };
    let table = &live.snapshot.table;
    let verdict = policy::decide(table, &head, &client);
    exchange.host = verdict.host;
    exchange.route = verdict.route;

    for (charge, key) in verdict.charges(table, &head, &client) {
        let limit = &live.snapshot.limits[charge.limit.index()];
        if let Err(refusal) = limit.limiter.charge(key) {
            live.refusals[charge.limit.index()].inc();
            return Err(refused(limit, refusal, charge.status));
        }
    }
    let upstream = match verdict.action {
        Action::Reject(cause) => return Err(cause.into()),
        Action::Redirect { status, location } => return Err(Answer::redirect(status, location)),
        Action::Forward(upstream) => upstream,
    };
    if let Some(concurrency) =
        verdict.route.and_then(|route| table.route(route).concurrency.as_ref())
    {
        let key = key_of(&concurrency.key, &head, &client, table.key_seed());
        let permit =
            live.snapshot.concurrency[concurrency.id.index()].acquire(key, concurrency.limit);
        exchange.permit = Some(permit.ok_or_else(|| Answer {
            status: Some(concurrency.status),
            ..Cause::ConcurrencyLimited.into()
        })?);
    }
    let hash_key = &live.upstreams[upstream.index()].upstream.hash_key;
    if !hash_key.is_empty() {
        exchange.placement_key = key_of(hash_key, &head, &client, KeySeed::STABLE).0 as u64;
    }
    read_body_facts(request, upgrade, exchange)?;
    if exchange.upgrade {
        // Either side of a tunnel may be silent as long as the route says.
        let patience = exchange.forward().map(|forward| forward.timeouts.read);
        session.set_read_timeout(patience);
        session.set_write_timeout(exchange.forward().map(|forward| forward.timeouts.send));
    }
    Ok(())
}

/// What is known of the connection.
pub(super) fn connection(session: &Session) -> Option<&Connection> {
    let digest = session.digest()?.proxy_digest.as_ref()?;
    digest.user_data.as_ref()?.downcast_ref::<Arc<Connection>>().map(|connection| &**connection)
}

/// Whose request it is, and its id.
fn identify(live: &Live, request: &RequestHeader, peer: IpAddr, exchange: &mut Exchange) {
    let forwarded_for = request.headers.get_all(FORWARDED_FOR);
    let lines = forwarded_for.iter().rev().map(|value| value.as_bytes());
    let found = client_address(peer, &live.snapshot.trusted_proxies, lines);
    exchange.client = found.client;
    exchange.peer_trusted = found.peer_trusted;

    let sent = request.headers.get(REQUEST_ID).filter(|_| found.peer_trusted);
    exchange.request_id = match sent.and_then(|id| id.to_str().ok()) {
        Some(id) if acceptable_request_id(id.as_bytes()) => id.to_owned(),
        _ => RequestId::from_random(fastrand::u128(..)).as_str().to_owned(),
    };
}

/// Refuses fields that two readers may take for two different things, before an
/// endpoint is troubled with them.
fn require_sound_fields(request: &RequestHeader) -> Result<(), Cause> {
    // RFC 9110 §8.6 lets a list of equal lengths pass; nobody honest sends one.
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
        if !digits || lengths.next().is_some() {
            return Err(Cause::BadRequest);
        }
    }
    // Pingora refuses these only when a connection to an endpoint stands.
    let nominated = request.headers.get_all(header::CONNECTION);
    for token in nominated.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let token = token.trim_ascii();
        if token.is_empty() {
            continue;
        }
        let name = HeaderName::from_bytes(token).map_err(|_| Cause::BadRequest)?;
        if UNTOUCHABLE.contains(&name.as_str()) {
            return Err(Cause::BadRequest);
        }
    }
    Ok(())
}

/// What a request asks for, whatever form it came in (RFC 9112 §3.2).
struct Target<'r> {
    /// Path and query.
    origin_form: &'r str,
    /// Host and port: `:authority`, the authority of the absolute form, or Host.
    authority: Option<&'r str>,
}

impl<'r> Target<'r> {
    fn of(request: &'r RequestHeader) -> Result<Self, Cause> {
        let raw = std::str::from_utf8(request.raw_path()).map_err(|_| Cause::BadPath)?;
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Cause::BadPath);
        }
        let host = match request.headers.get(header::HOST) {
            Some(host) => Some(host.to_str().map_err(|_| Cause::BadHost)?),
            None => None,
        };
        if raw.starts_with('/') || raw == "*" {
            let authority = request.uri.authority().map(http::uri::Authority::as_str).or(host);
            return Ok(Self { origin_form: raw, authority });
        }
        // RFC 9112 §3.2: HTTP/1.1 sends Host beside the absolute form, too.
        if host.is_none() && request.version == Version::HTTP_11 {
            return Err(Cause::MissingHost);
        }
        let (_scheme, rest) = raw.split_once("://").ok_or(Cause::BadPath)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // RFC 9112 §3.2.2 has the target win over Host; two that differ are a
        // smuggling attempt or a defect.
        if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
            return Err(Cause::BadHost);
        }
        let origin_form = match path {
            "" => "/",
            path if path.starts_with('/') => path,
            _ => return Err(Cause::BadPath),
        };
        Ok(Self { origin_form, authority: Some(authority) })
    }
}

fn port_of(authority: &str) -> Option<u16> {
    let (_, port) = authority.rsplit_once(':')?;
    port.parse().ok()
}

/// Body limit, upgrade, gRPC.
fn read_body_facts(
    request: &RequestHeader,
    upgrade: bool,
    exchange: &mut Exchange,
) -> Result<(), Cause> {
    let Some(forward) = exchange.forward() else { return Ok(()) };
    let (websocket, body_limit) = (forward.websocket, forward.body_limit);
    exchange.upgrade = upgrade && websocket;
    exchange.grpc = request
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let announced = request
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if !exchange.grpc && announced.is_some_and(|length| length > body_limit) {
        return Err(Cause::BodyTooLarge);
    }
    Ok(())
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

/// 429 with Retry-After and the fields of draft-ietf-httpapi-ratelimit-headers-10.
fn refused(limit: &Limit, refusal: Refusal, status: StatusCode) -> Answer {
    let seconds = refusal.retry_after.as_millis().div_ceil(1000).max(1);
    let rate = limit.limiter.rate();
    let (name, quota, window) = (&limit.name, rate.count(), rate.window().as_secs());
    Answer {
        status: Some(status),
        fields: vec![
            (header::RETRY_AFTER, seconds.to_string()),
            (
                HeaderName::from_static("ratelimit-policy"),
                format!("\"{name}\";q={quota};w={window}"),
            ),
            (HeaderName::from_static("ratelimit"), format!("\"{name}\";r=0;t={seconds}")),
        ],
        ..Cause::RateLimited.into()
    }
}
