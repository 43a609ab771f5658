//! The record of one exchange, from its request to its log line.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::Answer;
use super::{Connection, Deadline, Live};
use crate::limit::Permit;
use crate::observe::RouteSeries;
use crate::policy::{Forward, HostId, Route, RouteAction, RouteId};
use crate::response::Cause;
use crate::upstream::{EndpointState, Lease, Tried, Upstream};

/// Everything that is particular to one exchange.
pub(crate) struct Exchange {
    /// The connection that it came in on.
    pub(super) connection: Option<Arc<Connection>>,
    /// What was decided to say instead of an endpoint.
    pub(super) answer: Option<Answer>,
    pub(super) started: Instant,
    pub(super) time: SystemTime,
    /// The snapshot it was decided with; kept to its end.
    pub(super) live: Option<Arc<Live>>,
    /// What is kept of it when it is not.
    released: Option<Box<Labels>>,
    /// `timeouts.request` on the Pingora engine, which must be cut off from outside.
    pub(super) deadline: Option<Arc<Deadline>>,
    /// `timeouts.request` in the lane, which looks at it; `None` once a response began.
    pub(super) due: Option<Instant>,
    pub(super) request_id: String,
    pub(super) client: IpAddr,
    /// The client's address, written out.
    pub(super) client_text: String,
    pub(super) peer_trusted: bool,
    pub(super) host: Option<HostId>,
    pub(super) route: Option<RouteId>,
    /// The connection carries no request after this one.
    pub(super) last: bool,
    /// The client, and we, would have the connection go on after the response.
    pub(super) persistent: bool,
    /// Path and query in origin form, as the client sent them.
    pub(super) target: String,
    /// Host and port as the client sent them, from wherever they stood.
    pub(super) authority: String,
    /// What hashing pickers place it by.
    pub(super) placement_key: u64,
    pub(super) upgrade: bool,
    /// gRPC: a stream that no body limit applies to.
    pub(super) grpc: bool,
    pub(super) permit: Option<Permit>,
    pub(super) lease: Option<Lease>,
    /// The endpoint of the last lease, for the log.
    pub(super) last_endpoint: Option<Arc<EndpointState>>,
    pub(super) tried: Tried,
    pub(super) attempts: u32,
    /// Stale pooled connections that were replaced without counting.
    pub(super) replaced: u32,
    pub(super) attempt_started: Instant,
    pub(super) connected: bool,
    pub(super) connect_time: Option<Duration>,
    pub(super) first_byte_time: Option<Duration>,
    /// Body bytes of this attempt.
    pub(super) body_received: u64,
    /// The most body bytes of any attempt: beyond it they come from the client.
    pub(super) body_high_water: u64,
    /// A response head was handed to the client.
    pub(super) responding: bool,
    pub(super) cause: Option<Cause>,
    /// What exactly went wrong, for the log only.
    pub(super) error: Option<String>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::at(Instant::now(), SystemTime::now())
    }
}

impl Exchange {
    fn at(now: Instant, time: SystemTime) -> Self {
        Self {
            connection: None,
            answer: None,
            started: now,
            time,
            live: None,
            released: None,
            deadline: None,
            due: None,
            request_id: String::new(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            client_text: String::new(),
            peer_trusted: false,
            host: None,
            route: None,
            last: false,
            persistent: false,
            target: String::new(),
            authority: String::new(),
            placement_key: 0,
            upgrade: false,
            grpc: false,
            permit: None,
            lease: None,
            last_endpoint: None,
            tried: Tried::default(),
            attempts: 0,
            replaced: 0,
            attempt_started: now,
            connected: false,
            connect_time: None,
            first_byte_time: None,
            body_received: 0,
            body_high_water: 0,
            responding: false,
            cause: None,
            error: None,
        }
    }
}

/// What metrics and the log call an exchange by.
pub(super) struct Labels {
    pub(super) series: Arc<RouteSeries>,
    pub(super) access_log: bool,
    pub(super) host: Option<Arc<str>>,
    pub(super) route: Option<Arc<str>>,
}

/// Records that a worker keeps for its next requests.
const SPARE: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "records are handed on by their boxes, not by their bytes")]
    static SPARES: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

impl Exchange {
    /// A record with nothing in it but the room that an earlier one had.
    pub(super) fn blank() -> Box<Self> {
        SPARES.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// The exchange was recorded.
    pub(super) fn retire(mut self: Box<Self>) {
        self.clear();
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARE {
                spares.push(self);
            }
        });
    }

    fn clear(&mut self) {
        let mut texts =
            [&mut self.request_id, &mut self.target, &mut self.authority, &mut self.client_text]
                .map(std::mem::take);
        texts.iter_mut().for_each(String::clear);
        let [request_id, target, authority, client_text] = texts;
        let blank = Self::at(self.started, self.time);
        *self = Self { request_id, target, authority, client_text, ..blank };
    }

    /// The route, once one was found.
    pub(super) fn route(&self) -> Option<&Route> {
        Some(self.live.as_ref()?.snapshot.table.route(self.route?))
    }

    /// How the request is forwarded, when it is.
    pub(super) fn forward(&self) -> Option<&Forward> {
        match &self.route()?.action {
            RouteAction::Forward(forward) => Some(forward),
            RouteAction::Redirect(_) => None,
        }
    }

    /// Where the request is forwarded to, when it is.
    pub(super) fn upstream(&self) -> Option<&Upstream> {
        let forward = self.forward()?;
        Some(&self.live.as_ref()?.upstreams[forward.upstream.index()].upstream)
    }

    /// What is left until `timeouts.request`; it counts from the last byte of
    /// the request that came.
    pub(super) fn remaining(&self, request_timeout: Duration, now: Instant) -> Duration {
        match (&self.deadline, self.due) {
            (Some(deadline), _) => deadline.remaining(now).unwrap_or(request_timeout),
            (None, Some(due)) => due.saturating_duration_since(now),
            (None, None) => request_timeout,
        }
    }

    /// Whether a reload took its listener or its endpoint away, and its time is over.
    pub(super) fn is_cut(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.endpoint().is_cut())
            || self.connection.as_ref().is_some_and(|connection| connection.era.is_cut())
    }

    /// What it is called by, when it keeps no snapshot.
    pub(super) fn released(&self) -> Option<&Labels> {
        self.released.as_deref()
    }

    /// A tunnel begins: what it keeps of the snapshot is its labels.
    pub(super) fn release(&mut self) {
        let Some(live) = self.live.take() else { return };
        let table = &live.snapshot.table;
        let route = self.route.map(|route| table.route(route));
        self.released = Some(Box::new(Labels {
            series: Arc::clone(live.series(self.route)),
            access_log: route.is_none_or(|route| route.access_log),
            host: self.host.map(|host| Arc::clone(&table.host(host).name)),
            route: route.map(|route| Arc::clone(&route.name)),
        }));
    }

    /// Whether `timeouts.request` is over and no response has begun.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let by_deadline = self.deadline.as_ref().is_some_and(|deadline| {
            deadline.is_hit()
                || deadline.remaining(now).is_some_and(|remaining| remaining.is_zero())
        });
        by_deadline || self.due.is_some_and(|due| due <= now)
    }
}
