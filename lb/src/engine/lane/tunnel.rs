//! A tunnel: after a switch of protocols, bytes both ways.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Lane;
use super::client::ClientStream;
use super::connection::Connection;
use super::request::Noted;
use super::way::{Broken, Way};
use super::workspace::Workspace;
use crate::engine::Shared;
use crate::engine::exchange::Exchange;
use crate::engine::record::{Finished, record};
use crate::policy::Timeouts;
use crate::response::Cause;
use crate::timer::Alarm;

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

impl Tunnel {
    pub(super) fn new(
        lane: &Lane,
        mut exchange: Box<Exchange>,
        connection: Connection,
        work: &mut Workspace,
        timeouts: Timeouts,
    ) -> Self {
        // What came behind the heads is the tunnel's already.
        let (up, down) = (Way::with(work.input.bytes()), Way::with(work.response.bytes()));
        work.input.clear();
        work.response.clear();
        // It may last for weeks.
        exchange.release();
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
        if self.exchange.as_ref().is_some_and(|exchange| exchange.is_cut()) {
            let what = "its listener or its endpoint is not configured any more";
            return Poll::Ready(Some((Cause::DrainTimeout, what.to_owned())));
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
