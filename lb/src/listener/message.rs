//! One HTTP/1 message, as the engine behind sees it.
//!
//! The engine reads the head as we have understood it, written anew, then the
//! body as our decoder lets it through, and then nothing more: what a client
//! sends beyond stays here for the next request. So the engine's own parser
//! never decides where a message ends. After an upgrade the bytes behind the
//! head are a tunnel's and pass as they are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::pingora::protocols::Shutdown;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};

use super::bystander::nothing_beside_bytes;
use super::linger;
use super::pace::{Taking, Watch};
use super::transport::Transport;
use crate::engine::Connection;
use crate::head::{BodyDecoder, CHUNK_END, Framing, LAST_CHUNK, write_chunk_header};
use crate::response::Cause;
use crate::snapshot::Pace;

/// What is gathered before it is written: the head of a response and a small
/// body leave in one segment.
const WRITE_BUFFER: usize = 4096;

/// What is read at once of a body in chunks.
const READ: usize = 16 * 1024;

/// What is kept of a request that comes before the response to the last one
/// was sent; the rest waits in the kernel.
const EARLY: usize = 4096;

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
    reading: Watch,
    writing: Taking,
    /// The client waits for 100 (Continue), or a response, and sends nothing
    /// before: whoever is slow, it is not the client.
    untold: bool,
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
            reading: Watch::new(pace),
            writing: Taking::new(pace),
            untold: false,
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
            self.writing = Taking::unwatched();
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

    /// Reads from the client into `buf`; what is late is an error.
    fn poll_client(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match self.io()?.poll_read(cx, buf) {
            Poll::Ready(result) => {
                // It sends, told or not.
                self.untold &= buf.filled().len() == before;
                self.reading.moved(buf.filled().len() - before);
                Poll::Ready(result)
            }
            Poll::Pending if !self.untold && self.reading.is_late(cx) => Poll::Ready(Err(
                self.fail(Cause::ClientBodyTimeout, "the body comes too slowly".to_owned())
            )),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Body by its length, straight into the engine's buffer.
    fn poll_length(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut decoder: BodyDecoder,
        framing: Framing,
    ) -> Poll<io::Result<()>> {
        let Some(left) = decoder.length_left() else { return Poll::Ready(Ok(())) };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining());
        let length = if self.input.is_empty() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            ready!(self.poll_client(cx, &mut part))?;
            let length = part.filled().len();
            buf.advance(length);
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            length
        } else {
            let length = most.min(self.input.len());
            buf.put_slice(&self.input[..length]);
            self.input.advance(length);
            length
        };
        let data = &buf.filled()[buf.filled().len() - length..];
        // A body of known length has no framing to be broken.
        let _ = decoder.decode(data);
        self.body = if decoder.is_done() { Body::Done } else { Body::Framed(decoder, framing) };
        Poll::Ready(Ok(()))
    }

    /// Stages the next chunk, or the end of the body.
    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        mut decoder: BodyDecoder,
        framing: Framing,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.input.is_empty() {
                let step = match decoder.decode(&self.input) {
                    Ok(step) => step,
                    Err(error) => {
                        return Poll::Ready(Err(self.fail(Cause::BadFraming, error.to_string())));
                    }
                };
                if !step.data.is_empty() {
                    write_chunk_header(step.data.len(), &mut self.staged);
                    self.staged.extend_from_slice(&self.input[step.data.clone()]);
                    self.staged.extend_from_slice(CHUNK_END);
                }
                self.input.advance(step.consumed);
                if step.done {
                    self.staged.extend_from_slice(LAST_CHUNK);
                    self.body = Body::Done;
                    return Poll::Ready(Ok(()));
                }
                if !self.staged.is_empty() {
                    self.body = Body::Framed(decoder, framing);
                    return Poll::Ready(Ok(()));
                }
                if step.consumed == 0 {
                    break;
                }
            }
            let mut piece = [std::mem::MaybeUninit::uninit(); READ];
            let mut piece = ReadBuf::uninit(&mut piece);
            match self.poll_client(cx, &mut piece) {
                Poll::Ready(Ok(())) if piece.filled().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(())) => self.input.extend_from_slice(piece.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.body = Body::Framed(decoder, framing);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Behind the message: the end of the stream if the client has closed,
    /// otherwise nothing, whatever comes.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.len() < EARLY {
            let mut piece = [std::mem::MaybeUninit::uninit(); EARLY];
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(self.io()?.poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                // A client that has sent another request is not gone.
                return if self.input.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            self.input.extend_from_slice(piece.filled());
        }
        Poll::Pending
    }

    /// Bytes of a tunnel.
    fn poll_tunnel(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            return self.io()?.poll_read(cx, buf);
        }
        let length = self.input.len().min(buf.remaining());
        buf.put_slice(&self.input[..length]);
        self.input.advance(length);
        Poll::Ready(Ok(()))
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
        let this = self.get_mut();
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
