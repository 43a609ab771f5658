//! The servers of the store, and where reads go.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{count, registered};
use crate::store::{ReadCounts, StoreStatus};

/// Shows a [`StoreStatus`] and [`ReadCounts`].
#[derive(Debug)]
pub(super) struct Database {
    pool_size: IntGauge,
    pool_checked_out: IntGauge,
    connections: IntGaugeVec,
    max_connections: IntGaugeVec,
    timeouts: IntCounterVec,
    reads: IntCounterVec,
    fallbacks: IntCounterVec,
    up: IntGaugeVec,
    lag: GaugeVec,
    in_use: IntGaugeVec,
}

impl Database {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counters = |name: &str, help: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        Ok(Self {
            pool_size: gauge("fastnext_db_pool_size", "Open connections to the primary database.")?,
            pool_checked_out: gauge(
                "fastnext_db_pool_checked_out",
                "Connections to the primary database in use.",
            )?,
            connections: gauges(
                "fastnext_db_pool_connections",
                "Open connections by server.",
                &["server", "state"],
            )?,
            max_connections: gauges(
                "fastnext_db_pool_max_connections",
                "Connections that there may be, by server.",
                &["server"],
            )?,
            timeouts: counters(
                "fastnext_db_pool_timeouts_total",
                "Times that no connection became free in time.",
                "server",
            )?,
            reads: counters(
                "fastnext_db_reads_total",
                "Reads that may go to a replica, by who answered them.",
                "target",
            )?,
            fallbacks: counters(
                "fastnext_db_reads_fallback_total",
                "Reads that did not go as they should, by why: see docs/operations.md.",
                "reason",
            )?,
            up: gauges("fastnext_db_up", "Whether the server answers.", &["server"])?,
            lag: registered(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "fastnext_db_replica_lag_seconds",
                        "How far the replica is behind the primary; none while it is down.",
                    ),
                    &["server"],
                )?,
            )?,
            in_use: gauges(
                "fastnext_db_replica_in_use",
                "Whether the replica takes reads.",
                &["server"],
            )?,
        })
    }

    pub(super) fn show(&self, status: &StoreStatus, reads: ReadCounts) {
        for server in &status.servers {
            let pool = server.pool;
            let name = server.name.as_str();
            if server.is_primary {
                self.pool_size.set(count(pool.size));
                self.pool_checked_out.set(count(pool.checked_out));
            } else {
                self.in_use.with_label_values(&[name]).set(server.takes_reads.into());
                match server.lag {
                    Some(lag) => self.lag.with_label_values(&[name]).set(lag.as_secs_f64()),
                    // An error would mean that there is no such series yet.
                    None => _ = self.lag.remove_label_values(&[name]),
                }
            }
            self.up.with_label_values(&[name]).set(server.is_up.into());
            let idle = pool.size.saturating_sub(pool.checked_out);
            self.connections.with_label_values(&[name, "idle"]).set(count(idle));
            self.connections.with_label_values(&[name, "in_use"]).set(count(pool.checked_out));
            self.max_connections.with_label_values(&[name]).set(count(pool.max));
            advance(&self.timeouts.with_label_values(&[name]), pool.timeouts);
        }
        for (target, total) in [("replica", reads.replica), ("primary", reads.primary)] {
            advance(&self.reads.with_label_values(&[target]), total);
        }
        for (reason, total) in [
            ("no_replica", reads.no_replica),
            ("not_replayed", reads.not_replayed),
            ("failed", reads.failed),
            ("primary_down", reads.primary_down),
        ] {
            advance(&self.fallbacks.with_label_values(&[reason]), total);
        }
    }
}

/// Brings a counter to a total that is counted elsewhere.
fn advance(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
