//! The bytes of a connection: TCP or a Unix socket, in clear or in TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::accept::Held;
use super::gate::Admission;
use crate::engine::lane::ClientStream;

/// What a connection is read from and written to.
#[derive(Debug)]
pub(super) enum Transport {
    Clear(Raw),
    Tls(Box<TlsStream<Raw>>),
}

/// A socket, and what was read off it to see what it speaks.
#[derive(Debug)]
pub(super) struct Raw {
    socket: Socket,
    /// Comes before what the socket has; nothing almost always.
    prefix: Option<Box<Bytes>>,
    /// Given back when the socket is closed, however long that takes.
    held: Held,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Raw {
    pub(super) fn tcp(stream: TcpStream, held: Held) -> Self {
        Self { socket: Socket::Tcp(stream), prefix: None, held }
    }

    pub(super) fn unix(stream: UnixStream, held: Held) -> Self {
        Self { socket: Socket::Unix(stream), prefix: None, held }
    }

    /// Its right to be connected.
    pub(super) fn admission(&mut self) -> &mut Admission {
        &mut self.held.admission
    }

    /// Puts bytes back before what was put back already, and what the socket has.
    pub(super) fn put_back(&mut self, mut bytes: BytesMut) {
        if let Some(later) = self.prefix.take() {
            bytes.extend_from_slice(&later);
        }
        self.prefix = (!bytes.is_empty()).then(|| Box::new(bytes.freeze()));
    }
}

impl Transport {
    /// Has the connection end with a reset instead of a clean end. TLS has no clean
    /// end without its notification.
    pub(super) fn reset(&self) {
        if let Socket::Tcp(stream) = &self.raw().socket {
            // Err: it is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn raw(&self) -> &Raw {
        match self {
            Self::Clear(raw) => raw,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl ClientStream for Transport {
    /// TLS included.
    fn acknowledged(&self) -> Option<u64> {
        match &self.raw().socket {
            Socket::Tcp(stream) => super::socket::acknowledged(stream),
            Socket::Unix(_) => None,
        }
    }

    fn in_clear(&self) -> Option<&TcpStream> {
        match self {
            Self::Clear(Raw { socket: Socket::Tcp(stream), prefix: None, .. }) => Some(stream),
            Self::Clear(_) | Self::Tls(_) => None,
        }
    }

    fn is_reset(&self) -> bool {
        let error = match &self.raw().socket {
            Socket::Tcp(stream) => stream.take_error(),
            Socket::Unix(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }
}

macro_rules! socket {
    ($self:expr, $method:ident($($argument:expr),*)) => {
        match &mut $self.socket {
            Socket::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Socket::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Raw {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(prefix) = &mut self.prefix else {
            return socket!(self, poll_read(cx, buf));
        };
        let length = prefix.len().min(buf.remaining());
        buf.put_slice(&prefix[..length]);
        prefix.advance(length);
        if prefix.is_empty() {
            self.prefix = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Raw {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        socket!(self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        socket!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        socket!(self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(socket!(self, poll_shutdown(cx))).or_else(gone_already).into()
    }
}

/// Shutting down what the peer has closed is no failure.
fn gone_already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}

macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Transport::Clear(raw) => Pin::new(raw).$method($($argument),*),
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
            Self::Clear(raw) => raw.is_write_vectored(),
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
