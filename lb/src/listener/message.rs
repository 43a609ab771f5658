//! One HTTP/1 message, as the engine behind sees it.
//!
//! The engine reads the head as we have understood it, written anew, then the
//! body as our decoder lets it through, and then nothing more: what a client
//! sends beyond stays here for the next request. So the engine's own parser
//! never decides where a message ends. After an upgrade the bytes behind the
//! head are a tunnel's and pass as they are.

mod reading;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::pingora::protocols::Shutdown;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::Sleep;

use super::bystander::nothing_beside_bytes;
use super::linger;
use super::transport::Transport;
use super::watch::{WatchedReads, WatchedWrites};
use crate::engine::{Connection, Deadline};
use crate::head::{BodyDecoder, Framing};
use crate::response::Cause;
use crate::snapshot::Pace;

/// What is gathered before it is written: the head of a response and a small
/// body leave in one segment.
const WRITE_BUFFER: usize = 4096;

/// How the response that grants an upgrade begins.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

/// How a response begins that is not the last.
const INTERIM: &[u8] = b"HTTP/1.1 1";

/// One message on a connection.
#[derive(Debug)]
pub(super) struct Message {
    /// `None` only while it is being dropped.
    io: Option<BufWriter<Transport>>,
    connection: Arc<Connection>,
    /// What the engine reads next: the head, then re-framed chunks.
    staged: BytesMut,
    /// What came from the client and was not decoded yet.
    input: BytesMut,
    body: Body,
    reading: WatchedReads,
    writing: WatchedWrites,
    /// The client waits for 100 (Continue), or a response, and sends nothing
    /// before: whoever is slow, it is not the client.
    untold: bool,
    /// When the connection is looked at next, while it is not read.
    glance: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Body {
    /// Passed on in pieces, decoded.
    Framed(BodyDecoder, Framing),
    /// All of it was passed on.
    Done,
    /// A request to switch protocols; the bytes are not HTTP's once it is granted.
    Tunnel { open: bool },
    /// The client broke the framing or the pace.
    Broken,
}

/// What a connection has beyond a message that was carried.
pub(super) struct Leftover {
    pub(super) transport: Transport,
    pub(super) input: BytesMut,
}

impl Message {
    /// A message of which the head was read. `head` is its canonical form,
    /// `input` what came behind it.
    pub(super) fn new(
        transport: Transport,
        connection: Arc<Connection>,
        head: BytesMut,
        input: BytesMut,
        framing: Framing,
        pace: Pace,
    ) -> Self {
        let decoder = BodyDecoder::new(framing);
        let body = if decoder.is_done() { Body::Done } else { Body::Framed(decoder, framing) };
        Self {
            io: Some(BufWriter::with_capacity(WRITE_BUFFER, transport)),
            connection,
            staged: head,
            input,
            body,
            reading: WatchedReads::new(pace),
            writing: WatchedWrites::new(pace),
            untold: false,
            glance: None,
        }
    }

    /// A request to switch protocols.
    pub(super) fn upgrade(
        transport: Transport,
        connection: Arc<Connection>,
        head: BytesMut,
        input: BytesMut,
        pace: Pace,
    ) -> Self {
        let mut message = Self::new(transport, connection, head, input, Framing::None, pace);
        message.body = Body::Tunnel { open: false };
        message
    }

    /// The client sends its body only when it is told to (RFC 9110 §10.1.1).
    pub(super) fn wait_to_be_told(&mut self) {
        self.untold = self.input.is_empty();
    }

    /// What is written tells the client whether to send, and the connection
    /// whether it becomes a tunnel.
    fn note_answer(&mut self, bytes: &[u8]) {
        self.untold = false;
        if !matches!(self.body, Body::Tunnel { open: false }) {
            return;
        }
        if bytes.starts_with(SWITCHING) {
            self.body = Body::Tunnel { open: true };
            // Either side of a tunnel may be silent as long as the route says.
            self.writing = WatchedWrites::unwatched();
        } else if !bytes.starts_with(INTERIM) {
            // A response like any other, and nothing in it is a switch.
            self.body = Body::Done;
        }
    }

    /// The connection, if the message was carried to its end and the next may
    /// begin behind it.
    pub(super) async fn finish(mut self) -> Option<Leftover> {
        let mut io = self.io.take()?;
        let whole = matches!(self.body, Body::Done | Body::Tunnel { open: false });
        if !whole || !self.staged.is_empty() {
            linger::close(io);
            return None;
        }
        io.flush().await.ok()?;
        Some(Leftover { transport: io.into_inner(), input: std::mem::take(&mut self.input) })
    }

    /// Whether closing would reset the connection and take away what the client
    /// has not read yet: something of what it sent lies unread.
    fn lingers(&self) -> bool {
        self.connection.lingers() || !self.input.is_empty()
    }

    fn io(&mut self) -> io::Result<Pin<&mut BufWriter<Transport>>> {
        match &mut self.io {
            Some(io) => Ok(Pin::new(io)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends reading; the engine asks the connection why.
    fn fail(&mut self, cause: Cause, why: String) -> io::Error {
        self.body = Body::Broken;
        self.connection.blame(cause);
        io::Error::other(why)
    }

    fn is_taken_too_slowly(&mut self, cx: &mut Context<'_>) -> bool {
        self.io.as_ref().is_some_and(|io| self.writing.is_late(cx, io.get_ref()))
    }

    /// What a write came to, watched.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match wrote {
            Poll::Ready(result) => {
                if let Ok(value) = &result {
                    self.writing.moved(bytes(value));
                }
                Poll::Ready(result)
            }
            Poll::Pending if self.is_taken_too_slowly(cx) => {
                self.connection.blame(Cause::ResponseTooSlow);
                Poll::Ready(Err(io::Error::other("the response is taken too slowly")))
            }
            Poll::Pending if Deadline::is_severed_here() => Poll::Ready(Err(severed())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else { return };
        if self.connection.fault() == Some(Cause::ResponseTooSlow) {
            // It would not take the rest either.
            return;
        }
        if self.lingers() {
            linger::close(io);
        } else if !io.buffer().is_empty() {
            linger::flush(io);
        }
    }
}

impl AsyncRead for Message {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut().poll_part(cx, buf) {
            Poll::Pending if Deadline::is_severed_here() => Poll::Ready(Err(severed())),
            read => read,
        }
    }
}

/// A reload took the connection's listener or the exchange's endpoint away.
fn severed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut at the end of the drain")
}

impl Message {
    fn poll_part(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self;
        loop {
            if !this.staged.is_empty() {
                let length = this.staged.len().min(buf.remaining());
                buf.put_slice(&this.staged[..length]);
                this.staged.advance(length);
                return Poll::Ready(Ok(()));
            }
            match std::mem::replace(&mut this.body, Body::Broken) {
                Body::Framed(decoder, Framing::Chunked) => {
                    ready!(this.poll_chunk(cx, decoder, Framing::Chunked))?;
                }
                Body::Framed(decoder, framing) => {
                    this.body = Body::Framed(decoder.clone(), framing);
                    return this.poll_length(cx, buf, decoder, framing);
                }
                Body::Done => {
                    this.body = Body::Done;
                    return this.poll_behind(cx);
                }
                Body::Tunnel { open } => {
                    this.body = Body::Tunnel { open };
                    // What comes before the switch waits for it.
                    return if open { this.poll_tunnel(cx, buf) } else { this.poll_behind(cx) };
                }
                Body::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
    }
}

impl AsyncWrite for Message {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.note_answer(buf);
        let wrote = this.io()?.poll_write(cx, buf);
        this.wrote(cx, wrote, |bytes| *bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty()) {
            this.note_answer(first);
        }
        let wrote = this.io()?.poll_write_vectored(cx, bufs);
        this.wrote(cx, wrote, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let wrote = this.io()?.poll_flush(cx);
        this.wrote(cx, wrote, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().io()?.poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Message {
    async fn shutdown(&mut self) {
        // A lingering close does this itself, when all was written.
        if self.lingers() {
            return;
        }
        // The peer may be gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

nothing_beside_bytes!(Message);
