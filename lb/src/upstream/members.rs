//! Who belongs to an upstream, at one time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::{EndpointState, Shared, Source, Upstream, slow_start, source};
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
    /// Which tiers some of them are of.
    tiers: [bool; 4],
}

/// An endpoint in an upstream: its weight here, and its shared state.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its share of the load.
    pub weight: u32,
    /// What else is configured of it.
    pub rules: EndpointRules,
    /// No source has it any more: it is here until others can take its place.
    pub(super) stays: bool,
    /// Counters and health.
    pub state: Arc<EndpointState>,
}

/// When an endpoint takes traffic: of the first tier that can, and of none behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// At any time.
    #[default]
    First,
    /// It is meant for clients in other zones.
    OtherZone,
    /// It is configured as a backup.
    Backup,
    /// It is told to go, and still serves: only when there is nobody else, not when the
    /// others are full.
    Leaving,
}

impl Tier {
    /// Those that share the load, the better first.
    pub(super) const STAYING: [Self; 3] = [Self::First, Self::OtherZone, Self::Backup];
}

/// What is configured of an endpoint beside its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointRules {
    /// When it takes traffic.
    pub tier: Tier,
    /// How many exchanges may be in flight on it.
    pub max_connections: Option<u32>,
    /// How long its share grows after it has come back.
    pub slow_start: Option<Duration>,
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        // Destructured so that a new field cannot be forgotten here.
        let Self { weight, rules, stays, state } = self;
        *weight == other.weight
            && *rules == other.rules
            && *stays == other.stays
            && state.id() == other.state.id()
    }
}

impl Members {
    /// Those that the sources have now, with room for others later.
    pub fn of(sources: &[Source], algorithm: Algorithm, shared: &Shared) -> ArcSwap<Self> {
        ArcSwap::from_pointee(Self::new(source::endpoints(sources, shared), algorithm))
    }

    fn new(endpoints: Vec<Endpoint>, algorithm: Algorithm) -> Self {
        let names = endpoints.iter().map(|endpoint| (&**endpoint.state.label(), endpoint.weight));
        let picker = algorithm.picker(names);
        let is_limited = endpoints.iter().any(|endpoint| endpoint.rules.max_connections.is_some());
        let mut tiers = [false; 4];
        endpoints.iter().for_each(|endpoint| tiers[endpoint.rules.tier as usize] = true);
        Self { endpoints, picker, is_limited, tiers }
    }

    /// Whether some of them are of a tier.
    pub(super) fn have(&self, tier: Tier) -> bool {
        self.tiers[tier as usize]
    }

    /// Tells its endpoints from others.
    fn ids(&self) -> HashSet<u64> {
        ids(&self.endpoints)
    }
}

fn ids(endpoints: &[Endpoint]) -> HashSet<u64> {
    endpoints.iter().map(|endpoint| endpoint.state.id()).collect()
}

impl Upstream {
    /// Its endpoints as they are now. Asked on every attempt: no lock, no count of
    /// references.
    pub fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Puts those endpoints in place that the sources have now. `before` are those
    /// that took requests up to now. Who left takes no new request; what is open
    /// goes on.
    pub(super) fn arrange(&self, before: &[Endpoint]) {
        self.arrange_after(before, |old| old.stays);
    }

    /// The same after a reload: `before` are those of the snapshot before.
    pub(super) fn take_over(&self, before: &[Endpoint]) {
        self.arrange_after(before, |_| true);
    }

    /// Make before break: those who can take requests stay while nobody else can in
    /// their place. While it is not known yet whom a source has, those stay that are
    /// `waiting` for it.
    fn arrange_after(&self, before: &[Endpoint], waiting: impl Fn(&Endpoint) -> bool) {
        let mut endpoints = source::endpoints(&self.sources, &self.shared);
        endpoints.iter().for_each(|endpoint| endpoint.state.enter());
        let here = ids(&endpoints);
        let all_are_needed = !self.have_place(&endpoints);
        let all_are_known = self.sources.iter().all(Source::is_known);
        let stays = |old: &&Endpoint| {
            (all_are_needed || (!all_are_known && waiting(old)))
                && self.may_use(&old.state)
                && !here.contains(&old.state.id())
        };
        let staying = before.iter().filter(stays);
        endpoints.extend(staying.map(|old| Endpoint { stays: true, ..old.clone() }));
        self.replace_members(endpoints, before);
    }

    /// Whether requests have where to go: to one that can take them, and is no backup
    /// of others that may come to; or nowhere, if there is to be nobody.
    fn have_place(&self, endpoints: &[Endpoint]) -> bool {
        if endpoints.is_empty() {
            return self.sources.iter().all(Source::may_be_empty);
        }
        let (can, cannot): (Vec<&Endpoint>, Vec<&Endpoint>) =
            endpoints.iter().partition(|endpoint| self.may_use(&endpoint.state));
        let first_will = cannot.iter().any(|endpoint| endpoint.rules.tier < Tier::Backup);
        can.iter().any(|endpoint| endpoint.rules.tier != Tier::Backup || !first_will)
    }

    fn replace_members(&self, endpoints: Vec<Endpoint>, before: &[Endpoint]) {
        let now = self.members.load_full();
        if now.endpoints != endpoints {
            self.members.store(Arc::new(Members::new(endpoints, self.algorithm)));
        }
        let new = self.members();
        let (here, were_here) = (new.ids(), ids(before));
        let left = |endpoint: &&Endpoint| !here.contains(&endpoint.state.id());
        let gone: Vec<&Endpoint> = before.iter().filter(left).collect();
        for endpoint in now.endpoints.iter().filter(left).chain(gone.iter().copied()) {
            self.shared.endpoint_left(&endpoint.state);
        }
        let is_new = |endpoint: &&Endpoint| !were_here.contains(&endpoint.state.id());
        let came: Vec<&Endpoint> = new.endpoints.iter().filter(is_new).collect();
        if !came.is_empty() || !gone.is_empty() {
            tracing::info!(
                upstream = %self.name,
                endpoints = new.endpoints.len(),
                added = labels(&came),
                removed = labels(&gone),
                "the endpoints are others now"
            );
        }
        self.shared.queue.look_again();
    }
}

/// As many endpoints as a line of the log names.
const LISTED: usize = 20;

fn labels(endpoints: &[&Endpoint]) -> String {
    let listed = endpoints.iter().take(LISTED).map(|endpoint| &**endpoint.state.label());
    let listed = listed.collect::<Vec<_>>().join(" ");
    match endpoints.len().saturating_sub(LISTED) {
        0 => listed,
        more => format!("{listed} and {more} more"),
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::testing::{self, arrange, labels, state};
    use super::super::{Lease, Placement, Tried, dns};
    use super::*;
    use crate::snapshot::Registry;

    const CHECKED: &str = ", health_check: { path: / }";

    fn upstream(registry: &Registry, endpoints: &str, more: &str) -> Arc<Upstream> {
        let content = format!("balance: round_robin, endpoints: [{endpoints}]{more}");
        testing::upstream(registry, &content)
    }

    fn named(registry: &Registry, more: &str) -> Arc<Upstream> {
        upstream(registry, r#"{ address: "api.test:80", weight: 2 }"#, more)
    }

    /// The name has these addresses now.
    fn resolve(upstream: &Upstream, addresses: &str) {
        dns::testing::resolve(&upstream.names()[0], addresses, Duration::from_secs(1));
        arrange(upstream);
    }

    fn lease(upstream: &Upstream, tried: &Tried) -> Option<Lease> {
        upstream.lease(Placement { random: 0, key: 0, now: Instant::now() }, tried).ok()
    }

    #[test]
    fn a_name_that_is_not_resolved_has_no_endpoint() {
        let api = named(&Registry::default(), "");
        assert!(lease(&api, &Tried::default()).is_none());
        resolve(&api, "10.0.0.2 10.0.0.1 fd00::1");
        assert_eq!(labels(&api), ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
        let lease = lease(&api, &Tried::default()).unwrap();
        assert_eq!(lease.endpoint().address().to_string(), "api.test:80", "it is called so");
        assert!(api.members().endpoints.iter().all(|endpoint| endpoint.weight == 2));
    }

    /// The total must not fall back, or the retry budget would close.
    #[test]
    fn leases_and_totals_outlive_a_change() {
        let api = named(&Registry::default(), "");
        resolve(&api, "10.0.0.1 10.0.0.2");
        let (first, second) = (state(&api, "10.0.0.1:80"), state(&api, "10.0.0.2:80"));
        let mut tried = Tried::default();
        let mut leases = Vec::new();
        for _ in 0..2 {
            let lease = lease(&api, &tried).unwrap();
            tried.insert(lease.endpoint());
            leases.push(lease);
        }
        assert_eq!(api.requests(), 2);

        resolve(&api, "10.0.0.2");
        assert_eq!(api.requests(), 2);
        assert!(tried.contains(&second), "it is known by itself, not by its place");
        let next = lease(&api, &Tried::default()).unwrap();
        assert_eq!(next.endpoint().id(), second.id());
        assert_eq!(first.in_flight(), 1, "what is open goes on");

        // It comes back, and nothing is counted twice.
        resolve(&api, "10.0.0.1 10.0.0.2");
        assert_eq!(api.requests(), 3);
        assert_eq!(state(&api, "10.0.0.1:80").id(), first.id());
        drop((leases, next));
        assert_eq!([first.in_flight(), second.in_flight()], [0, 0]);
    }

    #[test]
    fn the_old_stay_until_one_of_the_new_is_healthy() {
        let api = named(&Registry::default(), CHECKED);
        resolve(&api, "10.0.0.1 10.0.0.2 10.0.0.3");
        state(&api, "10.0.0.1:80").health.assume_healthy();
        resolve(&api, "10.0.0.4 10.0.0.5");
        // Not those that nobody could use anyway.
        assert_eq!(labels(&api), ["10.0.0.4:80", "10.0.0.5:80", "10.0.0.1:80"]);
        assert_eq!(&**lease(&api, &Tried::default()).unwrap().endpoint().label(), "10.0.0.1:80");
        arrange(&api);
        assert_eq!(labels(&api).len(), 3, "as long as that takes");
        state(&api, "10.0.0.5:80").health.assume_healthy();
        arrange(&api);
        assert_eq!(labels(&api), ["10.0.0.4:80", "10.0.0.5:80"]);
        // While one of those that stay is healthy there is nothing to wait for.
        resolve(&api, "10.0.0.5 10.0.0.6");
        assert_eq!(labels(&api), ["10.0.0.5:80", "10.0.0.6:80"]);
    }

    #[test]
    fn without_checks_the_new_take_over_at_once() {
        let api = named(&Registry::default(), "");
        resolve(&api, "10.0.0.1");
        resolve(&api, "10.0.0.2");
        assert_eq!(labels(&api), ["10.0.0.2:80"]);
    }

    #[test]
    fn who_comes_back_is_checked_anew() {
        let api = named(&Registry::default(), CHECKED);
        resolve(&api, "10.0.0.1 10.0.0.2");
        let first = state(&api, "10.0.0.1:80");
        first.health.assume_healthy();
        state(&api, "10.0.0.2:80").health.assume_healthy();
        let _open = lease(&api, &Tried::default()).unwrap();
        resolve(&api, "10.0.0.2");
        resolve(&api, "10.0.0.1 10.0.0.2");
        assert_eq!(state(&api, "10.0.0.1:80").id(), first.id());
        assert!(!first.is_checked_healthy());
        assert!(state(&api, "10.0.0.2:80").is_checked_healthy());
    }

    #[test]
    fn another_snapshot_knows_the_addresses() {
        let registry = Registry::default();
        let old = named(&registry, CHECKED);
        resolve(&old, "10.0.0.1");
        let first = state(&old, "10.0.0.1:80");
        first.health.assume_healthy();
        let new =
            upstream(&registry, r#"{ address: "api.test:80" }, { address: "10.0.0.9:80" }"#, "");
        assert_eq!(labels(&new), ["10.0.0.1:80", "10.0.0.9:80"]);
        assert_eq!(state(&new, "10.0.0.1:80").id(), first.id());
    }

    #[test]
    fn an_unchanged_answer_changes_nothing() {
        let api = named(&Registry::default(), "");
        resolve(&api, "10.0.0.1 10.0.0.2");
        let before = api.members.load_full();
        resolve(&api, "10.0.0.2 10.0.0.1");
        assert!(Arc::ptr_eq(&before, &api.members.load_full()));
    }
}
