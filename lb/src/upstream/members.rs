//! Who belongs to an upstream, at one time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::Guard;

use super::{EndpointState, Upstream, slow_start};
use crate::balance::{Algorithm, Picker, Slot, Turn};

/// The endpoints of an upstream at one time, and what chooses one of them. It is
/// replaced as a whole.
#[derive(Debug)]
pub struct Members {
    /// The endpoints, in written order.
    pub endpoints: Vec<Endpoint>,
    /// What chooses one of them.
    pub picker: Picker,
    /// Whether some of them can be full.
    pub(super) is_limited: bool,
}

/// An endpoint in an upstream: its weight here, and its shared state.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its share of the load.
    pub weight: u32,
    /// What else is configured of it.
    pub rules: EndpointRules,
    /// Counters and health.
    pub state: Arc<EndpointState>,
}

/// What is configured of an endpoint beside its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointRules {
    /// It takes traffic only when no other endpoint can.
    pub backup: bool,
    /// How many exchanges may be in flight on it.
    pub max_connections: Option<u32>,
    /// How long its share grows after it has come back.
    pub slow_start: Option<Duration>,
}

impl Members {
    /// These endpoints.
    pub fn new(endpoints: Vec<Endpoint>, algorithm: Algorithm) -> Self {
        let names = endpoints.iter().map(|endpoint| (&**endpoint.state.label(), endpoint.weight));
        let picker = algorithm.picker(names);
        let is_limited = endpoints.iter().any(|endpoint| endpoint.rules.max_connections.is_some());
        Self { endpoints, picker, is_limited }
    }

    /// Whether an endpoint is among them.
    pub fn contains(&self, state: &EndpointState) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.state.id() == state.id())
    }
}

impl Upstream {
    /// Its endpoints as they are now. Asked on every attempt: no lock, no count of
    /// references.
    pub fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Puts other endpoints in the place of those it had. Who left takes no new
    /// request; what is open goes on.
    pub fn replace_members(&self, endpoints: Vec<Endpoint>) {
        let old = self.members.swap(Arc::new(Members::new(endpoints, self.algorithm)));
        let new = self.members();
        for endpoint in &old.endpoints {
            if !new.contains(&endpoint.state) {
                self.shared.endpoint_left(&endpoint.state);
            }
        }
        self.shared.queue.look_again();
    }
}

impl Endpoint {
    /// Whether as many exchanges are in flight on it as may be.
    pub(super) fn is_full(&self) -> bool {
        self.rules.max_connections.is_some_and(|most| self.state.in_flight() >= most)
    }

    /// Its weight as of now: less than what is configured while it starts slowly.
    pub fn current_weight(&self, now: Instant) -> f64 {
        let configured = slow_start::weight(self.weight, Duration::ZERO, None);
        let current = self.rules.slow_start.map_or(configured, |_| self.weight(now));
        f64::from(self.weight) * f64::from(current) / f64::from(configured)
    }
}

impl Slot for Endpoint {
    fn weight(&self, now: Instant) -> u32 {
        match self.rules.slow_start {
            None => self.weight,
            Some(over) => slow_start::weight(self.weight, over, self.state.health.up_for(now)),
        }
    }
    fn in_flight(&self) -> u32 {
        self.state.in_flight()
    }
    fn turn(&self) -> &Turn {
        self.state.turn()
    }
}
