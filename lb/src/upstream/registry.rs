//! Where the state of endpoints, and what is known of names, outlives a snapshot.

use std::collections::HashMap;
use std::hash::{Hash, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::kubernetes::{Service, ServiceRef};
use super::{Breaker, DnsName, EndpointState, FirstRound, Queue, RetryBudget, Target, Upstream};
use crate::values::EndpointAddress;

/// What outlives a snapshot, by the upstream's name. A new snapshot finds the
/// counters and the health of what it shares with the old.
#[derive(Debug, Default)]
pub struct Registry {
    retired: Arc<Retired>,
    upstreams: Mutex<HashMap<Arc<str>, Weak<Shared>>>,
}

/// Endpoints that have left their upstreams, and may have something open still.
type Retired = Mutex<Vec<Weak<EndpointState>>>;

/// What outlives a snapshot for one upstream.
#[derive(Debug)]
pub struct Shared {
    upstream: Arc<str>,
    retired: Arc<Retired>,
    /// Its number, and its alone while the process lives.
    pub id: u64,
    /// Hashes what connections begin with into keys of a pool.
    pub header_keys: RandomState,
    /// By where connections go. There are several for one target if it is called by
    /// several names.
    endpoints: Mutex<Known>,
    names: Mutex<HashMap<Arc<str>, Weak<DnsName>>>,
    services: Mutex<HashMap<ServiceRef, Weak<Service>>>,
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

#[derive(Debug, Default)]
struct Known {
    states: HashMap<Target, Vec<Weak<EndpointState>>>,
    /// With so many, those that nobody holds are looked for again.
    sweep_at: usize,
}

impl Known {
    /// Forgets those that nobody holds, each time there are twice as many: not for each
    /// that comes.
    fn sweep(&mut self) {
        if self.states.len() < self.sweep_at {
            return;
        }
        self.states.retain(|_, states| {
            states.retain(|state| state.strong_count() > 0);
            !states.is_empty()
        });
        self.sweep_at = (2 * self.states.len()).max(64);
    }
}

impl Shared {
    fn new(upstream: Arc<str>, retired: Arc<Retired>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            upstream,
            retired,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            header_keys: RandomState::new(),
            endpoints: Mutex::default(),
            names: Mutex::default(),
            services: Mutex::default(),
            budget: RetryBudget::default(),
            first_round: FirstRound::default(),
            judged: Mutex::default(),
            queue: Arc::default(),
            breaker: Arc::new(Breaker::new(Instant::now())),
            requests_left: AtomicU64::new(0),
            idle: Arc::default(),
        }
    }

    /// The state of an endpoint, made when it is new. The same address by another
    /// name is another endpoint, as TLS asks it for another name, of the same
    /// health.
    pub(super) fn endpoint(
        &self,
        address: &EndpointAddress,
        target: &Target,
    ) -> Arc<EndpointState> {
        let mut endpoints = self.endpoints.lock();
        let known = endpoints.states.get(target).map_or(&[][..], Vec::as_slice);
        let known: Vec<_> = known.iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = known.iter().find(|state| state.address() == address) {
            return Arc::clone(same);
        }
        endpoints.sweep();
        let upstream = Arc::clone(&self.upstream);
        let alike = known.last().map(|alike| &**alike);
        let state = Arc::new(EndpointState::new(upstream, address.clone(), target.clone(), alike));
        if alike.is_none() && self.first_round.is_over() {
            // It is new to an upstream that takes requests already.
            state.health.come_back(Instant::now());
        }
        let states = endpoints.states.entry(target.clone()).or_default();
        states.retain(|state| state.strong_count() > 0);
        states.push(Arc::downgrade(&state));
        state
    }

    /// What is known of a name.
    pub(super) fn name(&self, name: &str) -> Arc<DnsName> {
        let new = || DnsName::new(Arc::clone(&self.upstream), name);
        known_or_new(&self.names, &name.into(), new)
    }

    /// What is known of a Service.
    pub(super) fn service(&self, of: ServiceRef) -> Arc<Service> {
        let new = || Service::new(Arc::clone(&self.upstream), of.clone());
        known_or_new(&self.services, &of, new)
    }

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
    pub(super) fn endpoint_left(&self, state: &Arc<EndpointState>) {
        if !state.is_retired() {
            self.retired.lock().push(Arc::downgrade(state));
        }
        state.leave(Instant::now(), |requests| {
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

    /// Exchanges in flight at endpoints that have left.
    pub fn draining(&self) -> u32 {
        let endpoints = self.endpoints.lock();
        let known = endpoints.states.values().flatten().filter_map(Weak::upgrade);
        known.filter(|state| state.is_retired()).map(|state| state.in_flight()).sum()
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
    /// An upstream is in no snapshot that is live: its endpoints have left.
    pub fn upstream_left(upstream: &Upstream) {
        for endpoint in &upstream.members().endpoints {
            upstream.shared.endpoint_left(&endpoint.state);
        }
    }

    /// Cuts what is open at endpoints that have left longer ago than
    /// `drain_timeout`. Whether there was any.
    pub fn cut_overdue(&self, now: Instant, drain_timeout: Duration) -> bool {
        let mut open = 0;
        self.retired.lock().retain(|state| {
            let Some(state) = state.upgrade().filter(|state| state.is_retired()) else {
                // Nothing is open there, or it has come back.
                return false;
            };
            if state.cut_if_overdue(now, drain_timeout) {
                open += state.in_flight();
            }
            !state.is_cut()
        });
        if open > 0 {
            tracing::warn!(
                exchanges = open,
                "the drain timeout is over; what is open at endpoints that have left is cut"
            );
        }
        open > 0
    }

    /// What an upstream shares between snapshots, made when it is new.
    pub fn shared(&self, upstream: &Arc<str>) -> Arc<Shared> {
        let new = || Shared::new(Arc::clone(upstream), Arc::clone(&self.retired));
        known_or_new(&self.upstreams, upstream, new)
    }
}

/// What is known under a key, made when nobody holds it. What else nobody holds is
/// forgotten then.
fn known_or_new<K: Clone + Eq + Hash, V>(
    known: &Mutex<HashMap<K, Weak<V>>>,
    key: &K,
    new: impl FnOnce() -> V,
) -> Arc<V> {
    let mut known = known.lock();
    if let Some(one) = known.get(key).and_then(Weak::upgrade) {
        return one;
    }
    known.retain(|_, one| one.strong_count() > 0);
    let new = Arc::new(new());
    known.insert(key.clone(), Arc::downgrade(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(shared: &Shared, address: &str) -> Arc<EndpointState> {
        let target = Target::Tcp("10.0.0.1:80".parse().unwrap());
        shared.endpoint(&address.parse().unwrap(), &target)
    }

    #[test]
    fn the_same_endpoint_keeps_its_counters() {
        let registry = Registry::default();
        let api = registry.shared(&"api".into());
        let old = endpoint(&api, "10.0.0.1:80");
        assert!(old.begin(None));
        let new = endpoint(&registry.shared(&"api".into()), "10.0.0.1:80");
        assert_eq!(new.in_flight(), 1);
        assert!(Arc::ptr_eq(&old, &new));
        assert_eq!(endpoint(&registry.shared(&"web".into()), "10.0.0.1:80").in_flight(), 0);
        drop((old, new));
        assert_eq!(endpoint(&api, "10.0.0.1:80").in_flight(), 0, "what nobody holds is forgotten");
    }

    #[test]
    fn the_same_address_by_another_name_has_its_health() {
        let registry = Registry::default();
        let api = registry.shared(&"api".into());
        let old = endpoint(&api, "a.test:80");
        old.health.assume_healthy();
        let new = endpoint(&api, "b.test:80");
        assert_ne!(old.id(), new.id());
        assert!(new.is_checked_healthy());
        assert_eq!(old.label(), new.label());
        assert!(!endpoint(&registry.shared(&"web".into()), "b.test:80").is_checked_healthy());
        // One that left and is only still busy says nothing about now.
        api.endpoint_left(&old);
        api.endpoint_left(&new);
        assert!(!endpoint(&api, "c.test:80").is_checked_healthy());
        old.enter();
        assert!(!old.is_checked_healthy());
    }
}
