//! An attempt: a lease on an endpoint and a connection to it.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::pingora::protocols::TcpKeepalive;
use ::pingora::proxy::Session;
use ::pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Tracer, Tracing};
use ::pingora::{Error, ErrorType, Result};

use super::{failure, send_proxy};
use crate::engine::exchange::Exchange;
use crate::engine::{Ends, LiveUpstream, attempt};
use crate::policy::{Forward, Timeouts};
use crate::upstream::{EndpointState, Lease, Target};

/// Streams on one connection to an HTTP/2 endpoint.
const STREAMS: usize = 100;

/// Takes a lease and says where to connect.
pub(super) async fn begin(session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
    let Some(live) = exchange.live.clone() else {
        return failure::internal(exchange, "no snapshot");
    };
    let Some(Forward { upstream, timeouts, .. }) = exchange.forward() else {
        return failure::internal(exchange, "no upstream");
    };
    // Not what the route allows: an Upgrade that is no tunnel's must not reach the
    // endpoint, which would take it for one.
    let (upgrade, timeouts) = (exchange.upgrade, *timeouts);
    let target = &live.upstreams[upstream.index()];

    if exchange.attempts == 0 && exchange.replaced == 0 {
        if let Some(deadline) = &exchange.deadline {
            deadline.arm(Instant::now() + timeouts.request);
        }
        let remaining = exchange.remaining(timeouts.request, Instant::now());
        attempt::wait_for_first_round(target, remaining).await;
    }
    let remaining = match attempt::begin(exchange, target, &timeouts) {
        Ok(remaining) => remaining,
        Err(cause) => return failure::refuse(exchange, cause),
    };
    let Some(lease) = &exchange.lease else {
        return failure::internal(exchange, "no lease");
    };
    if let Some(deadline) = &exchange.deadline {
        deadline.uses(lease.endpoint());
    }
    let ends = exchange.connection.as_ref().map(|connection| connection.ends);
    let mut peer = peer(target, lease, upgrade, &timeouts, remaining, (ends, exchange.client));
    let unreusable = !target.upstream.protocol.is_http2() && has_chunked_body(session);
    if let (Ok(peer), true) = (&mut peer, exchange.replaced > 0 || unreusable) {
        // After a stale pooled connection the next one in the pool may be as
        // stale: a key of its own makes this attempt dial, and no idle time
        // keeps what it dialled out of the pool.
        peer.group_key = fastrand::u64(..);
        peer.options.idle_timeout = Some(Duration::ZERO);
    }
    peer.map(Box::new)
}

/// A body of unknown length. After such a body from an HTTP/2 client Pingora
/// ends it twice towards an HTTP/1 endpoint; the endpoint takes the second end
/// for a malformed request, and its 400 would be the answer to whoever uses the
/// connection next. So nobody does.
fn has_chunked_body(session: &mut Session) -> bool {
    !session.req_header().headers.contains_key(http::header::CONTENT_LENGTH)
        && !session.as_downstream_mut().is_body_empty()
}

fn peer(
    target: &LiveUpstream,
    lease: &Lease,
    upgrade: bool,
    timeouts: &Timeouts,
    remaining: Duration,
    (ends, client): (Option<Ends>, IpAddr),
) -> Result<HttpPeer> {
    let upstream = &target.upstream;
    let protocol = upstream.protocol;
    let server_name = upstream
        .tls
        .as_ref()
        .map_or_else(String::new, |tls| tls.name_for(lease.endpoint().address()));
    let mut peer = match lease.endpoint().target() {
        Some(Target::Tcp(address)) => HttpPeer::new(address, protocol.is_tls(), server_name),
        Some(Target::Unix(path)) => {
            // Compilation refuses paths that are not text.
            HttpPeer::new_uds(&path.to_string_lossy(), protocol.is_tls(), server_name)?
        }
        None => {
            return Error::e_explain(
                ErrorType::ConnectNoRoute,
                "the endpoint's name is not resolved",
            );
        }
    };
    peer.group_key = target.upstream.shared.id;
    if upstream.send_proxy {
        send_proxy::announce(&mut peer, target, ends, client);
    }
    peer.options.tracer = Some(Tracer(Box::new(OpenConnection(Arc::clone(lease.endpoint())))));
    let options = &mut peer.options;
    let connect = timeouts.connect.min(remaining);
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    // On HTTP/1 the deadline shuts the socket down by itself. An HTTP/2
    // connection is shared, so the wait for the head is bounded here.
    options.read_timeout =
        Some(if protocol.is_http2() { timeouts.read.min(remaining) } else { timeouts.read });
    options.write_timeout = Some(timeouts.send);
    options.idle_timeout = Some(upstream.idle_timeout);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::from_secs(0),
    });
    options.http_upstream_request_policy = if upgrade {
        HttpUpstreamRequestPolicy::standard()
    } else {
        HttpUpstreamRequestPolicy::deny_upgrades()
    };
    if protocol.is_http2() {
        options.set_http_version(2, 2);
        options.max_h2_streams = STREAMS;
    } else {
        options.set_http_version(1, 1);
    }
    Ok(peer)
}

/// Counts connections to an endpoint where Pingora opens and closes them.
#[derive(Debug)]
struct OpenConnection(Arc<EndpointState>);

impl Tracing for OpenConnection {
    fn on_connected(&self) {
        self.0.connection_opened();
    }

    fn on_disconnected(&self) {
        self.0.connection_closed();
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

/// The connection stands.
pub(super) fn connected(exchange: &mut Exchange, reused: bool, socket: RawFd) {
    let Some(live) = exchange.live.clone() else { return };
    let Some(forward) = exchange.forward() else { return };
    let target = &live.upstreams[forward.upstream.index()];
    if !target.upstream.protocol.is_http2()
        && let Some(deadline) = &exchange.deadline
    {
        deadline.attach(socket);
    }
    attempt::connected(exchange, target, reused);
}
