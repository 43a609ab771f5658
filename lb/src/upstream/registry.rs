//! Where endpoint state outlives a snapshot.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{EndpointState, FirstRound, Members, RetryBudget, Upstream};
use crate::values::EndpointAddress;

/// Endpoint state by identity: the upstream's name and the address. A new
/// snapshot finds the counters and the health of what it shares with the old.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: Mutex<HashMap<Identity, Weak<EndpointState>>>,
    upstreams: Mutex<HashMap<Arc<str>, Weak<Shared>>>,
}

/// The upstream's name and the endpoint's address.
type Identity = (Arc<str>, EndpointAddress);

/// What outlives a snapshot for an upstream as a whole.
#[derive(Debug)]
pub struct Shared {
    /// Retries against requests.
    pub budget: RetryBudget,
    /// Its number, and its alone while the process lives.
    pub id: u64,
    /// Hashes what connections begin with into keys of a pool.
    pub header_keys: RandomState,
    /// Whether endpoints have been checked once.
    pub first_round: FirstRound,
    /// Requests to endpoints that have left.
    requests_left: AtomicU64,
    /// Idle connections that the lane keeps, over all workers.
    idle: Arc<CachePadded<AtomicUsize>>,
}

impl Default for Shared {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            header_keys: RandomState::new(),
            budget: RetryBudget::default(),
            first_round: FirstRound::default(),
            requests_left: AtomicU64::new(0),
            idle: Arc::default(),
        }
    }
}

impl Shared {
    /// Keeps what an endpoint that leaves has counted.
    pub(super) fn endpoint_left(&self, state: &EndpointState) {
        state.leave(|requests| {
            self.requests_left.fetch_add(requests, Ordering::Relaxed);
        });
    }

    /// Requests that endpoints had taken when they left.
    pub(super) fn requests_left(&self) -> u64 {
        self.requests_left.load(Ordering::Relaxed)
    }

    /// Room for another idle connection, if there are fewer than `most`.
    pub fn idle(&self, most: usize) -> Option<Idle> {
        // One too many for a moment is no harm.
        if self.idle.fetch_add(1, Ordering::Relaxed) >= most {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Idle(Arc::clone(&self.idle)))
    }

    /// How many idle connections the lane keeps.
    pub fn idle_connections(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }
}

/// Counts an idle connection for as long as it lives.
#[derive(Debug)]
pub struct Idle(Arc<CachePadded<AtomicUsize>>);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// The state of an endpoint, made when it is new.
    pub fn endpoint(&self, upstream: &Arc<str>, address: &EndpointAddress) -> Arc<EndpointState> {
        let mut endpoints = self.endpoints.lock();
        let identity = (Arc::clone(upstream), address.clone());
        if let Some(known) = endpoints.get(&identity).and_then(Weak::upgrade) {
            return known;
        }
        endpoints.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(EndpointState::new(Arc::clone(upstream), address.clone()));
        endpoints.insert(identity, Arc::downgrade(&state));
        state
    }

    /// Another snapshot is live: endpoints that are in none of its upstreams have
    /// left.
    pub fn succeed(&self, old: &[Arc<Upstream>], new: &[Arc<Upstream>]) {
        let nobody = Members::default();
        for before in old {
            let now = new.iter().find(|upstream| upstream.name == before.name);
            match now {
                Some(now) => now.succeeds(&before.members(), &now.members()),
                None => before.succeeds(&before.members(), &nobody),
            }
        }
    }

    /// Cuts what is open at endpoints that have left longer ago than
    /// `drain_timeout`. Whether there was any.
    pub fn cut_overdue(&self, now: Instant, drain_timeout: Duration) -> bool {
        let states: Vec<_> = self.endpoints.lock().values().filter_map(Weak::upgrade).collect();
        let cut = states.iter().filter(|state| state.cut_if_overdue(now, drain_timeout));
        let open: u32 = cut.map(|state| state.in_flight()).sum();
        if open > 0 {
            tracing::warn!(
                exchanges = open,
                "the drain timeout is over; what endpoints that left still carried is cut"
            );
        }
        open > 0
    }

    /// What an upstream shares between snapshots, made when it is new.
    pub fn shared(&self, upstream: &Arc<str>) -> Arc<Shared> {
        let mut upstreams = self.upstreams.lock();
        if let Some(known) = upstreams.get(upstream).and_then(Weak::upgrade) {
            return known;
        }
        upstreams.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared::default());
        upstreams.insert(Arc::clone(upstream), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_endpoint_keeps_its_counters() {
        let registry = Registry::default();
        let upstream: Arc<str> = "api".into();
        let address: EndpointAddress = "10.0.0.1:80".parse().unwrap();
        let old = registry.endpoint(&upstream, &address);
        old.begin();
        let new = registry.endpoint(&upstream, &address);
        assert_eq!(new.in_flight(), 1);
        assert!(Arc::ptr_eq(&old, &new));
        let other = registry.endpoint(&"web".into(), &address);
        assert_eq!(other.in_flight(), 0);
        drop((old, new));
        assert_eq!(
            registry.endpoint(&upstream, &address).in_flight(),
            0,
            "what nobody holds is forgotten"
        );
    }
}
