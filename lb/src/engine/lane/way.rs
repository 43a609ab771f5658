//! One way of a tunnel.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::client::ClientStream;
use super::connection::Stream;
use super::pipe::Pipe;

/// What is read at once, onto the stack: a silent tunnel has no buffer.
const PIECE: usize = 16 * 1024;

/// One way of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What was read and could not be written yet.
    pending: Vec<u8>,
    written: usize,
    /// The end has come.
    ended: bool,
    /// And was passed on.
    pub(super) closed: bool,
    pub(super) passed: u64,
    /// Much comes at once: bytes go through a pipe, without being copied.
    pipe: Option<Pipe>,
}

/// How a way ended that did not end by itself.
pub(super) enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// An end of a tunnel; the socket itself, where nothing lies between it and the bytes.
pub(super) trait Socket {
    fn tcp(&self) -> Option<&TcpStream>;
}

impl<C: ClientStream> Socket for C {
    fn tcp(&self) -> Option<&TcpStream> {
        self.in_clear()
    }
}

impl Socket for Stream {
    fn tcp(&self) -> Option<&TcpStream> {
        self.in_clear()
    }
}

fn can_splice(reader: &impl Socket, writer: &impl Socket) -> bool {
    reader.tcp().is_some() && writer.tcp().is_some()
}

impl Way {
    pub(super) fn with(pending: &[u8]) -> Self {
        Self { pending: pending.to_vec(), ..Self::default() }
    }

    /// Something waits to be taken.
    pub(super) fn is_blocked(&self) -> bool {
        self.written < self.pending.len() || self.pipe.as_ref().is_some_and(|pipe| !pipe.is_empty())
    }

    /// Passes on what there is.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<(), Broken>
    where
        R: AsyncRead + Socket + Unpin,
        W: AsyncWrite + Socket + Unpin,
    {
        loop {
            if let Some(pipe) = &mut self.pipe {
                let (Some(from), Some(to)) = (reader.tcp(), writer.tcp()) else { return Ok(()) };
                match pipe.poll(cx, from, to, &mut self.passed) {
                    Poll::Pending if pipe.is_empty() => {
                        // Nothing more has come: somebody else may need it.
                        self.give_pipe_back();
                    }
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => self.ended = true,
                    Poll::Ready(Err(broken)) => return Err(broken),
                }
                if !self.ended {
                    return Ok(());
                }
                self.give_pipe_back();
            }
            if self.is_blocked() {
                match Pin::new(&mut *writer).poll_write(cx, &self.pending[self.written..]) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(0)) => {
                        return Err(Broken::Writing(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(count)) => self.wrote(count),
                    Poll::Ready(Err(error)) => return Err(Broken::Writing(error)),
                }
                continue;
            }
            if self.ended {
                if !self.closed {
                    self.closed = Pin::new(&mut *writer).poll_shutdown(cx).is_ready();
                }
                return Ok(());
            }
            let mut piece = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut *reader).poll_read(cx, &mut piece) {
                Poll::Pending => {
                    return match Pin::new(&mut *writer).poll_flush(cx) {
                        Poll::Ready(Err(error)) => Err(Broken::Writing(error)),
                        _ => Ok(()),
                    };
                }
                Poll::Ready(Err(error)) => return Err(Broken::Reading(error)),
                Poll::Ready(Ok(())) if piece.filled().is_empty() => self.ended = true,
                Poll::Ready(Ok(())) => {
                    let is_full = piece.remaining() == 0;
                    self.pass(cx, piece.filled(), writer)?;
                    if is_full && self.pending.is_empty() && can_splice(reader, writer) {
                        self.pipe = Pipe::borrow();
                    }
                }
            }
        }
    }

    fn give_pipe_back(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
    }

    /// Writes a piece from where it lies; only what is not taken is kept.
    fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut piece: &[u8],
        writer: &mut W,
    ) -> Result<(), Broken> {
        while !piece.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, piece) {
                Poll::Ready(Ok(0)) => return Err(Broken::Writing(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.passed += count as u64;
                    piece = &piece[count..];
                }
                Poll::Ready(Err(error)) => return Err(Broken::Writing(error)),
                Poll::Pending => {
                    self.pending.extend_from_slice(piece);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.passed += count as u64;
        self.written += count;
        if self.written == self.pending.len() {
            // Not kept: most of a tunnel's life nothing waits.
            (self.pending, self.written) = (Vec::new(), 0);
        }
    }
}
