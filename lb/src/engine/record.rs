//! The end of an exchange: one record feeds metrics and access log.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::exchange::Exchange;
use crate::observe::AccessRecord;
use crate::response::Cause;

/// What the log says of the request that its exchange does not know.
#[derive(Debug)]
pub(super) struct Facts<'f> {
    pub(super) method: Cow<'f, str>,
    pub(super) host: Option<Cow<'f, str>>,
    /// The target as sent, where no origin form was found.
    pub(super) raw_target: Cow<'f, str>,
    pub(super) protocol: &'static str,
    pub(super) user_agent: Option<Cow<'f, str>>,
    pub(super) referer: Option<Cow<'f, str>>,
}

/// What became of the exchange.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Finished {
    pub(super) status: u16,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// A tunnel's life is no measure of how fast requests are served.
    pub(super) tunnel: bool,
}

/// Records the exchange, once, and gives back what it held. When that was.
pub(super) fn record(
    shared: &Shared,
    exchange: &mut Exchange,
    facts: &Facts<'_>,
    finished: Finished,
) -> Instant {
    let now = Instant::now();
    let duration = now.saturating_duration_since(exchange.started);
    let timed = (!finished.tunnel).then_some(duration);
    if let Some(labels) = exchange.released() {
        labels.series.record(finished.status, exchange.cause, timed);
        if labels.access_log {
            let names = (labels.host.as_deref(), labels.route.as_deref());
            write_access_line(shared, exchange, names, facts, finished, duration);
        }
    } else if let Some(live) = &exchange.live {
        live.series(exchange.route).record(finished.status, exchange.cause, timed);
        let route = exchange.route();
        if route.is_none_or(|route| route.access_log) {
            let host = exchange.host.map(|host| &*live.snapshot.table.host(host).name);
            let names = (host, route.map(|route| &*route.name));
            write_access_line(shared, exchange, names, facts, finished, duration);
        }
    }
    exchange.lease = None;
    exchange.permit = None;
    now
}

fn write_access_line(
    shared: &Shared,
    exchange: &Exchange,
    (virtual_host, route): (Option<&str>, Option<&str>),
    facts: &Facts<'_>,
    finished: Finished,
    duration: std::time::Duration,
) {
    let endpoint = exchange.endpoint();
    shared.access_log.write(&AccessRecord {
        time: exchange.time,
        request_id: &exchange.request_id,
        client: &exchange.client_text,
        listener: exchange.connection.as_ref().map_or("", |connection| connection.era.name()),
        method: &facts.method,
        host: facts.host.as_deref(),
        target: if exchange.target.is_empty() { &facts.raw_target } else { &exchange.target },
        protocol: facts.protocol,
        status: finished.status,
        cause: exchange.cause.map(Cause::name),
        error: exchange.error.as_deref(),
        bytes_sent: finished.bytes_sent,
        bytes_received: finished.bytes_received,
        duration,
        virtual_host,
        route,
        upstream: endpoint.map(|endpoint| &**endpoint.upstream()),
        endpoint: endpoint.map(|endpoint| &**endpoint.label()),
        attempts: exchange.attempts + exchange.replaced,
        upstream_connect: exchange.connect_time,
        upstream_first_byte: exchange.first_byte_time,
        user_agent: facts.user_agent.as_deref(),
        referer: facts.referer.as_deref(),
    });
}

impl Exchange {
    /// The endpoint of the last attempt.
    fn endpoint(&self) -> Option<&Arc<crate::upstream::EndpointState>> {
        self.last_endpoint.as_ref()
    }
}
