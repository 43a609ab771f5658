//! One attempt: the request goes up, the response comes down, both at once.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::client::ClientStream;
use super::connection::Stream;
use super::download::{Download, Moved, Scene};
use super::failure::Failure;
use super::upload::Waits;
use super::workspace::Workspace;
use crate::engine::retry::Kind;
use crate::policy::Timeouts;
use crate::response::Cause;
use crate::timer::Alarm;

/// What is read of the next request while a response is on its way; the rest
/// waits in the kernel.
const EARLY: usize = 4096;

/// Between two looks at a connection of which nothing more is read.
const GLANCE: Duration = Duration::from_secs(1);

/// A client that has closed its half waits for its response, or has left: who
/// cannot be told from whom until something is sent to it. So long it is
/// believed to wait.
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// An attempt that runs.
pub(super) struct Transfer<'t, C> {
    pub(super) client: &'t mut C,
    pub(super) endpoint: &'t mut Stream,
    pub(super) work: &'t mut Workspace,
    pub(super) scene: Scene<'t>,
    pub(super) download: &'t mut Download,
    pub(super) timeouts: Timeouts,
    pub(super) watch: Watch,
}

/// Since when who is waited for.
#[derive(Debug)]
pub(super) struct Watch {
    /// Something was sent to the endpoint.
    sent: Instant,
    /// Something came from the endpoint.
    received: Instant,
    /// The client has closed its half, or was sent something since.
    half_closed: Option<Instant>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self { sent: now, received: now, half_closed: None }
    }
}

impl<C: ClientStream> Transfer<'_, C> {
    /// Carries the exchange until the client has the whole response, or the
    /// endpoint has switched protocols and the client knows.
    pub(super) async fn run(mut self, alarm: &mut Alarm) -> Result<(), Failure> {
        poll_fn(|cx| self.poll(cx, alarm)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Failure>> {
        let mut sent = false;
        let waits = self.scene.upload.poll(
            cx,
            self.client,
            self.endpoint,
            self.work,
            self.scene.exchange,
            &mut sent,
        )?;
        let mut moved = Moved::default();
        let done = self.download.poll(
            cx,
            self.client,
            self.endpoint,
            self.work,
            &mut self.scene,
            &mut moved,
        );
        if let Poll::Ready(result) = done {
            return Poll::Ready(result);
        }
        let glances = match waits {
            Waits::Nothing => self.look_at_client(cx)?,
            Waits::ForClient | Waits::ForEndpoint => false,
        };
        let now = Instant::now();
        if sent {
            self.watch.sent = now;
        }
        if moved.read {
            self.watch.received = now;
        }
        if moved.written && self.watch.half_closed.is_some() {
            self.watch.half_closed = Some(now);
        }
        let next = self.next_alarm(now, waits, moved.waits_for_client, glances)?;
        match next {
            Some(at) => {
                alarm.set(at);
                alarm.wake(cx.waker());
            }
            None => alarm.clear(),
        }
        Poll::Pending
    }

    /// Nothing is wanted of the client: looks whether it is still there. What it
    /// sends is its next request. Whether that has to be asked again in a while.
    fn look_at_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        while self.watch.half_closed.is_none() && self.work.input.len() < EARLY {
            self.work.input.make_room(EARLY);
            match self.work.input.poll_fill(cx, self.client) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => self.watch.half_closed = Some(Instant::now()),
                Poll::Ready(Err(error)) => return Err(Failure::client(Some(&error))),
            }
        }
        if self.client.is_reset() {
            return Err(Failure::client(None));
        }
        Ok(true)
    }

    /// When somebody will have taken too long; an error if somebody has.
    fn next_alarm(
        &mut self,
        now: Instant,
        waits: Waits,
        for_client: bool,
        glances: bool,
    ) -> Result<Option<Instant>, Failure> {
        let mut next = Next { now, at: None };
        if self.scene.exchange.is_cut() {
            let detail = "its listener or its endpoint is not configured any more";
            return Err(Failure::last(Cause::DrainTimeout, detail));
        }
        if let Some(due) = self.scene.exchange.due
            && next.is_over(Some(Instant::from_std(due)))
        {
            return Err(Failure::last(Cause::RequestTimeout, "no response head in time"));
        }
        match waits {
            Waits::ForEndpoint => {
                if next.is_over(self.watch.sent.checked_add(self.timeouts.send)) {
                    let detail = "the endpoint takes nothing";
                    return Err(Failure::new(Cause::UpstreamSendTimeout, Kind::Timeout, detail));
                }
            }
            // Before it is told it need not send.
            Waits::ForClient if self.scene.upload.untold => {}
            Waits::ForClient => {
                if next.is_over(self.scene.upload.patience.waits()) {
                    let detail = "the body comes too slowly";
                    return Err(Failure::last(Cause::ClientBodyTimeout, detail));
                }
            }
            Waits::Nothing => {}
        }
        if for_client {
            self.watch_taking(&mut next)?;
        } else if waits != Waits::ForClient || self.scene.upload.untold {
            // An endpoint that waits for the rest of the request is not late.
            let since = self.watch.received.max(self.watch.sent);
            if next.is_over(since.checked_add(self.timeouts.read)) {
                return Err(self.read_timeout());
            }
        }
        let left = self.watch.half_closed.and_then(|since| since.checked_add(HALF_CLOSED));
        if next.is_over(left) {
            return Err(Failure::client(None));
        }
        if glances {
            next.is_over(now.checked_add(GLANCE));
        }
        Ok(next.at)
    }

    fn watch_taking(&mut self, next: &mut Next) -> Result<(), Failure> {
        let client = &*self.client;
        let taking = &mut self.download.taking;
        let mut at = taking.waits(|| client.acknowledged());
        while next.is_over(at) {
            match taking.late(|| client.acknowledged()) {
                Ok(later) => at = Some(later),
                Err(_) => {
                    let detail = "the response is taken too slowly";
                    return Err(Failure::last(Cause::ResponseTooSlow, detail));
                }
            }
        }
        Ok(())
    }

    fn read_timeout(&self) -> Failure {
        if self.scene.exchange.responding {
            let detail = "nothing more came of the response in time";
            return Failure::last(Cause::UpstreamIncomplete, detail);
        }
        let detail = "nothing came from the endpoint in time";
        Failure::new(Cause::UpstreamReadTimeout, Kind::Timeout, detail)
    }
}

/// The earliest of several times.
struct Next {
    now: Instant,
    at: Option<Instant>,
}

impl Next {
    /// Whether a time is over; is woken for it otherwise.
    fn is_over(&mut self, at: Option<Instant>) -> bool {
        let Some(at) = at else { return false };
        if at <= self.now {
            return true;
        }
        self.at = Some(self.at.map_or(at, |known| known.min(at)));
        false
    }
}
