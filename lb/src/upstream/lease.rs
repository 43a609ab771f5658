//! Leases: the right to use an endpoint for one exchange.
//!
//! A lease is counted from the pick to the last byte of the response, or to the
//! end of a tunnel, and released by `Drop`: a client that goes away and a panic
//! release it too. Every retry takes a new one.

use std::sync::Arc;
use std::time::Instant;

use super::{Endpoint, EndpointState, Members, Queue, Tier, Upstream};

/// What a pick may depend on beside the state of the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// 64 random bits.
    pub random: u64,
    /// The hash of the request's key.
    pub key: u64,
    /// Now.
    pub now: Instant,
}

/// Endpoints that already failed this request, by their ids: the members may
/// have changed between two attempts. Room for as many as there are attempts at
/// most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tried {
    ids: [u64; 16],
    count: u8,
}

impl Tried {
    /// Remembers an endpoint.
    pub fn insert(&mut self, endpoint: &EndpointState) {
        if let Some(slot) = self.ids.get_mut(self.count as usize) {
            *slot = endpoint.id();
            self.count += 1;
        }
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether an endpoint is remembered.
    pub fn contains(&self, endpoint: &EndpointState) -> bool {
        self.ids[..self.count as usize].contains(&endpoint.id())
    }
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Active checks leave no endpoint.
    #[error("no endpoint of the upstream is healthy")]
    NoEndpoint,
    /// Every endpoint that would do has as many exchanges as it may have.
    #[error("every endpoint of the upstream is full")]
    Full,
}

/// The right to use an endpoint for one exchange.
#[derive(Debug)]
pub struct Lease {
    state: Arc<EndpointState>,
    /// Who may wait for its place.
    queue: Option<Arc<Queue>>,
}

impl Lease {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.state
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.state.end();
        if let Some(queue) = &self.queue {
            queue.look_again();
        }
    }
}

/// How often a place that somebody else took is looked for again. Beyond that the
/// endpoints are as good as full.
const LOOKS: usize = 64;

impl Upstream {
    /// Picks an endpoint and takes a lease on it.
    ///
    /// In order of preference: healthy and not tried; then those that only
    /// failures of real requests took out; then, when there is nothing else,
    /// those that already failed this request. Of each the tiers come in their order. A
    /// worse one is not taken because the better ones are full, but of a later tier one
    /// may be, unless it is leaving.
    pub fn lease(&self, placement: Placement, tried: &Tried) -> Result<Lease, Unavailable> {
        if self.queue.is_some() && !self.shared.queue.is_empty() {
            // Nobody passes those who wait.
            return Err(Unavailable::Full);
        }
        self.lease_in_turn(placement, tried)
    }

    /// The same for one who waits already.
    pub fn lease_in_turn(&self, placement: Placement, tried: &Tried) -> Result<Lease, Unavailable> {
        let members = self.members();
        for _ in 0..LOOKS {
            let Endpoint { state, rules, .. } = self.choose(&members, placement, tried)?;
            if state.begin(rules.max_connections) {
                let queue = self.queue.is_some().then(|| Arc::clone(&self.shared.queue));
                return Ok(Lease { state: Arc::clone(state), queue });
            }
        }
        Err(Unavailable::Full)
    }

    fn choose<'m>(
        &self,
        members: &'m Members,
        placement: Placement,
        tried: &Tried,
    ) -> Result<&'m Endpoint, Unavailable> {
        let now = placement.now;
        // What almost every request finds.
        let best = self.pick(members, placement, |Endpoint { state, rules, .. }| {
            rules.tier == Tier::First && !tried.contains(state) && !state.is_ejected(now)
        });
        if let Some(best) = best {
            return Ok(best);
        }
        let preferences: [&dyn Fn(&EndpointState) -> bool; 4] = [
            &|state| !tried.contains(state) && !state.is_ejected(now),
            &|state| !tried.contains(state),
            &|state| !state.is_ejected(now),
            &|_| true,
        ];
        // The last two are for those that have been tried.
        let preferences = if tried.is_empty() { &preferences[..2] } else { &preferences[..] };
        for preferred in preferences {
            let of_tier = |tier: Tier| {
                if !members.have(tier) {
                    return None;
                }
                self.pick(members, placement, |Endpoint { state, rules, .. }| {
                    rules.tier == tier && preferred(state)
                })
            };
            let is_full = |is_leaving: bool| {
                let would_do = |Endpoint { state, rules, .. }: &Endpoint| {
                    (rules.tier == Tier::Leaving) == is_leaving
                        && self.may_use(state)
                        && preferred(state)
                };
                members.is_limited && members.endpoints.iter().any(would_do)
            };
            if let Some(found) = Tier::STAYING.into_iter().find_map(of_tier) {
                return Ok(found);
            }
            if is_full(false) {
                return Err(Unavailable::Full);
            }
            if let Some(found) = of_tier(Tier::Leaving) {
                return Ok(found);
            }
            if is_full(true) {
                return Err(Unavailable::Full);
            }
        }
        Err(Unavailable::NoEndpoint)
    }

    /// One that can take a request, of those that are `preferred`.
    fn pick<'m>(
        &self,
        members: &'m Members,
        Placement { random, key, now }: Placement,
        preferred: impl Fn(&Endpoint) -> bool,
    ) -> Option<&'m Endpoint> {
        let available = |_, endpoint: &Endpoint| {
            self.may_use(&endpoint.state) && preferred(endpoint) && !endpoint.is_full()
        };
        let index = members.picker.pick(&members.endpoints, available, random, key, now)?;
        members.endpoints.get(index)
    }

    /// Whether there is another endpoint than that of `lease` which would be chosen
    /// for its sake: healthy, not tried, and not full.
    pub fn has_another(&self, lease: &Lease, tried: &Tried, now: Instant) -> bool {
        self.members().endpoints.iter().any(|endpoint| {
            let state = &endpoint.state;
            state.id() != lease.state.id()
                && !tried.contains(state)
                && self.may_use(state)
                && !state.is_ejected(now)
                && !endpoint.is_full()
        })
    }

    /// Whether active checks, if there are any, let an endpoint take traffic.
    pub(super) fn may_use(&self, state: &EndpointState) -> bool {
        self.check.is_none() || state.is_checked_healthy()
    }

    /// How many endpoints could take a request now.
    pub fn available(&self, now: Instant) -> usize {
        self.members()
            .endpoints
            .iter()
            .filter(|endpoint| self.may_use(&endpoint.state) && !endpoint.state.is_ejected(now))
            .count()
    }
}
