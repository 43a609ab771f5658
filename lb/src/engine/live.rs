//! The snapshot that is live, with what the engines keep beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use prometheus::IntCounter;
use tokio::sync::watch;

use super::exchange::Exchange;
use crate::observe::{AccessLog, Metrics, RouteSeries, SnapshotSource, UpstreamSeries};
use crate::policy::RouteId;
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;

/// A snapshot and the metric series of its parts.
pub struct Live {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// By upstream index.
    pub upstreams: Vec<LiveUpstream>,
    /// Refusals, by limit index.
    pub refusals: Vec<IntCounter>,
    routes: Vec<Arc<RouteSeries>>,
    unrouted: Arc<RouteSeries>,
}

/// An upstream and what the Pingora engine needs for it.
pub struct LiveUpstream {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Its metrics.
    pub series: UpstreamSeries,
}

impl Live {
    /// Puts a snapshot on the road.
    pub fn new(snapshot: Arc<Snapshot>, metrics: &Metrics) -> Self {
        let (routes, unrouted) = metrics.routes(&snapshot.table);
        let upstreams = snapshot
            .upstreams
            .iter()
            .zip(metrics.upstreams(&snapshot))
            .map(|(upstream, series)| LiveUpstream { upstream: Arc::clone(upstream), series })
            .collect();
        Self { upstreams, refusals: metrics.limits(&snapshot), routes, unrouted, snapshot }
    }

    /// The metrics of a route, or of requests that no route took.
    pub fn series(&self, route: Option<RouteId>) -> &Arc<RouteSeries> {
        route.and_then(|route| self.routes.get(route.index())).unwrap_or(&self.unrouted)
    }
}

/// What every worker shares.
pub struct Shared {
    live: ArcSwap<Live>,
    draining: AtomicBool,
    /// Every upstream of some snapshot had been checked.
    ready: AtomicBool,
    /// Counts up when connections or exchanges are cut.
    cuts: watch::Sender<u64>,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Where exchanges are logged.
    pub access_log: AccessLog,
}

impl Shared {
    /// Starts with a first snapshot.
    pub fn new(live: Live, metrics: Metrics, access_log: AccessLog) -> Self {
        Self {
            live: ArcSwap::from_pointee(live),
            draining: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            cuts: watch::channel(0).0,
            metrics,
            access_log,
        }
    }

    /// The live snapshot. A request calls this once and keeps what it got.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Makes another snapshot live for new requests.
    pub fn replace(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// The upstreams of the first snapshot that have not been checked yet. None,
    /// once all have been.
    pub fn unchecked(&self) -> Vec<Arc<str>> {
        if self.ready.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let live = self.live();
        let unchecked: Vec<Arc<str>> = (live.snapshot.upstreams.iter())
            .filter(|upstream| !upstream.shared.first_round.is_over())
            .map(|upstream| Arc::clone(&upstream.name))
            .collect();
        self.ready.fetch_or(unchecked.is_empty(), Ordering::Relaxed);
        unchecked
    }

    /// Whether a Service has never been listed.
    pub fn has_unlisted(&self) -> bool {
        let live = self.live();
        let mut services = live.snapshot.upstreams.iter().flat_map(|upstream| upstream.services());
        services.any(|service| !service.is_listed())
    }

    /// What is wrong with the Services that endpoints come from, in words.
    pub fn problems(&self) -> Vec<String> {
        let live = self.live();
        let services =
            live.snapshot.upstreams.iter().flat_map(|upstream| {
                upstream.services().map(move |service| (&upstream.name, service))
            });
        services
            .filter_map(|(upstream, service)| {
                let problem = service.status().problem?;
                Some(format!("upstream \"{upstream}\": Service {}: {problem}", service.of()))
            })
            .collect()
    }

    /// Eras or endpoints are cut: whoever has to do with them looks.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Resolves whenever something is cut.
    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    /// Says that the process stops: connections are not kept alive any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.draining.set(1);
    }

    /// Whether the connection of an exchange is not to be kept: the process stops,
    /// or the connection's listener has changed.
    pub(super) fn closes(&self, exchange: &Exchange) -> bool {
        self.is_draining()
            || exchange.connection.as_ref().is_some_and(|connection| connection.era.is_closing())
    }

    /// Whether the process stops.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl SnapshotSource for Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.live.load().snapshot)
    }
}
