//! The load: requests at their times, over every way there is.

mod answer;
mod http1;
mod http2;
pub(crate) mod outcome;
pub(crate) mod schedule;
pub(crate) mod tunnels;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::answer::Check;
use self::http1::Http1;
use self::http2::Http2;
use self::outcome::Failure;
use self::schedule::{Ask, Schedule, Way};
use self::wire::Wire;
use crate::setup::REQUEST_TIMEOUT;
use crate::tally::Tally;

/// lb says something within its own time for a request; this is for a machine
/// that is busy, and for what a client sends again.
const PATIENCE: Duration = Duration::from_secs(REQUEST_TIMEOUT.as_secs() * 2);

/// The tally of now; rows come and go while the load goes on.
#[derive(Debug, Clone)]
pub(crate) struct Current(Arc<Mutex<Arc<Tally>>>);

impl Current {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self(Arc::new(Mutex::new(tally)))
    }

    pub(crate) fn get(&self) -> Arc<Tally> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, tally: Arc<Tally>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tally;
    }
}

/// Clients of one lb.
#[derive(Debug)]
pub(crate) struct Clients {
    http1: Http1,
    http1_plain: Http1,
    http2: Http2,
}

impl Clients {
    pub(crate) fn new(wire: &Wire, http: SocketAddr, https: SocketAddr) -> Self {
        Self {
            http1: Http1::new(wire.clone(), https, true),
            http1_plain: Http1::new(wire.clone(), http, false),
            http2: Http2::new(wire.clone(), https),
        }
    }

    /// Opens `count` connections of HTTP/1.1 over TLS, and those of HTTP/2,
    /// before they are needed.
    pub(crate) async fn warm_up(&self, count: usize) -> Result<(), Failure> {
        self.http1.open(count).await?;
        self.http1_plain.open(count / 4).await?;
        self.http2.open().await
    }

    /// One request, sent again if a client may; `number` makes it differ from
    /// others.
    pub(crate) async fn ask(
        &self,
        way: Way,
        ask: Ask,
        number: u64,
        tally: &Tally,
    ) -> Result<(), Failure> {
        self.exchange(way, Check::new(ask, number), tally).await
    }

    /// The same with a body of `length`, in this direction or that.
    pub(crate) async fn transfer(
        &self,
        way: Way,
        ask: Ask,
        length: usize,
        tally: &Tally,
    ) -> Result<(), Failure> {
        self.exchange(way, Check::of_length(ask, length), tally).await
    }

    async fn exchange(&self, way: Way, check: Check, tally: &Tally) -> Result<(), Failure> {
        let first = self.once(way, check, false).await;
        match first {
            Err(failure) if failure.is_resent(check.is_idempotent()) => {
                tally.resent();
                self.once(way, check, true).await
            }
            result => result,
        }
    }

    async fn once(&self, way: Way, check: Check, is_on_new: bool) -> Result<(), Failure> {
        let exchange = async {
            match way {
                Way::Http1 => self.http1.exchange(check, is_on_new).await,
                Way::Http1Plain => self.http1_plain.exchange(check, is_on_new).await,
                Way::Http2 => self.http2.exchange(check).await,
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(Failure::NoAnswer))
    }
}

/// The body of a request.
type Body = Full<Bytes>;

/// A load; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    task: AbortHandle,
}

impl Load {
    /// Sends `schedule` from now on, counted in what `current` holds when a
    /// request is due.
    pub(crate) fn start(clients: Arc<Clients>, schedule: Schedule, current: Current) -> Self {
        let task = tokio::spawn(async move {
            let start = Instant::now();
            for number in 0.. {
                let due = start + schedule.due(number);
                sleep_until(due).await;
                let (way, ask) = schedule.turn(number);
                let tally = current.get();
                let clients = Arc::clone(&clients);
                tokio::spawn(async move {
                    let pending = tally.begin(due.elapsed());
                    let result = clients.ask(way, ask, number, &tally).await;
                    tally.end(Some(due.elapsed()), ask.is_idempotent(), result);
                    drop(pending);
                });
            }
        });
        Self { task: task.abort_handle() }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}
