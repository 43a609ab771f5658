//! The stream under an HTTP/2 connection: frames are counted, and nobody is
//! waited for without end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::pingora::protocols::Shutdown;
use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::bystander::nothing_beside_bytes;
use super::frames::FrameMeter;
use super::transport::Transport;
use super::watch::WatchedWrites;
use crate::response::Closing;
use crate::snapshot::Deadlines;

/// What the stream tells of a connection: why it has to end, once it has to.
#[derive(Debug, Clone)]
pub(super) struct Verdict(Arc<Told>);

#[derive(Debug)]
struct Told {
    closing: AtomicU8,
    blocked: AtomicBool,
}

const NONE: u8 = u8::MAX;

impl Default for Verdict {
    fn default() -> Self {
        let (closing, blocked) = (AtomicU8::new(NONE), AtomicBool::new(false));
        Self(Arc::new(Told { closing, blocked }))
    }
}

impl Verdict {
    pub(super) fn closing(&self) -> Option<Closing> {
        Closing::ALL.get(usize::from(self.0.closing.load(Ordering::Relaxed))).copied()
    }

    fn pass(&self, closing: Closing) {
        let told = &self.0.closing;
        let _ = told.compare_exchange(NONE, closing as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether there are bytes that the client does not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }
}

/// The stream of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Http2Stream {
    transport: Transport,
    meter: FrameMeter,
    writing: WatchedWrites,
    verdict: Verdict,
    head: Duration,
    handshake: Duration,
    /// Until when what has begun must have come.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Http2Stream {
    pub(super) fn new(transport: Transport, deadlines: &Deadlines, verdict: Verdict) -> Self {
        Self {
            transport,
            meter: FrameMeter::default(),
            writing: WatchedWrites::new(deadlines.pace),
            verdict,
            head: deadlines.head,
            handshake: deadlines.http2_handshake,
            alarm: None,
        }
    }

    /// The client sends nothing. Late if it has left something half sent.
    fn pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (patience, closing) = if !self.meter.settings_seen() {
            (self.handshake, Closing::Http2HandshakeTimeout)
        } else if self.meter.open_head().is_some() {
            (self.head, Closing::HeadTimeout)
        } else {
            self.alarm = None;
            return Poll::Pending;
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(tokio::time::Instant::now() + patience)));
        if alarm.as_mut().poll(cx).is_ready() {
            return self.end(closing, cx);
        }
        Poll::Pending
    }

    /// Nothing is read any more; the loop above says goodbye.
    fn end<T>(&mut self, closing: Closing, cx: &mut Context<'_>) -> Poll<T> {
        self.verdict.pass(closing);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.verdict.closing().is_some() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let head = this.meter.open_head();
        match Pin::new(&mut this.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if let Err(closing) = this.meter.received(&buf.filled()[before..], Instant::now()) {
                    return this.end(closing, cx);
                }
                if this.meter.settings_seen() && (head.is_none() || head != this.meter.open_head())
                {
                    this.alarm = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.pending(cx),
        }
    }
}

impl Http2Stream {
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        self.verdict.0.blocked.store(wrote.is_pending(), Ordering::Relaxed);
        match &wrote {
            Poll::Ready(Ok(value)) => self.writing.moved(bytes(value)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.writing.is_late(cx, &self.transport) => {
                self.verdict.pass(Closing::ResponseTooSlow);
                return Poll::Ready(Err(io::Error::other("the response is taken too slowly")));
            }
            Poll::Pending => {}
        }
        wrote
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.transport).poll_write(cx, buf);
        if let Poll::Ready(Ok(length)) = &wrote
            && let Err(closing) = this.meter.sent(&buf[..*length], Instant::now())
        {
            this.verdict.pass(closing);
            cx.waker().wake_by_ref();
        }
        this.wrote(cx, wrote, |length| *length)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.transport).poll_flush(cx);
        this.wrote(cx, wrote, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Http2Stream {
    async fn shutdown(&mut self) {
        // The peer may be gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

nothing_beside_bytes!(Http2Stream);
