//! The PROXY protocol towards endpoints: who the client is, before anything else.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use ::pingora::connectors::l4::Connect;
use ::pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use ::pingora::protocols::l4::stream::Stream;
use ::pingora::upstreams::peer::HttpPeer;
use ::pingora::{Error, ErrorType, Result};
use async_trait::async_trait;
use nix::errno::Errno;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::engine::{Ends, LiveUpstream};
use crate::request::proxy_protocol::write_v2;

/// Has connections for `peer` begin with a header, and shares them with
/// nobody of whom the header would be untrue.
pub(super) fn announce(
    peer: &mut HttpPeer,
    target: &LiveUpstream,
    ends: Option<Ends>,
    client: IpAddr,
) {
    let addresses = ends.and_then(|ends| ends.proxied(client));
    let mut header = Vec::with_capacity(64);
    write_v2(&mut header, addresses);
    peer.group_key =
        target.upstream.shared.header_keys.hash_one((target.upstream.shared.id, &header));
    peer.options.custom_l4 = Some(Arc::new(Announced { header }));
}

/// Connects and says who the client is.
#[derive(Debug)]
struct Announced {
    header: Vec<u8>,
}

#[async_trait]
impl Connect for Announced {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        match address {
            PeerAddress::Inet(address) => {
                let stream = TcpStream::connect(address).await.map_err(refused)?;
                self.announce(stream).await.map(Stream::from)
            }
            PeerAddress::Unix(address) => {
                let path = address.as_pathname().ok_or_else(|| {
                    Error::explain(ErrorType::ConnectNoRoute, "the endpoint has no path")
                })?;
                let stream = UnixStream::connect(path).await.map_err(refused)?;
                self.announce(stream).await.map(Stream::from)
            }
        }
    }
}

impl Announced {
    async fn announce<S: AsyncWrite + Unpin>(&self, mut stream: S) -> Result<S> {
        stream.write_all(&self.header).await.map_err(refused)?;
        Ok(stream)
    }
}

fn refused(error: std::io::Error) -> Box<Error> {
    // Our own want of ports or descriptors is told apart, as Pingora does.
    let kind = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => ErrorType::SocketError,
        Some(Errno::EADDRNOTAVAIL) => ErrorType::BindError,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "cannot connect", error)
}
