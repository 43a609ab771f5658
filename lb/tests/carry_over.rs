//! What outlives a snapshot: counters and health, by upstream and address.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use lb::compile::compile_text;
use lb::snapshot::{Registry, Snapshot};
use lb::upstream::{Placement, Tried, Upstream};

fn snapshot(registry: &Registry, upstreams: &str) -> Snapshot {
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams: {{ {upstreams} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#
    );
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, registry);
    assert!(!compiled.has_errors(), "{:#?}", compiled.problems);
    compiled.snapshot.unwrap()
}

fn upstream<'s>(snapshot: &'s Snapshot, name: &str) -> &'s Upstream {
    snapshot.upstreams.iter().find(|upstream| &*upstream.name == name).unwrap()
}

fn placement() -> Placement {
    Placement { random: 0, key: 0, now: Instant::now() }
}

#[test]
fn counters_survive_a_change_of_snapshot() {
    let registry = Registry::default();
    let old = snapshot(&registry, r#"api: { endpoints: [{ address: "10.0.0.1:80" }] }"#);
    let lease = upstream(&old, "api").lease(placement(), &Tried::default()).unwrap();
    let new = snapshot(
        &registry,
        r#"api: { endpoints: [{ address: "10.0.0.2:80" }, { address: "10.0.0.1:80", weight: 3 }] }"#,
    );
    let members = upstream(&new, "api").members();
    let endpoints = &members.endpoints;
    assert_eq!([endpoints[0].state.in_flight(), endpoints[1].state.in_flight()], [0, 1]);
    // The busy one is known to be busy.
    let next = upstream(&new, "api").lease(placement(), &Tried::default()).unwrap();
    assert_eq!(&**next.endpoint().label(), "10.0.0.2:80");
    drop(old);
    drop(lease);
    assert_eq!(endpoints[1].state.in_flight(), 0);
    assert_eq!(endpoints[1].state.requests(), 1);
}

#[test]
fn health_survives_too_and_other_upstreams_share_nothing() {
    let registry = Registry::default();
    let both = r#"
        api: { endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }] },
        web: { endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }] }"#;
    let old = snapshot(&registry, both);
    let api = upstream(&old, "api");
    let now = Instant::now();
    let first = api.lease(placement(), &Tried::default()).unwrap();
    for _ in 0..3 {
        api.record_failure(&first, now, "test");
    }
    let new = snapshot(&registry, both);
    assert_eq!(upstream(&new, "api").available(now), 1);
    assert_eq!(upstream(&new, "web").available(now), 2);
    assert_eq!(upstream(&new, "api").available(now + Duration::from_secs(31)), 2);
}

#[test]
fn a_lease_is_released_by_a_panic() {
    let registry = Registry::default();
    let snapshot = snapshot(&registry, r#"api: { endpoints: [{ address: "10.0.0.1:80" }] }"#);
    let api = upstream(&snapshot, "api");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _lease = api.lease(placement(), &Tried::default()).unwrap();
        panic!("in the middle of an exchange");
    }));
    assert!(panicked.is_err());
    assert_eq!(api.members().endpoints[0].state.in_flight(), 0);
}

#[test]
fn ejection_leaves_half_in_and_never_takes_the_last() {
    let registry = Registry::default();
    let endpoints: Vec<String> =
        (1..=5).map(|n| format!("{{ address: \"10.0.0.{n}:80\" }}")).collect();
    let snapshot =
        snapshot(&registry, &format!("api: {{ endpoints: [{}] }}", endpoints.join(", ")));
    let api = upstream(&snapshot, "api");
    let now = Instant::now();
    let mut tried = Tried::default();
    let mut leases = Vec::new();
    for _ in 0..5 {
        let lease = api.lease(placement(), &tried).unwrap();
        tried.insert(lease.endpoint());
        leases.push(lease);
    }
    for lease in &leases {
        for _ in 0..3 {
            api.record_failure(lease, now, "test");
        }
    }
    assert_eq!(api.available(now), 3, "two of five, for half may go");
    assert!(api.lease(placement(), &tried).is_ok(), "when all were tried, one is tried again");
}

/// The total must not fall back, or the retry budget would close.
#[test]
fn members_change_and_leases_and_totals_stay() {
    let registry = Registry::default();
    let snapshot = snapshot(
        &registry,
        r#"api: { endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }] }"#,
    );
    let api = upstream(&snapshot, "api");
    let both = api.members().endpoints.clone();
    let mut tried = Tried::default();
    let leases: Vec<_> = (0..2)
        .map(|_| {
            let lease = api.lease(placement(), &tried).unwrap();
            tried.insert(lease.endpoint());
            lease
        })
        .collect();
    assert_eq!(api.requests(), 2);

    // The first leaves: who was tried is known by itself, not by its place.
    api.replace_members(vec![both[1].clone()]);
    assert_eq!(api.requests(), 2);
    assert!(tried.contains(&both[1].state));
    let next = api.lease(placement(), &Tried::default()).unwrap();
    assert_eq!(next.endpoint().id(), both[1].state.id());
    assert_eq!(both[0].state.in_flight(), 1, "what is open goes on");

    // It comes back, and nothing is counted twice.
    api.replace_members(both.clone());
    assert_eq!(api.requests(), 3);
    api.replace_members(Vec::new());
    assert_eq!(api.requests(), 3);
    assert!(api.lease(placement(), &Tried::default()).is_err());
    drop((leases, next));
    assert_eq!([both[0].state.in_flight(), both[1].state.in_flight()], [0, 0]);
}
