//! `timeouts.request`: the time until the response head, retries included.
//!
//! Pingora bounds single reads and writes, not an exchange. Here the task that
//! drives an exchange keeps one timer beside it; when it fires, the socket
//! under the attempt is shut down, Pingora sees the end of the stream and asks
//! what to answer, and the answer is 504.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Era;
use crate::upstream::EndpointState;

tokio::task_local! {
    static CURRENT: Arc<Deadline>;
}

/// The deadline of one exchange.
#[derive(Debug, Default)]
pub struct Deadline {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    at: Option<Instant>,
    /// The upstream socket of the attempt that runs.
    socket: Option<RawFd>,
    hit: bool,
    /// The endpoint of the attempt that runs, or of the last.
    endpoint: Option<Arc<EndpointState>>,
}

impl Deadline {
    /// The deadline of the exchange that this task drives.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Sets or moves the deadline.
    pub fn arm(&self, at: Instant) {
        let mut state = self.state.lock();
        if !state.hit {
            state.at = Some(at);
        }
    }

    /// Moves the deadline if there is one.
    pub fn extend(&self, at: Instant) {
        let mut state = self.state.lock();
        if state.at.is_some() {
            state.at = Some(at);
        }
    }

    /// Names the endpoint of an attempt.
    pub fn uses(&self, endpoint: &Arc<EndpointState>) {
        self.state.lock().endpoint = Some(Arc::clone(endpoint));
    }

    fn is_cut(&self) -> bool {
        self.state.lock().endpoint.as_ref().is_some_and(|endpoint| endpoint.is_cut())
    }

    /// Names the socket that the deadline shuts down. It must stay open until
    /// [`detach`](Self::detach) or [`disarm`](Self::disarm), which is why both
    /// run on the task that owns it.
    pub fn attach(&self, socket: RawFd) {
        self.state.lock().socket = Some(socket);
    }

    /// The attempt is over.
    pub fn detach(&self) {
        self.state.lock().socket = None;
    }

    /// The response has begun: nothing is bounded any more.
    pub fn disarm(&self) {
        let mut state = self.state.lock();
        state.at = None;
        state.socket = None;
    }

    /// Whether the deadline passed before the response began.
    pub fn is_hit(&self) -> bool {
        self.state.lock().hit
    }

    /// What is left; `None` when there is no deadline.
    pub fn remaining(&self, now: Instant) -> Option<std::time::Duration> {
        let state = self.state.lock();
        if state.hit {
            Some(std::time::Duration::ZERO)
        } else {
            Some(state.at?.saturating_duration_since(now))
        }
    }

    fn at(&self) -> Option<Instant> {
        self.state.lock().at
    }

    fn expire(&self) {
        let mut state = self.state.lock();
        state.at = None;
        state.hit = true;
        if let Some(socket) = state.socket.take() {
            // The exchange's task owns the socket and is the one that runs
            // this, so the number cannot have been given to another file.
            // A peer that is already gone is an error without consequence.
            let _ = nix::sys::socket::shutdown(socket, nix::sys::socket::Shutdown::Both);
        }
    }
}

/// Drives an exchange, with a deadline that [`Deadline::current`] finds.
///
/// `cuts` tells when connections or endpoints are cut, and `era` is that of the
/// exchange's connection: one that is cut is dropped.
pub(super) async fn with_deadline<F: Future>(
    exchange: F,
    era: Option<&Era>,
    mut cuts: watch::Receiver<u64>,
) -> Option<F::Output> {
    let deadline = Arc::new(Deadline::default());
    let exchange = CURRENT.scope(Arc::clone(&deadline), exchange);
    tokio::pin!(exchange);
    let timer = tokio::time::sleep_until(tokio::time::Instant::now());
    tokio::pin!(timer);
    let mut set_for = None;
    let cut = async {
        // Err: nobody is left who would cut anything.
        while cuts.changed().await.is_ok() {
            if deadline.is_cut() || era.is_some_and(Era::is_cut) {
                return;
            }
        }
        std::future::pending().await
    };
    let bounded = std::future::poll_fn(|context| {
        // The exchange first: what is done is never cut off.
        if let Poll::Ready(output) = exchange.as_mut().poll(context) {
            return Poll::Ready(output);
        }
        if let Some(at) = deadline.at() {
            if set_for != Some(at) {
                set_for = Some(at);
                timer.as_mut().reset(at.into());
            }
            if timer.as_mut().poll(context).is_ready() {
                deadline.expire();
                // Whatever waits without a socket looks at the deadline itself.
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    });
    tokio::select! {
        biased;
        output = bounded => Some(output),
        () = cut => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_armed_deadline_is_hit_and_a_disarmed_one_is_not() {
        let waited = |disarm: bool| async move {
            with_deadline(
                async move {
                    let deadline = Deadline::current().unwrap();
                    deadline.arm(Instant::now() + Duration::from_millis(1));
                    if disarm {
                        deadline.disarm();
                    }
                    std::thread::sleep(Duration::from_millis(2));
                    tokio::task::yield_now().await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    deadline.is_hit()
                },
                None,
                watch::channel(0).1,
            )
            .await
            .unwrap()
        };
        assert!(waited(false).await);
        assert!(!waited(true).await);
    }
}
