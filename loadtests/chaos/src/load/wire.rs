//! Connections to lb, in clear and in TLS.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::outcome::Failure;
use crate::certificates::{SERVER_NAME, Trust};

/// For a machine that is busy: what a client waits for a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is needed to connect.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    trust: Trust,
}

impl Wire {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust }
    }

    pub(crate) async fn plain(&self, to: SocketAddr) -> Result<Stream, Failure> {
        connect(to).await.map(Stream::Plain)
    }

    /// For HTTP/1.1.
    pub(crate) async fn tls(&self, to: SocketAddr) -> Result<Stream, Failure> {
        handshake(&self.trust.http1, to).await
    }

    pub(crate) async fn tls_http2(&self, to: SocketAddr) -> Result<Stream, Failure> {
        handshake(&self.trust.http2, to).await
    }
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Failure> {
    let connecting = async {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        io::Result::Ok(stream)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure::NoConnection(error.to_string())),
        Err(_) => Err(Failure::NoConnection("timed out".to_owned())),
    }
}

async fn handshake(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<Stream, Failure> {
    let name = ServerName::try_from(SERVER_NAME)
        .map_err(|error| Failure::NoConnection(error.to_string()))?;
    let stream = connect(to).await?;
    let connector = TlsConnector::from(Arc::clone(config));
    match timeout(PATIENCE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(Failure::NoConnection(format!("TLS: {error}"))),
        Err(_) => Err(Failure::NoConnection("TLS: timed out".to_owned())),
    }
}

/// Either.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The innermost message: what happened, without who passed it on.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    // Some say where to read on.
    let text = error.to_string();
    text.split(": http").next().unwrap_or(&text).to_owned()
}
