//! Where endpoint state outlives a snapshot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{Breaker, EndpointState, FirstRound, Queue, RetryBudget};
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
    /// Whether endpoints have been checked once.
    pub first_round: FirstRound,
    /// When outliers were looked for last.
    judged: Mutex<Option<Instant>>,
    /// Requests that wait because its endpoints are full.
    pub queue: Arc<Queue>,
    /// Whether the upstream is left alone.
    pub breaker: Arc<Breaker>,
    /// Requests to endpoints that have left.
    requests_left: AtomicU64,
    /// Idle connections that the lane keeps, over all workers.
    idle: Arc<CachePadded<AtomicUsize>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            budget: RetryBudget::default(),
            first_round: FirstRound::default(),
            judged: Mutex::default(),
            queue: Arc::default(),
            breaker: Arc::new(Breaker::new(Instant::now())),
            requests_left: AtomicU64::new(0),
            idle: Arc::default(),
        }
    }
}

impl Shared {
    /// Whether an interval is over, so that another begins. The first begins now.
    pub(super) fn begin_interval(&self, now: Instant, interval: Duration) -> bool {
        let mut judged = self.judged.lock();
        match *judged {
            Some(last) if now.saturating_duration_since(last) < interval => false,
            last => {
                *judged = Some(now);
                last.is_some()
            }
        }
    }

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
        if self.runs(upstream) {
            state.health.come_back(Instant::now());
        }
        endpoints.insert(identity, Arc::downgrade(&state));
        state
    }

    /// Whether an upstream takes requests already, so that an endpoint is new to it.
    fn runs(&self, upstream: &Arc<str>) -> bool {
        let known = self.upstreams.lock().get(upstream).and_then(Weak::upgrade);
        known.is_some_and(|shared| shared.first_round.is_over())
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
        assert!(old.begin(None));
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
