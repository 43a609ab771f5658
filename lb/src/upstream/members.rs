//! Who belongs to an upstream, at one time.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::Guard;

use super::{EndpointState, Upstream};
use crate::balance::{Algorithm, Picker, Slot, Turn};

/// The endpoints of an upstream at one time, and what chooses one of them. It is
/// replaced as a whole.
#[derive(Debug, Default)]
pub struct Members {
    /// The endpoints, in written order.
    pub endpoints: Vec<Endpoint>,
    /// What chooses one of them.
    pub picker: Picker,
}

/// An endpoint in an upstream: its weight here, and its shared state.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its share of the load.
    pub weight: u32,
    /// Counters and health.
    pub state: Arc<EndpointState>,
}

impl Members {
    /// These endpoints.
    pub fn new(endpoints: Vec<Endpoint>, algorithm: Algorithm) -> Self {
        let names = endpoints.iter().map(|endpoint| (&**endpoint.state.label(), endpoint.weight));
        let picker = algorithm.picker(names);
        Self { endpoints, picker }
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

    /// What they are called.
    pub fn labels(&self) -> Vec<Arc<str>> {
        let members = self.members();
        members.endpoints.iter().map(|endpoint| Arc::clone(endpoint.state.label())).collect()
    }

    /// Puts other endpoints in the place of those it had. Who left takes no new
    /// request; what is open goes on.
    pub fn replace_members(&self, endpoints: Vec<Endpoint>) {
        let old = self.members.swap(Arc::new(Members::new(endpoints, self.algorithm)));
        let new = self.members();
        self.succeeds(&old, &new);
    }

    /// Endpoints come and go. Who left drains.
    pub(super) fn succeeds(&self, old: &Members, new: &Members) {
        for endpoint in &old.endpoints {
            if !new.contains(&endpoint.state) {
                self.shared.endpoint_left(&endpoint.state);
                endpoint.state.retire(Instant::now());
            }
        }
        // One of them may have left before.
        new.endpoints.iter().for_each(|endpoint| endpoint.state.keep());
    }
}

impl Slot for Endpoint {
    fn weight(&self) -> u32 {
        self.weight
    }
    fn in_flight(&self) -> u32 {
        self.state.in_flight()
    }
    fn turn(&self) -> &Turn {
        self.state.turn()
    }
}
