//! A new connection to an endpoint: socket, PROXY header, TLS.

use std::hash::BuildHasher;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Open, Socket, Stream};
use super::failure::Failure;
use crate::engine::retry::Kind;
use crate::engine::{Ends, LiveUpstream};
use crate::request::proxy_protocol::write_v2;
use crate::response::Cause;
use crate::upstream::{EndpointState, Target, Upstream};

/// Silence before the first probe, the time between two, and how many that
/// nobody answers end the connection.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 3);

/// What a connection begins with, and what tells it from others.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// 0 where all connections to the endpoint are alike.
    pub(super) tag: u64,
    /// A PROXY header, or nothing.
    header: Vec<u8>,
}

impl Start {
    /// For a request of `client` that came in on a connection with these `ends`.
    pub(super) fn new(target: &LiveUpstream, ends: Ends, client: IpAddr) -> Self {
        let upstream = &target.upstream;
        if !upstream.send_proxy && upstream.tls.is_none() {
            return Self::default();
        }
        let mut header = Vec::new();
        if upstream.send_proxy {
            write_v2(&mut header, ends.proxied(client));
        }
        // With another configuration of TLS it is another connection.
        let tls = upstream.tls.as_ref().map(|tls| Arc::as_ptr(&tls.client).addr());
        Self { tag: target.upstream.shared.header_keys.hash_one((tls, &header)), header }
    }
}

/// Connects, within `patience`.
pub(super) async fn dial(
    upstream: &Upstream,
    endpoint: &Arc<EndpointState>,
    start: Start,
    patience: Duration,
) -> Result<Connection, Failure> {
    let Some(target) = endpoint.target() else {
        return Err(Failure::new(
            Cause::UpstreamConnectFailed,
            Kind::Connect,
            "the endpoint's name is not resolved",
        ));
    };
    let connecting = async {
        let socket = connect(&target, &start.header).await.map_err(|e| Failure::connect(&e))?;
        // Counted while it is open, whatever becomes of its handshake.
        let open = Open::new(endpoint);
        let stream = match &upstream.tls {
            None => Stream::Clear(socket),
            Some(tls) => {
                let name = tls.name_for(endpoint.address());
                let name = ServerName::try_from(name).map_err(|error| tls_failed(&error))?;
                let connector = TlsConnector::from(Arc::clone(&tls.client));
                let handshake = connector.connect(name, socket);
                Stream::Tls(Box::new(handshake.await.map_err(|error| tls_failed(&error))?))
            }
        };
        Ok(Connection { stream, tag: start.tag, open })
    };
    match timeout(patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(Failure::new(
            Cause::UpstreamConnectTimeout,
            Kind::Connect,
            "no connection to the endpoint in time",
        )),
    }
}

fn tls_failed(error: &dyn std::error::Error) -> Failure {
    let detail = format!("TLS with the endpoint failed: {error}");
    Failure::new(Cause::UpstreamTlsFailed, Kind::Connect, detail)
}

async fn connect(target: &Target, header: &[u8]) -> io::Result<Socket> {
    let mut socket = match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            // A head and a body that comes later are not to wait for each other.
            stream.set_nodelay(true)?;
            let (idle, interval, count) = PROBES;
            let probes =
                TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(count);
            SockRef::from(&stream).set_tcp_keepalive(&probes)?;
            Socket::Tcp(stream)
        }
        Target::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
    };
    if !header.is_empty() {
        socket.write_all(header).await?;
    }
    Ok(socket)
}
