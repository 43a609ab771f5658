//! An endpoint's counters and health, shared by every snapshot that names it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::health::Health;
use crate::balance::Turn;
use crate::values::EndpointAddress;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// It belongs to its upstream.
const IN_USE: u8 = 0;
/// It has left.
const RETIRED: u8 = 1;
/// It has left, and what is open ends.
const CUT: u8 = 2;

/// The number of the next endpoint.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Counters and health of one address of one upstream.
#[derive(Debug)]
pub struct EndpointState {
    id: u64,
    upstream: Arc<str>,
    address: EndpointAddress,
    label: Arc<str>,
    resolved: ArcSwapOption<SocketAddr>,
    // Written on every exchange by every worker: each on a cache line of its own.
    in_flight: CachePadded<AtomicU32>,
    requests: CachePadded<AtomicU64>,
    /// How many of them its upstream counts among those of endpoints that left.
    requests_left: AtomicU64,
    turn: CachePadded<Turn>,
    connections: AtomicU32,
    failures: AtomicU64,
    /// Since when it belongs to nobody; `None` while it does.
    retired: Mutex<Option<Instant>>,
    stage: AtomicU8,
    pub(super) health: Health,
    /// Asks the checker for a check now instead of at the next interval.
    pub(super) check_now: Notify,
}

impl EndpointState {
    pub(super) fn new(upstream: Arc<str>, address: EndpointAddress) -> Self {
        let resolved = match &address {
            EndpointAddress::Ip(address) => Some(Arc::new(*address)),
            EndpointAddress::Name(..) | EndpointAddress::Unix(_) => None,
        };
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            upstream,
            label: address.to_string().into(),
            address,
            resolved: ArcSwapOption::new(resolved),
            in_flight: CachePadded::default(),
            requests: CachePadded::default(),
            requests_left: AtomicU64::new(0),
            turn: CachePadded::default(),
            connections: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            retired: Mutex::new(None),
            stage: AtomicU8::new(IN_USE),
            health: Health::new(Instant::now()),
            check_now: Notify::new(),
        }
    }

    /// What no other endpoint of this process has, had, or will have.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name of the upstream it belongs to.
    pub fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// As the operator wrote it; for logs and metrics.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The address as configured.
    pub fn address(&self) -> &EndpointAddress {
        &self.address
    }

    /// Where to connect to; `None` while a name has not been resolved.
    pub fn target(&self) -> Option<Target> {
        match &self.address {
            EndpointAddress::Unix(path) => Some(Target::Unix(path.clone())),
            EndpointAddress::Ip(address) => Some(Target::Tcp(*address)),
            EndpointAddress::Name(..) => self.resolved.load().as_deref().copied().map(Target::Tcp),
        }
    }

    pub(super) fn is_resolved(&self) -> bool {
        !matches!(self.address, EndpointAddress::Name(..)) || self.resolved.load().is_some()
    }

    pub(super) fn set_resolved(&self, address: SocketAddr) {
        self.resolved.store(Some(Arc::new(address)));
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Exchanges so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Exchanges so far but those that its upstream counts without it.
    pub(super) fn requests_here(&self) -> u64 {
        self.requests().saturating_sub(self.requests_left.load(Ordering::Relaxed))
    }

    /// It leaves: from now on its upstream counts these without it.
    pub(super) fn leave(&self, count: impl FnOnce(u64)) {
        let here = self.requests_here();
        // Counted twice for a moment, rather than not at all: a total that falls
        // back would close the retry budget.
        count(here);
        self.requests_left.fetch_add(here, Ordering::Relaxed);
    }

    /// It left its upstream: what is open may end, and nothing is kept for later.
    pub(super) fn retire(&self, now: Instant) {
        self.retired.lock().get_or_insert(now);
        self.stage.fetch_max(RETIRED, Ordering::Relaxed);
    }

    /// It belongs to its upstream, again maybe.
    pub(super) fn keep(&self) {
        let mut retired = self.retired.lock();
        *retired = None;
        self.stage.store(IN_USE, Ordering::Relaxed);
    }

    /// Cuts what is open if it left longer ago than it had time. Whether it did.
    pub(super) fn cut_if_overdue(&self, now: Instant, drain_timeout: Duration) -> bool {
        let retired = self.retired.lock();
        let overdue =
            retired.is_some_and(|since| now.saturating_duration_since(since) >= drain_timeout);
        overdue && self.stage.swap(CUT, Ordering::Relaxed) != CUT
    }

    /// Whether it left its upstream.
    pub fn is_retired(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= RETIRED
    }

    /// Whether what is open is to end at once.
    pub fn is_cut(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == CUT
    }

    /// Open connections, idle ones included.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection that was opened.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed.
    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Failures of real requests so far.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether active checks let it take traffic. Upstreams without checks do
    /// not ask.
    pub fn is_checked_healthy(&self) -> bool {
        self.health.is_checked_healthy()
    }

    /// Whether failures of real requests have taken it out, as of `now`.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.health.is_ejected(now)
    }
}
