//! A tunnel: after a switch of protocols, bytes both ways.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Lane;
use super::client::ClientStream;
use super::connection::Connection;
use super::request::Noted;
use super::workspace::Workspace;
use crate::engine::Shared;
use crate::engine::exchange::Exchange;
use crate::engine::record::{Finished, record};
use crate::policy::Timeouts;
use crate::response::Cause;
use crate::timer::Alarm;

/// What is read at once, onto the stack: a silent tunnel has no buffer.
const PIECE: usize = 16 * 1024;

/// How long an endpoint may be silent behind a client that has closed its half.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// A connection to an endpoint that is not HTTP any more, and the exchange that
/// it came of.
pub struct Tunnel {
    shared: Arc<Shared>,
    exchange: Option<Box<Exchange>>,
    noted: Noted,
    connection: Connection,
    timeouts: Timeouts,
    up: Way,
    down: Way,
}

/// One way of a tunnel.
#[derive(Debug, Default)]
struct Way {
    /// What was read and could not be written yet.
    pending: Vec<u8>,
    written: usize,
    /// The end has come.
    ended: bool,
    /// And was passed on.
    closed: bool,
    passed: u64,
}

/// How a way ended that did not end by itself.
enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

impl Tunnel {
    pub(super) fn new(
        lane: &Lane,
        exchange: Box<Exchange>,
        connection: Connection,
        work: &mut Workspace,
        timeouts: Timeouts,
    ) -> Self {
        // What came behind the heads is the tunnel's already.
        let (up, down) = (Way::with(work.input.bytes()), Way::with(work.response.bytes()));
        work.input.clear();
        work.response.clear();
        Self {
            shared: Arc::clone(&lane.shared),
            exchange: Some(exchange),
            noted: std::mem::take(&mut work.noted),
            connection,
            timeouts,
            up,
            down,
        }
    }

    /// Passes bytes on until both ways have ended, one has broken, or neither has
    /// moved for as long as the route says.
    pub async fn run<C: ClientStream>(mut self, client: &mut C, alarm: &mut Alarm) {
        if let Some(at) = Instant::now().checked_add(self.timeouts.read) {
            alarm.set(at);
        }
        let cause = poll_fn(|cx| self.poll(cx, client, alarm)).await;
        self.record(cause);
    }

    fn record(&mut self, cause: Option<(Cause, String)>) {
        let Some(mut exchange) = self.exchange.take() else { return };
        if let Some((cause, error)) = cause {
            exchange.cause = Some(cause);
            exchange.error = Some(error);
        }
        let finished = Finished {
            status: 101,
            bytes_sent: self.down.passed,
            bytes_received: self.up.passed,
            tunnel: true,
        };
        record(&self.shared, &mut exchange, &self.noted.facts(), finished);
    }

    fn poll<C: ClientStream>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        alarm: &mut Alarm,
    ) -> Poll<Option<(Cause, String)>> {
        let endpoint = &mut self.connection.stream;
        let before = (self.up.passed, self.down.passed, self.up.closed);
        let up = self.up.poll(cx, client, endpoint).map_err(|broken| match broken {
            Broken::Reading(error) => (Cause::ClientClosed, error),
            Broken::Writing(error) => (Cause::UpstreamIncomplete, error),
        });
        let down = self.down.poll(cx, endpoint, client).map_err(|broken| match broken {
            Broken::Reading(error) => (Cause::UpstreamIncomplete, error),
            Broken::Writing(error) => (Cause::ClientClosed, error),
        });
        for way in [&up, &down] {
            if let Err((cause, error)) = way {
                return Poll::Ready(Some((*cause, error.to_string())));
            }
        }
        // Nobody is left at the other end: what the client still sends is lost.
        if self.down.closed {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        let moved = before != (self.up.passed, self.down.passed, self.up.closed);
        let blocked = self.up.is_blocked() || self.down.is_blocked();
        let patience = match blocked {
            true => self.timeouts.send,
            // The endpoint has been told. Some have more to say (RFC 9293 §3.6).
            false if self.up.closed => self.timeouts.read.min(HALF_CLOSED),
            false => self.timeouts.read,
        };
        if !moved && alarm.poll(cx).is_ready() {
            if self.up.closed {
                return Poll::Ready(None);
            }
            let (cause, what) = if self.up.is_blocked() {
                (Cause::UpstreamSendTimeout, "the endpoint takes nothing")
            } else if self.down.is_blocked() {
                (Cause::ResponseTooSlow, "the client takes nothing")
            } else {
                (Cause::UpstreamReadTimeout, "nothing came either way in time")
            };
            return Poll::Ready(Some((cause, what.to_owned())));
        }
        if moved {
            match now.checked_add(patience) {
                Some(at) => alarm.set(at),
                None => alarm.clear(),
            }
        }
        alarm.wake(cx.waker());
        Poll::Pending
    }
}

/// A tunnel that is cut, because the process stops, is recorded too.
impl Drop for Tunnel {
    fn drop(&mut self) {
        self.record(None);
    }
}

impl Way {
    fn with(pending: &[u8]) -> Self {
        Self { pending: pending.to_vec(), ..Self::default() }
    }

    /// Something waits to be taken.
    fn is_blocked(&self) -> bool {
        self.written < self.pending.len()
    }

    /// Passes on what there is.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<(), Broken>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
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
                Poll::Ready(Ok(())) => self.pass(cx, piece.filled(), writer)?,
            }
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
