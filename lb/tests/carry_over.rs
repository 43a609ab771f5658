//! What outlives a snapshot: counters and health, by upstream and address.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use lb::compile::compile_text;
use lb::snapshot::{Registry, Snapshot};
use lb::upstream::{Outcome, Placement, Tried, Unavailable, Upstream};

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

#[test]
fn an_endpoint_that_is_new_to_a_running_upstream_starts_slowly() {
    let registry = Registry::default();
    let with = |addresses: &str| format!("api: {{ slow_start: 1h, endpoints: [{addresses}] }}");
    let weights = |snapshot: &Snapshot| -> Vec<f64> {
        let members = upstream(snapshot, "api").members();
        let now = Instant::now();
        members.endpoints.iter().map(|endpoint| endpoint.current_weight(now)).collect()
    };
    let first = r#"{ address: "10.0.0.1:80", weight: 10 }"#;
    let both = format!(r#"{first}, {{ address: "10.0.0.2:80", weight: 10 }}"#);
    let old = snapshot(&registry, &with(first));
    assert_eq!(weights(&old), [10.0]);
    // Before the first round nothing has run.
    assert_eq!(weights(&snapshot(&registry, &with(&both))), [10.0, 10.0]);
    upstream(&old, "api").shared.first_round.finish();
    let new = snapshot(&registry, &with(&both));
    let [known, added] = weights(&new)[..] else { panic!("two endpoints") };
    assert_eq!(known, 10.0);
    assert!((1.0..1.2).contains(&added), "{added}");
}

#[test]
fn an_open_circuit_stays_open_and_an_outlier_stays_out() {
    let registry = Registry::default();
    let both = r#"
        api: {
          endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }],
          outlier: { error_rate: 50%, min_requests: 4, interval: 1s, eject_for: 1h },
          circuit_breaker: { min_requests: 4, open_for: 1h },
        },
        web: {
          endpoints: [{ address: "10.0.0.1:80" }, { address: "10.0.0.2:80" }],
          circuit_breaker: { min_requests: 4, open_for: 1h },
        }"#;
    let old = snapshot(&registry, both);
    let api = upstream(&old, "api");
    let now = Instant::now();
    api.keep_books(now);
    let lease = api.lease(placement(), &Tried::default()).unwrap();
    for _ in 0..4 {
        api.report(&lease, None, Outcome::Failed, now);
    }
    let later = now + Duration::from_secs(1);
    api.keep_books(later);
    let new = snapshot(&registry, both);
    assert_eq!(upstream(&new, "api").available(later), 1);
    assert!(upstream(&new, "api").admit(later).is_err());
    assert_eq!(upstream(&new, "web").available(later), 2);
    assert!(upstream(&new, "web").admit(later).is_ok());
}

#[test]
fn who_waits_and_what_is_in_flight_counts_in_a_new_snapshot() {
    let registry = Registry::default();
    let with = |rules: &str| {
        format!(
            r#"api: {{ endpoints: [{{ address: "10.0.0.1:80", {rules} }}], queue: {{ size: 1 }} }}"#
        )
    };
    let old = snapshot(&registry, &with("weight: 1"));
    let first = upstream(&old, "api").lease(placement(), &Tried::default()).unwrap();
    let new = snapshot(&registry, &with("max_connections: 1"));
    let api = upstream(&new, "api");
    let full = api.lease(placement(), &Tried::default()).unwrap_err();
    assert_eq!(full, Unavailable::Full);
    let waiting = upstream(&old, "api").shared.queue.enter(1).unwrap();
    assert_eq!(api.shared.queue.len(), 1);
    drop(old);
    drop((waiting, first));
    assert!(api.lease(placement(), &Tried::default()).is_ok());
}
