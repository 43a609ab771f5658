//! A request arrives: what it asks for is read, decided and charged.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderName, StatusCode, Version, header};

use super::answer::{Answer, Limited};
use super::exchange::Exchange;
use super::message::Message;
use super::{Connection, Live};
use crate::limit::Refusal;
use crate::policy::{self, Action, Client, KeySeed, LimitId, RequestHead, key_of};
use crate::request::{RequestId, acceptable_request_id, client_address, normalise_path};
use crate::response::Cause;
use crate::values::normalise_host;

/// Between two reads of a request body and two writes of a response, where no
/// rate is watched (nginx: `client_body_timeout`, `send_timeout`).
pub(super) const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// Fields that Connection cannot take away.
const UNTOUCHABLE: &[&str] = &["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request has come: the record begins, and what happens to it is decided.
/// `upgrade` says whether it asks to switch protocols.
pub(super) fn arrive<M: Message>(
    live: Arc<Live>,
    connection: &Arc<Connection>,
    message: &M,
    upgrade: bool,
    started: (Instant, SystemTime),
) -> Box<Exchange> {
    let mut exchange = begin(live, connection, started);
    if let Err(answer) = decide(connection, message, upgrade, &mut exchange) {
        exchange.answer = Some(answer);
    }
    exchange
}

/// The record of an exchange of which nothing is known yet.
pub(super) fn begin(
    live: Arc<Live>,
    connection: &Arc<Connection>,
    (started, time): (Instant, SystemTime),
) -> Box<Exchange> {
    let mut exchange = Exchange::blank();
    exchange.connection = Some(Arc::clone(connection));
    exchange.live = Some(live);
    exchange.client = connection.ends.peer;
    exchange.client_text.push_str(&connection.peer_text);
    exchange.request_id.push_str(RequestId::from_random(fastrand::u128(..)).as_str());
    (exchange.started, exchange.time) = (started, time);
    exchange
}

/// Decides what happens. `Err` is an answer of our own.
fn decide<M: Message>(
    connection: &Connection,
    message: &M,
    upgrade: bool,
    exchange: &mut Exchange,
) -> Result<(), Answer> {
    let Some(live) = exchange.live.clone() else { return Err(Cause::InternalError.into()) };
    identify(&live, message, connection.ends.peer, exchange);

    if message.method() == "CONNECT" {
        return Err(Cause::ConnectRefused.into());
    }
    let target = Target::of(message)?;
    target.origin_form.clone_into(&mut exchange.target);
    target.authority.unwrap_or_default().clone_into(&mut exchange.authority);
    require_sound_fields(message)?;
    let limits = live.snapshot.head_limits;
    if target.origin_form.len() > limits.uri {
        return Err(Cause::UriTooLong.into());
    }
    let (size, lines) = message.size();
    if size > limits.header_size || lines > limits.headers {
        return Err(Cause::HeadersTooLarge.into());
    }
    let host = match target.authority {
        Some(authority) => Some(normalise_host(authority).ok_or(Cause::BadHost)?),
        None if message.version() == Version::HTTP_10 => None,
        None => return Err(Cause::MissingHost.into()),
    };
    let raw_path = target.origin_form.split('?').next().unwrap_or_default();
    let path = normalise_path(raw_path).map_err(|_| Cause::BadPath)?;

    let head = RequestHead {
        method: message.method(),
        host: host.as_deref(),
        port: target.authority.and_then(port_of),
        path: &path.path,
        alternative_path: path.alternative.as_deref(),
        target: target.origin_form,
        headers: message,
    };
    let client = Client {
        address: exchange.client,
        listener: connection.era.listener(),
        tls: connection.tls,
    };
    let table = &live.snapshot.table;
    let verdict = policy::decide(table, &head, &client);
    exchange.host = verdict.host;
    exchange.route = verdict.route;

    for (charge, key) in verdict.charges(table, &head, &client) {
        let limit = &live.snapshot.limits[charge.limit.index()];
        if let Err(refusal) = limit.limiter.charge(key) {
            live.refusals[charge.limit.index()].inc();
            return Err(refused(charge.limit, refusal, charge.status));
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
    read_body_facts(message, upgrade, exchange)?;
    Ok(())
}

/// Whose request it is, and its id.
fn identify<M: Message>(live: &Live, message: &M, peer: IpAddr, exchange: &mut Exchange) {
    let name = FORWARDED_FOR;
    let lines = message.last_first(&name);
    let found = client_address(peer, &live.snapshot.trusted_proxies, lines);
    if found.client != peer {
        exchange.client_text.clear();
        // Writing to memory does not fail.
        let _ = write!(exchange.client_text, "{}", found.client);
    }
    exchange.client = found.client;
    exchange.peer_trusted = found.peer_trusted;

    let sent = message.first(&REQUEST_ID).filter(|_| found.peer_trusted);
    if let Some(id) = sent.filter(|id| acceptable_request_id(id))
        && let Ok(id) = std::str::from_utf8(id)
    {
        id.clone_into(&mut exchange.request_id);
    }
}

/// Refuses fields that two readers may take for two different things, before an
/// endpoint is troubled with them.
fn require_sound_fields<M: Message>(message: &M) -> Result<(), Cause> {
    // RFC 9110 §8.6 lets a list of equal lengths pass; nobody honest sends one.
    let mut lengths = message.last_first(&header::CONTENT_LENGTH);
    if let Some(length) = lengths.next() {
        let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        if !digits || lengths.next().is_some() {
            return Err(Cause::BadRequest);
        }
    }
    // Pingora refuses these only when a connection to an endpoint stands.
    let nominated = message.last_first(&header::CONNECTION);
    for token in nominated.flat_map(|line| line.split(|byte| *byte == b',')) {
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
    fn of<M: Message>(message: &'r M) -> Result<Self, Cause> {
        let raw = std::str::from_utf8(message.target()).map_err(|_| Cause::BadPath)?;
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Cause::BadPath);
        }
        let host = match message.first(&header::HOST) {
            Some(host) if host.is_ascii() => {
                Some(std::str::from_utf8(host).map_err(|_| Cause::BadHost)?)
            }
            Some(_) => return Err(Cause::BadHost),
            None => None,
        };
        if raw.starts_with('/') || raw == "*" {
            let authority = message.authority().or(host);
            return Ok(Self { origin_form: raw, authority });
        }
        // RFC 9112 §3.2: HTTP/1.1 sends Host beside the absolute form, too.
        if host.is_none() && message.version() == Version::HTTP_11 {
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
fn read_body_facts<M: Message>(
    message: &M,
    upgrade: bool,
    exchange: &mut Exchange,
) -> Result<(), Cause> {
    let Some(forward) = exchange.forward() else { return Ok(()) };
    let (websocket, body_limit) = (forward.websocket, forward.body_limit);
    let protocols = message.first(&header::UPGRADE).unwrap_or_default();
    exchange.upgrade = upgrade && websocket && tunnelled_protocols(protocols).next().is_some();
    exchange.grpc = message
        .first(&header::CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with(b"application/grpc"));
    let announced = message
        .first(&header::CONTENT_LENGTH)
        .and_then(|length| std::str::from_utf8(length).ok()?.parse::<u64>().ok());
    if !exchange.grpc && announced.is_some_and(|length| length > body_limit) {
        return Err(Cause::BodyTooLarge);
    }
    Ok(())
}

fn refused(limit: LimitId, refusal: Refusal, status: StatusCode) -> Answer {
    let seconds = refusal.retry_after.as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    Answer {
        status: Some(status),
        limited: Some(Limited { limit, seconds }),
        ..Cause::RateLimited.into()
    }
}

/// The protocols of an Upgrade field that a tunnel may be made for: all but
/// HTTP's, whose requests would pass without a look (h2c smuggling).
pub(super) fn tunnelled_protocols(upgrade: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_http = |protocol: &[u8]| {
        [&b"h2"[..], b"http"].iter().any(|http| {
            protocol.get(..http.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(http))
        })
    };
    upgrade
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(move |protocol| !protocol.is_empty() && !is_http(protocol))
}
