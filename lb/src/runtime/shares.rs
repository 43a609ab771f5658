//! What workers share of each listener, from one snapshot to the next.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::engine::Era;
use crate::listener::{Gate, ListenerShare, Room};
use crate::observe::Metrics;
use crate::snapshot::{Listener, Snapshot};

/// By the listener's name.
pub(super) type Shares = HashMap<Arc<str>, ListenerShare>;

/// How many connections the process lets in, and on which descriptors.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) room: Arc<Room>,
    pub(super) descriptors: RawFd,
}

/// The shares of a snapshot, after those of `old`; and the eras that end.
pub(super) fn succeed(
    old: Option<(&Snapshot, &Shares)>,
    new: &Snapshot,
    limits: &Limits,
    metrics: &Metrics,
) -> (Shares, Vec<Arc<Era>>) {
    let mut shares = Shares::new();
    for listener in new.listeners.iter() {
        let before = old.and_then(|(snapshot, shares)| {
            Some((snapshot.listeners.named(&listener.name)?, shares.get(&listener.name)?))
        });
        let share = match before {
            None => ListenerShare {
                era: begin(listener),
                gate: Arc::new(Gate::new(
                    Arc::clone(&limits.room),
                    limits.descriptors,
                    &listener.connections.limits,
                )),
                closings: Arc::new(metrics.closings(&listener.name)),
            },
            Some((before, share)) => ListenerShare {
                era: match same_terms(before, listener) {
                    true => Arc::clone(&share.era),
                    false => begin(listener),
                },
                gate: match before.connections.limits == listener.connections.limits {
                    true => Arc::clone(&share.gate),
                    false => Arc::new(share.gate.with(&listener.connections.limits)),
                },
                closings: Arc::clone(&share.closings),
            },
        };
        shares.insert(Arc::clone(&listener.name), share);
    }
    let ended = old
        .into_iter()
        .flat_map(|(_, shares)| shares.values())
        .filter(|share| !shares.values().any(|other| Arc::ptr_eq(&other.era, &share.era)));
    let ended = ended.map(|share| Arc::clone(&share.era)).collect();
    (shares, ended)
}

fn begin(listener: &Listener) -> Arc<Era> {
    Arc::new(Era::new(Arc::clone(&listener.slot), Arc::clone(&listener.name)))
}

/// Whether connections were let in on the terms that hold now: in clear or TLS,
/// what was asked of clients there, whose PROXY header was believed. Others have
/// to connect again.
fn same_terms(before: &Listener, now: &Listener) -> bool {
    let policy = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.server.policy);
    policy(before) == policy(now)
        && before.connections.proxy_protocol == now.connections.proxy_protocol
}
