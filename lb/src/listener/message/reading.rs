//! What the engine reads of a message: its body, and the silence behind it.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::sleep;

use super::{Body, Message};
use crate::engine::lane::ClientStream;
use crate::head::{BodyDecoder, CHUNK_END, Framing, LAST_CHUNK, write_chunk_header};
use crate::response::Cause;

/// What is read at once of a body in chunks.
const READ: usize = 16 * 1024;

/// What is kept of a request that comes before the response to the last one
/// was sent; the rest waits in the kernel.
const EARLY: usize = 4096;

/// Between two looks at a connection that is not read.
const GLANCE: Duration = Duration::from_secs(1);

impl Message {
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
    pub(super) fn poll_length(
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
    pub(super) fn poll_chunk(
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
    pub(super) fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.len() < EARLY {
            let mut piece = [std::mem::MaybeUninit::uninit(); EARLY];
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(self.io()?.poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                // A client that has sent another request is not gone.
                return if self.input.is_empty() {
                    Poll::Ready(Ok(()))
                } else {
                    self.poll_reset(cx)
                };
            }
            self.input.extend_from_slice(piece.filled());
        }
        self.poll_reset(cx)
    }

    /// Nothing more is read, so that nothing tells when the client is gone: looks
    /// for a reset now and then.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let glance = self.glance.get_or_insert_with(|| Box::pin(sleep(GLANCE)));
            ready!(glance.as_mut().poll(cx));
            self.glance = None;
            if self.io.as_ref().is_some_and(|io| io.get_ref().is_reset()) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
    }

    /// Bytes of a tunnel.
    pub(super) fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            return self.io()?.poll_read(cx, buf);
        }
        let length = self.input.len().min(buf.remaining());
        buf.put_slice(&self.input[..length]);
        self.input.advance(length);
        Poll::Ready(Ok(()))
    }
}
