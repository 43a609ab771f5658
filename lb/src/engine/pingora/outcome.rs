//! The end of an exchange: one record feeds metrics and access log.

use std::sync::Arc;

use ::pingora::Error;
use ::pingora::proxy::Session;
use http::{HeaderName, Version, header};

use super::arrival::connection;
use super::exchange::Exchange;
use crate::engine::Shared;
use crate::observe::{AccessRecord, Millis};
use crate::response::Cause;

/// Records the exchange, once, and gives back what it held.
pub(super) fn record(
    shared: &Shared,
    session: &mut Session,
    exchange: &mut Exchange,
    error: Option<&Error>,
) {
    if let (None, Some(error)) = (exchange.cause, error) {
        // The client left while an answer of our own was on its way.
        exchange.cause = Some(Cause::ClientClosed);
        exchange.error.get_or_insert_with(|| error.to_string());
    }
    let body_done = session.as_downstream_mut().is_body_done();
    if !body_done && let Some(connection) = connection(session) {
        connection.linger();
    }
    let status = session
        .response_written()
        .filter(|response| !response.status.is_informational() || session.was_upgraded())
        .map_or_else(
            || exchange.cause.map_or(Cause::ClientClosed.status(), Cause::status),
            |r| r.status.as_u16(),
        );
    let duration = exchange.started.elapsed();
    if let Some(live) = exchange.live.clone() {
        // A tunnel's life is no measure of how fast requests are served.
        let timed = (!session.was_upgraded()).then_some(duration);
        live.series(exchange.route).record(status, exchange.cause, timed);
        if exchange.route().is_none_or(|route| route.access_log) {
            write_access_line(shared, session, exchange, status, duration);
        }
    }
    exchange.lease = None;
    exchange.permit = None;
}

fn write_access_line(
    shared: &Shared,
    session: &Session,
    exchange: &Exchange,
    status: u16,
    duration: std::time::Duration,
) {
    let request = session.req_header();
    // Bytes beyond ASCII are shown as well as they can be, never left out.
    let field = |name: HeaderName| {
        request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    let authority = || request.uri.authority().map(|authority| authority.as_str().into());
    let host = field(header::HOST).or_else(authority);
    let (user_agent, referer) = (field(header::USER_AGENT), field(header::REFERER));
    let snapshot = exchange.live.as_ref().map(|live| &live.snapshot);
    let endpoint = exchange.endpoint();
    let raw_target = String::from_utf8_lossy(request.raw_path());
    shared.access_log.write(&AccessRecord {
        time: exchange.time,
        request_id: &exchange.request_id,
        client: exchange.client,
        listener: connection(session).map_or("", |connection| &connection.listener_name),
        method: request.method.as_str(),
        host: host.as_deref(),
        target: if exchange.target.is_empty() { &raw_target } else { &exchange.target },
        protocol: match request.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        status,
        cause: exchange.cause.map(Cause::name),
        error: exchange.error.as_deref(),
        bytes_sent: session.body_bytes_sent() as u64,
        bytes_received: session.body_bytes_read() as u64,
        duration_ms: Millis(duration),
        virtual_host: snapshot
            .zip(exchange.host)
            .map(|(snapshot, host)| &*snapshot.table.host(host).name),
        route: exchange.route().map(|route| &*route.name),
        upstream: endpoint.map(|endpoint| &**endpoint.upstream()),
        endpoint: endpoint.map(|endpoint| &**endpoint.label()),
        attempts: exchange.attempts + exchange.replaced,
        upstream_connect_ms: exchange.connect_time.map(Millis),
        upstream_first_byte_ms: exchange.first_byte_time.map(Millis),
        user_agent: user_agent.as_deref(),
        referer: referer.as_deref(),
    });
}

impl Exchange {
    /// The endpoint of the last attempt.
    fn endpoint(&self) -> Option<&Arc<crate::upstream::EndpointState>> {
        self.last_endpoint.as_ref()
    }
}
