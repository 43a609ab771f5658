//! The snapshot that is live, with what the engines keep beside it.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use prometheus::IntCounter;

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
    routes: Vec<RouteSeries>,
    unrouted: RouteSeries,
}

/// An upstream and what the Pingora engine needs for it.
pub struct LiveUpstream {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Its metrics.
    pub series: UpstreamSeries,
    /// Keeps its pooled connections apart from those of other upstreams that
    /// have an endpoint in common.
    pub pool_key: u64,
    /// Hashes what connections begin with into keys of the pool.
    pub header_keys: RandomState,
}

impl Live {
    /// Puts a snapshot on the road.
    pub fn new(snapshot: Arc<Snapshot>, metrics: &Metrics) -> Self {
        let (routes, unrouted) = metrics.routes(&snapshot.table);
        let upstreams = snapshot
            .upstreams
            .iter()
            .zip(metrics.upstreams(&snapshot))
            .enumerate()
            .map(|(index, (upstream, series))| LiveUpstream {
                upstream: Arc::clone(upstream),
                series,
                pool_key: index as u64,
                header_keys: RandomState::new(),
            })
            .collect();
        Self { upstreams, refusals: metrics.limits(&snapshot), routes, unrouted, snapshot }
    }

    /// The metrics of a route, or of requests that no route took.
    pub fn series(&self, route: Option<RouteId>) -> &RouteSeries {
        route.and_then(|route| self.routes.get(route.index())).unwrap_or(&self.unrouted)
    }
}

/// What every worker shares.
pub struct Shared {
    live: ArcSwap<Live>,
    draining: AtomicBool,
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

    /// Says that the process stops: connections are not kept alive any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.draining.set(1);
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
