//! How long a connection may keep us waiting for a request.
//!
//! hyper has one timeout for the head of a request. It runs from the moment
//! the connection is ready for one, so on a kept-alive connection it is the
//! idle timeout too; and while hyper-util still looks whether the first bytes
//! are HTTP/2's preface, none runs at all. The two want different values: a
//! head comes at once or somebody is holding us up, but an idle connection
//! should be closed by the balancer, which knows that it is not about to use
//! it. [`Watched`] counts what a connection has sent and bounds the time of
//! the preface; [`HeadTimer`] gives hyper the idle timeout and shortens it
//! when the first byte of a head arrives.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time;

/// From the first byte of a head to its last, and from the start of a
/// connection to its first head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// From a response to the next head. Longer than the 60 s for which balancers
/// keep idle connections by default: who closes first loses no request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose bytes are counted, and which fails if it does not show
/// in [`HEAD_TIMEOUT`] whether it speaks HTTP/1 or HTTP/2.
#[derive(Debug)]
pub struct Watched<I> {
    io: I,
    received: Arc<AtomicU64>,
    preface: Preface,
}

#[derive(Debug)]
enum Preface {
    /// So many bytes were those of the preface.
    Matching(usize, Pin<Box<time::Sleep>>),
    Over,
}

impl<I> Watched<I> {
    /// Watches `io` from now on.
    pub fn new(io: I) -> Self {
        let deadline = Box::pin(time::sleep(HEAD_TIMEOUT));
        Self { io, received: Arc::default(), preface: Preface::Matching(0, deadline) }
    }

    /// The timer for hyper's timeout of the head, which has to be set to
    /// [`IDLE_TIMEOUT`].
    pub fn head_timer(&self) -> HeadTimer {
        HeadTimer { received: Arc::clone(&self.received), is_used: Arc::default() }
    }
}

impl Preface {
    fn advance(&mut self, bytes: &[u8]) {
        if let Self::Matching(matched, _) = self {
            let rest = &HTTP2_PREFACE[*matched..];
            let common = rest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
            // No bytes are the end of the stream.
            if common == 0 || common < bytes.len() || common == rest.len() {
                *self = Self::Over;
            } else {
                *matched += common;
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.io).poll_read(cx, buffer) {
            let bytes = &buffer.filled()[start..];
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.preface.advance(bytes);
            return Poll::Ready(result);
        }
        if let Preface::Matching(_, deadline) = &mut self.preface
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The timer of one HTTP/1 connection; hyper uses it for heads only.
#[derive(Debug, Clone)]
pub struct HeadTimer {
    received: Arc<AtomicU64>,
    is_used: Arc<AtomicBool>,
}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let mut deadline = time::Instant::from_std(deadline);
        // There is no idle time before the first head, and part of it may have
        // been read already.
        let is_first = !self.is_used.swap(true, Ordering::Relaxed);
        if is_first {
            deadline = deadline.min(time::Instant::now() + HEAD_TIMEOUT);
        }
        Box::pin(HeadDeadline {
            sleep: Box::pin(time::sleep_until(deadline)),
            received: Arc::clone(&self.received),
            idle_at: (!is_first).then(|| self.received.load(Ordering::Relaxed)),
        })
    }

    fn now(&self) -> Instant {
        // Not std's: tests stop this clock.
        time::Instant::now().into_std()
    }
}

/// Polled after every read that did not complete a head.
struct HeadDeadline {
    sleep: Pin<Box<time::Sleep>>,
    received: Arc<AtomicU64>,
    /// What the connection had sent when it became idle, as long as it is.
    idle_at: Option<u64>,
}

impl Future for HeadDeadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let received = self.received.load(Ordering::Relaxed);
        if self.idle_at.is_some_and(|idle_at| idle_at != received) {
            self.idle_at = None;
            let deadline = self.sleep.deadline().min(time::Instant::now() + HEAD_TIMEOUT);
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for HeadDeadline {}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::http::server;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn serve() -> DuplexStream {
        let (client, io) = tokio::io::duplex(64 * 1024);
        tokio::spawn(server::connection(io, Router::new()));
        client
    }

    /// Reads to the end; how long that took. The clock jumps from timer to
    /// timer while nothing else is to do.
    async fn seconds_until_closed(client: &mut DuplexStream) -> u64 {
        let start = time::Instant::now();
        let mut rest = Vec::new();
        // Reset or closed makes no difference here.
        let _ = client.read_to_end(&mut rest).await;
        start.elapsed().as_secs()
    }

    async fn exchange(client: &mut DuplexStream) {
        client.write_all(REQUEST).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 404"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_nothing_is_closed() {
        assert_eq!(seconds_until_closed(&mut serve()).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_preface_that_does_not_go_on_is_closed() {
        let mut client = serve();
        client.write_all(b"PRI * HT").await.unwrap();
        assert_eq!(seconds_until_closed(&mut client).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_head_that_does_not_end_is_closed() {
        let mut client = serve();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(seconds_until_closed(&mut client).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_that_of_a_balancer() {
        let mut client = serve();
        exchange(&mut client).await;
        time::sleep(Duration::from_secs(60)).await;
        exchange(&mut client).await;
        assert_eq!(seconds_until_closed(&mut client).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_that_does_not_end_is_closed() {
        let mut client = serve();
        exchange(&mut client).await;
        time::sleep(Duration::from_secs(10)).await;
        client.write_all(b"GET / ").await.unwrap();
        assert_eq!(seconds_until_closed(&mut client).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_gets_no_more_time() {
        let mut client = serve();
        exchange(&mut client).await;
        let start = time::Instant::now();
        while client.write_all(b"x").await.is_ok() {
            time::sleep(Duration::from_secs(1)).await;
        }
        let elapsed = start.elapsed().as_secs();
        assert!((30..=32).contains(&elapsed), "{elapsed}");
    }
}
