//! What holds for the connections of a listener.

use std::time::Duration;

use super::context::{Context, at};
use crate::config::{self, Path, ProxyProtocolMode};
use crate::snapshot::{
    ConnectionLimits, Connections, Deadlines, KeepaliveProbes, Pace, ProxyProtocol, SocketOptions,
};
use crate::values::Span;

/// The kernel may cap this at net.core.somaxconn (nginx: `backlog`, 511).
const BACKLOG: u32 = 4096;

/// nginx: `http2_max_concurrent_streams`.
const HTTP2_STREAMS: u32 = 128;

/// Bytes a second (Apache: `RequestReadTimeout … MinRate=500`).
const MIN_RATE: u64 = 500;

pub(super) fn connections(
    name: &str,
    written: &config::Listener,
    context: &mut Context<'_>,
) -> Connections {
    let config::Listener {
        bind: _,
        response_headers: _,
        engine,
        tls,
        backlog,
        tcp,
        limits,
        deadlines,
        http2,
        proxy_protocol,
    } = written;
    let path = at!["listeners", name];
    let config::ConnectionLimits { connections, connections_per_client, requests_per_connection } =
        limits.clone().unwrap_or_default();
    let config::Http2 { concurrent_streams } = http2.clone().unwrap_or_default();
    if http2.is_some() && tls.is_none() {
        context.error(path.join("http2"), "http2 only goes with tls: in clear, HTTP/1.1 is spoken");
    }
    Connections {
        socket: socket(backlog.unwrap_or(BACKLOG), tcp.as_ref(), &path.join("tcp"), context),
        limits: ConnectionLimits {
            connections,
            per_client: connections_per_client,
            requests: requests_per_connection,
        },
        deadlines: compile_deadlines(deadlines.as_ref(), &path.join("deadlines"), context),
        http2_streams: concurrent_streams.unwrap_or(HTTP2_STREAMS),
        engine: engine.unwrap_or(config::Engine::Auto),
        proxy_protocol: proxy_protocol
            .as_ref()
            .map(|written| proxy(written, &path.join("proxy_protocol"), context)),
    }
}

fn socket(
    backlog: u32,
    tcp: Option<&config::Tcp>,
    path: &Path,
    context: &mut Context<'_>,
) -> SocketOptions {
    let config::Tcp { keepalive, user_timeout, defer_accept } = tcp.cloned().unwrap_or_default();
    let config::TcpKeepalive { idle, interval, count } = keepalive.unwrap_or_default();
    context.positive(
        path.join("keepalive").join("interval"),
        interval,
        "must be longer than 0s; \"idle: 0s\" turns probes off",
    );
    // The kernel counts in whole seconds.
    for (key, span) in [("idle", idle), ("interval", interval)] {
        whole_seconds(path.join("keepalive").join(key), span, context);
    }
    whole_seconds(path.join("defer_accept"), defer_accept, context);
    let or =
        |span: Option<Span>, seconds| span.map_or(Duration::from_secs(seconds), Span::duration);
    let some = |span: Option<Span>| span.map(Span::duration).filter(|time| !time.is_zero());
    SocketOptions {
        backlog: i32::try_from(backlog).unwrap_or(i32::MAX),
        keepalive: Some(or(idle, 60)).filter(|idle| !idle.is_zero()).map(|idle| KeepaliveProbes {
            idle,
            interval: or(interval, 10),
            count: u32::from(count.unwrap_or(3)),
        }),
        user_timeout: some(user_timeout),
        defer_accept: some(defer_accept),
    }
}

fn whole_seconds(path: Path, span: Option<Span>, context: &mut Context<'_>) {
    if span.is_some_and(|span| span.duration().subsec_nanos() != 0) {
        context.error(path, "must be whole seconds");
    }
}

fn compile_deadlines(
    written: Option<&config::Deadlines>,
    path: &Path,
    context: &mut Context<'_>,
) -> Deadlines {
    let config::Deadlines {
        proxy_header,
        tls_handshake,
        http2_handshake,
        head,
        idle,
        min_rate,
        grace,
    } = written.cloned().unwrap_or_default();
    for (key, span) in [
        ("proxy_header", proxy_header),
        ("tls_handshake", tls_handshake),
        ("http2_handshake", http2_handshake),
        ("head", head),
        ("idle", idle),
    ] {
        context.positive(path.join(key), span, "must be longer than 0s");
    }
    context.positive(
        path.join("grace"),
        grace,
        "must be longer than 0s; \"min_rate: 0B\" lets clients be as slow as they like",
    );
    let or =
        |span: Option<Span>, seconds| span.map_or(Duration::from_secs(seconds), Span::duration);
    Deadlines {
        proxy_header: or(proxy_header, 3),
        tls_handshake: or(tls_handshake, 10),
        http2_handshake: or(http2_handshake, 10),
        head: or(head, 10),
        idle: or(idle, 75),
        pace: Pace {
            min_rate: min_rate.map_or(MIN_RATE, |rate| rate.bytes()),
            grace: or(grace, 10),
        },
    }
}

fn proxy(written: &config::ProxyProtocol, path: &Path, context: &mut Context<'_>) -> ProxyProtocol {
    let config::ProxyProtocol { mode, trusted } = written;
    if trusted.is_empty() {
        context.missing(
            path.join("trusted"),
            "name whose PROXY headers are believed: anybody could claim any address otherwise",
        );
    }
    ProxyProtocol { required: *mode == ProxyProtocolMode::Required, trusted: trusted.clone() }
}
