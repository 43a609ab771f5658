//! The stream of a connection from a client, as engines get it.

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::pingora::http::ResponseHeader;
use ::pingora::protocols::l4::socket::SocketAddr;
use ::pingora::protocols::raw_connect::ProxyDigest;
use ::pingora::protocols::tls::SslDigest;
use ::pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest,
    Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::linger;
use super::socket::Accepted;
use crate::engine::Connection;

/// What is gathered before it is written: the head of a response and a small
/// body leave in one segment.
const WRITE_BUFFER: usize = 4096;

/// The transport under a connection.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Transport>>),
}

impl From<Accepted> for Transport {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::Tcp(stream, _) => Self::Tcp(stream),
            Accepted::Unix(stream) => Self::Unix(stream),
        }
    }
}

impl Accepted {
    /// Who is there; the loopback address on a Unix socket.
    pub(super) fn peer(&self) -> IpAddr {
        match self {
            Self::Tcp(_, peer) => peer.ip().to_canonical(),
            Self::Unix(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Transport {
    fn raw(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.raw(),
        }
    }
}

/// A connection from a client, with what engines want to know of it.
#[derive(Debug)]
pub(super) struct EdgeStream {
    /// `None` only while it is being dropped.
    io: Option<BufWriter<Transport>>,
    connection: Arc<Connection>,
    proxy: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    tls: Option<Arc<SslDigest>>,
}

impl EdgeStream {
    pub(super) fn new(transport: Transport, connection: Arc<Connection>) -> io::Result<Self> {
        let head =
            ResponseHeader::build(200, None).map_err(|_| io::Error::other("no response header"))?;
        let user_data: Box<dyn Any + Send + Sync> = Box::new(Arc::clone(&connection));
        let socket = SocketDigest::from_raw_fd(transport.raw());
        let peer = std::net::SocketAddr::new(connection.peer, 0);
        let _ = socket.peer_addr.set(Some(SocketAddr::Inet(peer)));
        let tls = match &transport {
            Transport::Tls(stream) => {
                let session = stream.get_ref().1;
                let version = session
                    .protocol_version()
                    .map_or(String::new(), |version| format!("{version:?}"));
                let cipher = session
                    .negotiated_cipher_suite()
                    .map_or(String::new(), |suite| format!("{:?}", suite.suite()));
                Some(Arc::new(SslDigest::new(cipher, version, None, None, Vec::new())))
            }
            Transport::Tcp(_) | Transport::Unix(_) => None,
        };
        Ok(Self {
            io: Some(BufWriter::with_capacity(WRITE_BUFFER, transport)),
            connection,
            proxy: Arc::new(ProxyDigest::new(Box::new(head), Some(user_data))),
            socket: Arc::new(socket),
            tls,
        })
    }

    /// What Pingora wants to know of an HTTP/2 connection.
    pub(super) fn digest(&self) -> Arc<Digest> {
        Arc::new(Digest {
            ssl_digest: self.tls.clone(),
            timing_digest: Vec::new(),
            proxy_digest: Some(Arc::clone(&self.proxy)),
            socket_digest: Some(Arc::clone(&self.socket)),
        })
    }

    fn io(self: Pin<&mut Self>) -> io::Result<Pin<&mut BufWriter<Transport>>> {
        match &mut self.get_mut().io {
            Some(io) => Ok(Pin::new(io)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for EdgeStream {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        if self.connection.lingers() {
            linger::close(io);
        } else if !io.buffer().is_empty() {
            linger::flush(io);
        }
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for EdgeStream {
    async fn shutdown(&mut self) {
        // The peer may be gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for EdgeStream {
    fn id(&self) -> UniqueIDType {
        self.io.as_ref().map_or(-1, |io| io.get_ref().raw())
    }
}

impl Ssl for EdgeStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        None
    }
}

impl GetTimingDigest for EdgeStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for EdgeStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.proxy))
    }
}

impl GetSocketDigest for EdgeStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl Peek for EdgeStream {}

macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Transport::Unix(stream) => Pin::new(stream).$method($($argument),*),
            Transport::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}
