//! The lane: HTTP/1.1 on both sides, with as little as possible between them.
//!
//! The decision, limits, leases, retries, what endpoints are told, causes,
//! metrics and the log are those of every engine. What is particular: heads are
//! edited on their way from one buffer into the other, bodies are passed on from
//! where they lie, buffers are a worker's and are used again, and one alarm
//! watches over everything that an exchange waits for.
//!
//! Knows nothing of listeners: a client is any [`ClientStream`].

mod buffer;
mod client;
mod connection;
mod dial;
mod download;
mod failure;
mod pipe;
mod pool;
mod request;
mod response;
mod transfer;
mod tunnel;
mod upload;
mod way;
mod workspace;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::buffer::Buffer;
pub use self::client::ClientStream;
pub use self::pool::Pools;
pub use self::tunnel::Tunnel;
pub use self::workspace::{Draft, Workspace};

use self::connection::Connection;
use self::dial::{Start, dial};
use self::download::{Download, Scene};
use self::failure::Failure;
use self::pool::Key;
use self::request::Request;
use self::transfer::{Transfer, Watch};
use self::upload::Upload;
use super::arrival::CLIENT_PATIENCE;
use super::exchange::Exchange;
use super::record::{Finished, record};
use super::refusal::{self, OwnAnswer};
use super::retry::{self, Kind, Repeat};
use super::{Arrived, LiveUpstream, Shared, attempt};
use crate::head::Head;
use crate::policy::{Forward, Timeouts};
use crate::response::{Cause, Fault};
use crate::snapshot::Pace;
use crate::timer::Alarm;

/// The lane of one worker.
pub struct Lane {
    shared: Arc<Shared>,
    pools: Arc<Pools>,
    worker: usize,
}

/// A request that the lane was given.
pub struct Taken {
    exchange: Box<Exchange>,
    request: Request,
}

/// What becomes of the client's connection.
pub enum After {
    /// It can take another request.
    Next,
    /// It is closed; the client has all that it was sent.
    Close,
    /// It is closed, and something of what the client sent lies unread.
    Linger,
    /// It is closed, and the client sees that something is missing.
    Abort,
    /// It is reset: the client would take its end for that of the body.
    Reset,
    /// An answer of our own is still to be sent.
    Answer(OwnAnswer),
    /// It is a tunnel from now on.
    Tunnel(Box<Tunnel>),
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, pools: Arc<Pools>, worker: usize) -> Self {
        Self { shared, pools, worker }
    }

    /// Keeps idle connections no longer than they are good. Runs as long as the
    /// worker.
    pub async fn sweep(&self) {
        self.pools.sweep(self.worker).await;
    }

    /// Takes a request up: what is needed of its head is read here, and written
    /// for the endpoint. `None`: it is not forwarded.
    pub fn take_up(
        &self,
        head: &Head<'_, '_>,
        arrived: Arrived,
        draft: Draft<'_>,
    ) -> Option<Taken> {
        let exchange = arrived.0;
        draft.trailers.clear();
        let request = request::take_up(head, &exchange, draft.noted, draft.request)?;
        Some(Taken { exchange, request })
    }

    /// Carries an exchange. What the client sends beyond it is left in the
    /// workspace.
    pub async fn carry<C: ClientStream>(
        &self,
        taken: Taken,
        client: &mut C,
        work: &mut Workspace,
        alarm: &mut Alarm,
        pace: Pace,
    ) -> After {
        let Taken { mut exchange, request } = taken;
        let Some(live) = exchange.live.clone() else { return After::Abort };
        let Some(&Forward { upstream, timeouts, .. }) = exchange.forward() else {
            return After::Abort;
        };
        let target = &live.upstreams[upstream.index()];
        let (sending, taking) = paces(pace, &exchange, &timeouts);
        let mut run = Run {
            lane: self,
            target,
            timeouts,
            request: &request,
            upload: Upload::new(&request, sending),
            download: Download::new(taking),
            taking,
        };
        if !target.upstream.shared.first_round.is_over() {
            exchange.due = Instant::now().checked_add(timeouts.request);
            attempt::wait_for_first_round(target, timeouts.request).await;
        }
        loop {
            match run.attempt(&mut exchange, client, work, alarm).await {
                Ok(connection) => return run.finish(exchange, connection, work),
                Err(failed) => {
                    if !run.again(&mut exchange, &failed) {
                        return run.fail(exchange, &failed.failure, work);
                    }
                }
            }
        }
    }
}

/// How slowly the client may send, and take.
fn paces(pace: Pace, exchange: &Exchange, timeouts: &Timeouts) -> (Pace, Pace) {
    // Every byte is worth the whole patience: only silence is too slow.
    let silence = |grace| Pace { min_rate: 1, grace };
    match pace {
        // Either side of a stream may be silent as long as the route says.
        _ if exchange.grpc => (silence(timeouts.read), silence(timeouts.send)),
        Pace { min_rate: 0, .. } => (silence(CLIENT_PATIENCE), silence(CLIENT_PATIENCE)),
        pace => (pace, pace),
    }
}

/// An exchange that runs, over its attempts.
struct Run<'r> {
    lane: &'r Lane,
    target: &'r LiveUpstream,
    timeouts: Timeouts,
    request: &'r Request,
    upload: Upload,
    download: Download,
    /// How slowly the client may take the response.
    taking: Pace,
}

/// An attempt that failed.
struct Failed {
    failure: Failure,
    /// On a connection that had carried another request before.
    reused: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, reused: false }
    }
}

impl Run<'_> {
    /// One attempt. The connection that carried it, whatever it is good for.
    async fn attempt<C: ClientStream>(
        &mut self,
        exchange: &mut Exchange,
        client: &mut C,
        work: &mut Workspace,
        alarm: &mut Alarm,
    ) -> Result<Connection, Failed> {
        let remaining = attempt::begin(exchange, self.target, &self.timeouts)
            .map_err(|cause| Failure::last(cause, cause.name()))?;
        if exchange.due.is_none() {
            exchange.due = exchange.attempt_started.checked_add(self.timeouts.request);
        }
        let (mut connection, reused) = self.connect(exchange, remaining).await?;
        attempt::connected(exchange, self.target, reused);
        self.begin(exchange, work);
        let begun = tokio::time::Instant::from_std(exchange.attempt_started);
        let transfer = Transfer {
            client,
            endpoint: &mut connection.stream,
            work,
            scene: Scene {
                request: self.request,
                upload: &mut self.upload,
                exchange,
                target: self.target,
                shared: &self.lane.shared,
            },
            download: &mut self.download,
            timeouts: self.timeouts,
            watch: Watch::new(if reused { begun } else { tokio::time::Instant::now() }),
        };
        match transfer.run(alarm).await {
            Ok(()) => Ok(connection),
            Err(failure) => Err(Failed { failure, reused }),
        }
    }

    /// An idle connection, or a new one.
    async fn connect(
        &self,
        exchange: &Exchange,
        remaining: Duration,
    ) -> Result<(Connection, bool), Failure> {
        let (Some(lease), Some(client)) = (&exchange.lease, &exchange.connection) else {
            return Err(Failure::last(Cause::InternalError, "no lease"));
        };
        let endpoint = lease.endpoint();
        let start = Start::new(self.target, client.ends, exchange.client);
        // After a stale connection the next in the pool may be as stale.
        if exchange.replaced == 0 {
            let key = Key::new(endpoint, start.tag);
            let pools = &self.lane.pools;
            if let Some(idle) = pools.take(self.lane.worker, key, exchange.attempt_started) {
                return Ok((idle, true));
            }
        }
        let patience = self.timeouts.connect.min(remaining);
        let upstream = &self.target.upstream;
        match Box::pin(dial(upstream, endpoint, start, patience)).await {
            Ok(connection) => Ok((connection, false)),
            Err(failure)
                if failure.cause == Cause::UpstreamConnectTimeout
                    && exchange.is_overdue(Instant::now()) =>
            {
                Err(Failure::last(Cause::RequestTimeout, failure.detail))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Everything is as before the first byte was sent.
    fn begin(&mut self, exchange: &Exchange, work: &mut Workspace) {
        self.upload.rewind();
        self.download = Download::new(self.taking);
        work.response.clear();
        work.output.clear();
        if let Some(at) = self.request.host_at {
            request::name_host(exchange, at, &mut work.request);
        }
    }

    /// Whether there is another attempt.
    fn again(&self, exchange: &mut Exchange, failed: &Failed) -> bool {
        let Failed { failure, reused } = failed;
        let repeat = Repeat { held: self.upload.held, idempotent: self.request.idempotent };
        // A pooled connection that the endpoint closed in the meantime is nobody's
        // fault. What may be repeated is sent again on a new connection, which
        // costs neither an attempt nor the budget.
        let stale = *reused && failure.kind == Kind::Reset && !exchange.responding;
        if stale && repeat.is_harmless() && exchange.replaced == 0 {
            exchange.replaced += 1;
            exchange.attempts = exchange.attempts.saturating_sub(1);
            return true;
        }
        if failure.cause.fault() == Fault::Upstream
            && failure.cause != Cause::RequestTimeout
            && !stale
        {
            retry::blame(exchange, failure.cause, failure);
        }
        // Half of an interim response cannot be taken back.
        !self.download.has_begun() && retry::may_retry(exchange, failure.kind, repeat)
    }

    /// The client has its response.
    fn finish(
        self,
        mut exchange: Box<Exchange>,
        connection: Connection,
        work: &mut Workspace,
    ) -> After {
        let Self { lane, target, upload, download, .. } = self;
        if download.is_tunnel() {
            let tunnel = Tunnel::new(lane, exchange, connection, work, self.timeouts);
            return After::Tunnel(Box::new(tunnel));
        }
        let finished = Finished {
            status: download.status,
            bytes_sent: download.body_sent,
            bytes_received: upload.received,
            tunnel: false,
        };
        let now = record(&lane.shared, &mut exchange, &work.noted.facts(), finished);
        exchange.retire();
        work.ended = Some(now);
        if download.reusable && upload.finished && work.response.is_empty() {
            lane.pools.keep(lane.worker, connection, &target.upstream, now);
        }
        if download.keep_alive {
            After::Next
        } else if upload.is_taken_in() && work.input.is_empty() {
            After::Close
        } else {
            After::Linger
        }
    }

    /// There is no other attempt.
    fn fail(self, mut exchange: Box<Exchange>, failure: &Failure, work: &mut Workspace) -> After {
        let Self { lane, request, upload, download, .. } = self;
        let cause = failure.cause;
        exchange.cause = Some(cause);
        if cause != Cause::NoHealthyEndpoint {
            exchange.error = Some(failure.detail.clone().into_owned());
        }
        if matches!(cause, Cause::ClientBodyTimeout | Cause::ResponseTooSlow)
            && let Some(connection) = &exchange.connection
        {
            connection.blame(cause);
        }
        let gone = matches!(cause, Cause::ClientClosed | Cause::ResponseTooSlow);
        if !download.has_begun() && !gone {
            let keep_alive = request.keep_alive
                && upload.is_taken_in()
                && !exchange.last
                && !lane.shared.closes(&exchange);
            let facts = work.noted.facts();
            let own =
                refusal::answer(&lane.shared, &mut exchange, cause.into(), &facts, keep_alive);
            exchange.retire();
            return After::Answer(own);
        }
        let finished = Finished {
            status: if download.committed { download.status } else { cause.status() },
            bytes_sent: download.body_sent,
            bytes_received: upload.received,
            tunnel: false,
        };
        record(&lane.shared, &mut exchange, &work.noted.facts(), finished);
        exchange.retire();
        if download.has_begun() && download.ends_with_connection() {
            return After::Reset;
        }
        After::Abort
    }
}
