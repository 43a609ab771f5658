//! Deciding and picking do not allocate.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;
use std::path::Path;
use std::time::Instant;

use http::HeaderMap;
use lb::compile::compile_text;
use lb::policy::{Action, Client, ListenerId, RequestHead, decide};
use lb::request::normalise_path;
use lb::upstream::{Placement, Registry, Tried};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations(work: impl Fn()) -> usize {
    // Once before: lazily built parts are built.
    work();
    let region = Region::new(ALLOCATOR);
    for _ in 0..1000 {
        work();
    }
    region.change().allocations
}

// One test: the allocator counts for the whole process.
#[test]
fn a_decision_its_keys_its_charges_and_a_lease_allocate_nothing() {
    let yaml = r#"
version: 1
listeners: { http: { bind: ["127.0.0.1:80"] } }
upstreams:
  least: { endpoints: &e [{ address: "127.0.0.1:1", weight: 2 }, { address: "127.0.0.1:2" }, { address: "127.0.0.1:3" }] }
  round: { balance: round_robin, endpoints: *e }
  random: { balance: random, endpoints: *e }
  hashed: { balance: consistent_hash, endpoints: *e }
  by_ip: { balance: ip_hash, endpoints: *e }
rate_limits:
  api: { key: [client_ip, "header:X-Api-Key"], rate: 1000000/s, burst: 1000000 }
virtual_hosts:
  - hosts: ["*.example.com", api.test]
    routes:
      - { match: { path: /exact }, upstream: least, rate_limits: [api] }
      - { match: { path_regex: "/regex/[0-9]+" }, upstream: round, rate_limits: [api] }
      - { match: { path_prefix: /a/b, methods: [GET], headers: { X-Tenant: gold }, query: { v: "1" } }, upstream: random }
      - { match: { path_prefix: /a }, upstream: hashed }
      - { match: { path_prefix: / }, upstream: by_ip }
"#;
    let compiled = compile_text(yaml, Path::new("."), &|_| None, &Registry::default());
    let snapshot = compiled.snapshot.expect("it compiles");
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", "gold".parse().unwrap());
    headers.insert("x-api-key", "secret".parse().unwrap());

    for target in ["/exact", "/regex/123", "/a/b/c?v=1", "/a/x", "/other"] {
        let count = allocations(|| {
            let path = normalise_path(target.split('?').next().unwrap()).unwrap();
            let head = RequestHead {
                method: "GET",
                host: Some("www.example.com"),
                port: None,
                path: &path.path,
                alternative_path: path.alternative.as_deref(),
                target,
                headers: &headers,
            };
            let client =
                Client { address: [192, 0, 2, 1].into(), listener: ListenerId(0), tls: false };
            let verdict = decide(&snapshot.table, &head, &client);
            for (charge, key) in verdict.charges(&snapshot.table, &head, &client) {
                assert!(snapshot.limits[charge.limit.index()].limiter.charge(key).is_ok());
            }
            let Action::Forward(upstream) = verdict.action else { panic!("{verdict:?}") };
            let placement = Placement { random: 7, key: 7, now: Instant::now() };
            let lease = snapshot.upstreams[upstream.index()].lease(placement, &Tried::default());
            assert!(lease.is_ok());
        });
        assert_eq!(count, 0, "{target}");
    }
}
