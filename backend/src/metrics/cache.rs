//! The cache, the sessions and the rooms that are in Redis.

use std::time::Duration;

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::registered;

/// Upper bounds in seconds: a round trip on the machine takes tens of
/// microseconds, one that is given up on half a second.
const CACHE_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What a look into the cache came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// It was there.
    Hit,
    /// It was not.
    Miss,
    /// It was there, but older than what the client has seen.
    Stale,
    /// The cache did not answer.
    Error,
}

/// Counts what happens at the cache. Clones count together.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    hits: IntCounter,
    misses: IntCounter,
    stale: IntCounter,
    errors: IntCounter,
    hit_ratio: Gauge,
    duration: Histogram,
    coalesced: IntCounter,
    up: IntGauge,
}

impl CacheMetrics {
    /// Whether it answers is shown only if there is one: a zero is an alarm.
    pub(super) fn new(registry: &Registry, is_there: bool) -> Result<Self, prometheus::Error> {
        let lookups = IntCounterVec::new(
            Opts::new(
                "fastnext_cache_lookups_total",
                "Looks into the cache, by what came of them.",
            ),
            &["result"],
        )?;
        let lookups = registered(registry, lookups)?;
        let up = IntGauge::new("fastnext_redis_up", "Whether the cache answered when last asked.")?;
        if is_there {
            registry.register(Box::new(up.clone()))?;
        } else {
            // None cannot be down.
            up.set(1);
        }
        let duration = HistogramOpts::new(
            "fastnext_cache_operation_duration_seconds",
            "How long the cache takes to answer.",
        );
        Ok(Self {
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            stale: lookups.with_label_values(&["stale"]),
            errors: lookups.with_label_values(&["error"]),
            hit_ratio: registered(
                registry,
                Gauge::new(
                    "fastnext_redis_hit_ratio",
                    "Hits per look into the cache since the start, 0 to 1; 0 before the first.",
                )?,
            )?,
            duration: registered(
                registry,
                Histogram::with_opts(duration.buckets(CACHE_BUCKETS.to_vec()))?,
            )?,
            coalesced: registered(
                registry,
                IntCounter::new(
                    "fastnext_cache_coalesced_total",
                    "Misses that waited for what another request was reading already.",
                )?,
            )?,
            up,
        })
    }

    /// Counts a look into the cache.
    pub fn looked_up(&self, lookup: Lookup) {
        let counter = match lookup {
            Lookup::Hit => &self.hits,
            Lookup::Miss => &self.misses,
            Lookup::Stale => &self.stale,
            Lookup::Error => &self.errors,
        };
        counter.inc();
    }

    /// Counts an answer of the cache.
    pub fn answered(&self, after: Duration) {
        self.duration.observe(after.as_secs_f64());
    }

    /// Counts a miss that waits for another's.
    pub fn coalesced(&self) {
        self.coalesced.inc();
    }

    /// Notes whether the cache answers.
    pub fn set_up(&self, is_up: bool) {
        self.up.set(is_up.into());
    }

    /// Whether the cache answered when last asked.
    pub fn is_up(&self) -> bool {
        self.up.get() != 0
    }

    /// Hits per lookup, 0 to 1; 0 before the first lookup.
    pub fn hit_ratio(&self) -> f64 {
        let hits = self.hits.get();
        match hits + self.misses.get() + self.stale.get() + self.errors.get() {
            0 => 0.0,
            total => hits as f64 / total as f64,
        }
    }

    pub(super) fn show(&self) {
        self.hit_ratio.set(self.hit_ratio());
    }
}

/// Counts what happens to sessions. Clones count together.
#[derive(Debug, Clone)]
pub struct SessionMetrics {
    /// Logins.
    pub issued: IntCounter,
    /// Logouts.
    pub revoked: IntCounter,
    /// Tokens that were not good.
    pub refused: IntCounter,
}

impl SessionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sessions = IntCounterVec::new(
            Opts::new("fastnext_sessions_total", "Sessions begun and ended, and tokens refused."),
            &["event"],
        )?;
        let sessions = registered(registry, sessions)?;
        Ok(Self {
            issued: sessions.with_label_values(&["issued"]),
            revoked: sessions.with_label_values(&["revoked"]),
            refused: sessions.with_label_values(&["refused"]),
        })
    }
}

/// Counts what goes between the rooms of the instances. Clones count together.
#[derive(Debug, Clone)]
pub struct RoomMetrics {
    /// Whether messages come from the other instances.
    pub bus_up: IntGauge,
    /// Sent to the other instances.
    pub published: IntCounter,
    /// Came from the other instances.
    pub received: IntCounter,
    /// Could not be sent to the other instances.
    pub dropped: IntCounter,
}

impl RoomMetrics {
    /// Whether messages come is shown only if there is a way: a zero is an alarm.
    pub(super) fn new(registry: &Registry, is_there: bool) -> Result<Self, prometheus::Error> {
        let bus_up = IntGauge::new(
            "fastnext_room_bus_up",
            "Whether messages of rooms come from the other instances.",
        )?;
        if is_there {
            registry.register(Box::new(bus_up.clone()))?;
        }
        let messages = IntCounterVec::new(
            Opts::new(
                "fastnext_room_messages_total",
                "Messages of rooms to and from the other instances.",
            ),
            &["direction"],
        )?;
        let messages = registered(registry, messages)?;
        Ok(Self {
            bus_up,
            published: messages.with_label_values(&["published"]),
            received: messages.with_label_values(&["received"]),
            dropped: messages.with_label_values(&["dropped"]),
        })
    }
}
