//! A connection to an endpoint.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::upstream::EndpointState;

/// A connection to an endpoint, and what it may be used for.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Which requests it may carry; see [`Key`](super::pool::Key).
    pub(super) tag: u64,
    pub(super) open: Open,
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Open(Arc<EndpointState>);

impl Open {
    pub(super) fn new(endpoint: &Arc<EndpointState>) -> Self {
        endpoint.connection_opened();
        Self(Arc::clone(endpoint))
    }

    pub(super) fn endpoint(&self) -> &Arc<EndpointState> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

#[derive(Debug)]
pub(super) enum Stream {
    Clear(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// The socket, if bytes go over it as they are.
    pub(super) fn in_clear(&self) -> Option<&TcpStream> {
        match self {
            Self::Clear(Socket::Tcp(stream)) => Some(stream),
            Self::Clear(Socket::Unix(_)) | Self::Tls(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Whether nothing has come since the last response, not even the end. Costs
    /// no system call: the runtime knows whether there was anything.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match &mut self.stream {
            Stream::Clear(Socket::Tcp(socket)) => is_nothing(&socket.try_read(&mut byte)),
            Stream::Clear(Socket::Unix(socket)) => is_nothing(&socket.try_read(&mut byte)),
            Stream::Tls(stream) => {
                if !tokio::task::coop::has_budget_remaining() {
                    // It would say that nothing has come, whatever has.
                    return false;
                }
                // Session tickets may have come: no data, and read here.
                let mut byte = ReadBuf::new(&mut byte);
                let mut nobody = Context::from_waker(Waker::noop());
                Pin::new(&mut **stream).poll_read(&mut nobody, &mut byte).is_pending()
            }
        }
    }

    /// Whether another worker can take it over: what lies inside a TLS session
    /// cannot be taken out, and would end with the runtime that it began in.
    pub(super) fn is_movable(&self) -> bool {
        matches!(self.stream, Stream::Clear(_))
    }

    /// Moves the connection from another worker's runtime into this one's.
    pub(super) fn adopt(mut self) -> io::Result<Self> {
        self.stream = match self.stream {
            Stream::Clear(Socket::Tcp(socket)) => {
                Stream::Clear(Socket::Tcp(TcpStream::from_std(socket.into_std()?)?))
            }
            Stream::Clear(Socket::Unix(socket)) => {
                Stream::Clear(Socket::Unix(UnixStream::from_std(socket.into_std()?)?))
            }
            Stream::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(self)
    }
}

fn is_nothing(read: &io::Result<usize>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

macro_rules! stream {
    ($type:ident: $first:ident, $second:ident) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$first(inner) => Pin::new(inner).poll_read(cx, buf),
                    Self::$second(inner) => Pin::new(inner).poll_read(cx, buf),
                }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::$first(inner) => Pin::new(inner).poll_write(cx, buf),
                    Self::$second(inner) => Pin::new(inner).poll_write(cx, buf),
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::$first(inner) => Pin::new(inner).poll_write_vectored(cx, bufs),
                    Self::$second(inner) => Pin::new(inner).poll_write_vectored(cx, bufs),
                }
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$first(inner) => Pin::new(inner).poll_flush(cx),
                    Self::$second(inner) => Pin::new(inner).poll_flush(cx),
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::$first(inner) => Pin::new(inner).poll_shutdown(cx),
                    Self::$second(inner) => Pin::new(inner).poll_shutdown(cx),
                }
            }
        }
    };
}

stream!(Socket: Tcp, Unix);
stream!(Stream: Clear, Tls);
