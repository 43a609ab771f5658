//! Leases: the right to use an endpoint for one exchange.
//!
//! A lease is counted from the pick to the last byte of the response, or to the
//! end of a tunnel, and released by `Drop`: a client that goes away and a panic
//! release it too. Every retry takes a new one.

use std::sync::Arc;
use std::time::Instant;

use super::{EndpointState, Upstream};

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

    /// Whether an endpoint is remembered.
    pub fn contains(&self, endpoint: &EndpointState) -> bool {
        self.ids[..self.count as usize].contains(&endpoint.id())
    }
}

/// Active checks leave no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no endpoint of the upstream is healthy")]
pub struct NoEndpoint;

/// The right to use an endpoint for one exchange.
#[derive(Debug)]
pub struct Lease {
    state: Arc<EndpointState>,
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
    }
}

impl Upstream {
    /// Picks an endpoint and takes a lease on it.
    ///
    /// In order of preference: healthy and not tried; then those that only
    /// failures of real requests took out; then, when there is nothing else,
    /// those that already failed this request.
    pub fn lease(&self, placement: Placement, tried: &Tried) -> Result<Lease, NoEndpoint> {
        let Placement { random, key, now } = placement;
        let usable = |state: &EndpointState| {
            (self.check.is_none() || state.is_checked_healthy()) && state.is_resolved()
        };
        let members = self.members();
        let pick = |available: &dyn Fn(&EndpointState) -> bool| {
            members.picker.pick(
                &members.endpoints,
                |_, endpoint| usable(&endpoint.state) && available(&endpoint.state),
                random,
                key,
            )
        };
        let index = pick(&|state| !tried.contains(state) && !state.is_ejected(now))
            .or_else(|| pick(&|state| !tried.contains(state)))
            .or_else(|| pick(&|state| !state.is_ejected(now)))
            .or_else(|| pick(&|_| true))
            .ok_or(NoEndpoint)?;
        let state = Arc::clone(&members.endpoints[index].state);
        state.begin();
        Ok(Lease { state })
    }

    /// Takes in a failure of a real request on a leased endpoint: an active
    /// check follows at once, and enough failures take the endpoint out.
    pub fn record_failure(&self, lease: &Lease, now: Instant, reason: &str) {
        let state = &lease.state;
        state.count_failure();
        state.check_now.notify_one();
        let may_eject = || {
            let endpoints = &self.members().endpoints;
            let ejected = endpoints.iter().filter(|endpoint| endpoint.state.is_ejected(now));
            let share = 100 - usize::from(self.passive.min_healthy_percent.min(100));
            // The only endpoint is never taken out, whatever the percentage.
            let most = (endpoints.len() * share / 100).min(endpoints.len().saturating_sub(1));
            ejected.count() < most
        };
        if state.health.record_failure(now, &self.passive, may_eject) {
            tracing::warn!(
                upstream = %self.name,
                endpoint = %state.label(),
                reason,
                out_for_seconds = self.passive.fail_timeout.as_secs(),
                "endpoint taken out: too many failed requests"
            );
        }
    }

    /// How many endpoints could take a request now.
    pub fn available(&self, now: Instant) -> usize {
        self.members()
            .endpoints
            .iter()
            .filter(|endpoint| {
                (self.check.is_none() || endpoint.state.is_checked_healthy())
                    && endpoint.state.is_resolved()
                    && !endpoint.state.is_ejected(now)
            })
            .count()
    }
}
