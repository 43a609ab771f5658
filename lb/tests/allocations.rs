//! Reading heads and bodies, deciding and picking do not allocate.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;
use std::path::Path;
use std::time::Instant;

use http::HeaderMap;
use lb::compile::compile_text;
use lb::head::{
    BodyDecoder, HeadLimits, ResponseFraming, ResponseLimits, ResponseScanner, Scanner, Slots,
    may_pass_in_trailer, parse, parse_response, trailer_fields,
};
use lb::policy::{Action, Client, ListenerId, RequestHead, decide};
use lb::request::normalise_path;
use lb::snapshot::Registry;
use lb::upstream::{Placement, Tried};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations(work: impl Fn()) -> usize {
    // Once before: lazily built parts are built.
    work();
    // The allocator counts for the whole process, and the harness has a thread of its
    // own that starts when this one does: what the work allocates, it does each time.
    let rounds = (0..5).map(|_| {
        let region = Region::new(ALLOCATOR);
        for _ in 0..1000 {
            work();
        }
        region.change().allocations
    });
    rounds.min().unwrap_or(usize::MAX)
}

// One test: the allocator counts for the whole process.
#[test]
fn what_every_request_goes_through_allocates_nothing() {
    heads_and_bodies_are_read();
    a_request_is_decided_charged_and_placed();
}

fn heads_and_bodies_are_read() {
    const LIMITS: HeadLimits = HeadLimits { header_size: 8192, headers: 100, uri: 8192 };
    const REQUEST: &[u8] = b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
        Connection: keep-alive, x-hop\r\nTransfer-Encoding: chunked\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 caf\xe9\r\nServer: a\r\n\
        Connection: keep-alive, x-hop\r\nTransfer-Encoding: chunked\r\n\r\n";
    const BODY: &[u8] = b"5\r\nhello\r\n0;x\r\nx_forwarded_for: a\r\nDigest: b\r\n\r\n";

    let count = allocations(|| {
        let end = Scanner::default().find_end(REQUEST, &LIMITS);
        assert_eq!(end, Ok(Some(REQUEST.len())));
        let mut slots = Slots::new();
        let head = parse(REQUEST, &mut slots, &LIMITS).unwrap();
        assert!(head.is_nominated("X-Hop"));
        assert!(parse(&REQUEST[3..], &mut Slots::new(), &LIMITS).is_err());
    });
    assert_eq!(count, 0, "requests");

    let count = allocations(|| {
        let end = ResponseScanner::default().find_end(RESPONSE, &ResponseLimits::DEFAULT);
        assert_eq!(end, Ok(Some(RESPONSE.len())));
        let mut slots = Slots::new();
        let head = parse_response(RESPONSE, &mut slots, &ResponseLimits::DEFAULT).unwrap();
        assert!(head.is_nominated("X-Hop"));
        assert_eq!(head.framing("GET"), ResponseFraming::Chunked);
        let refused = b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n";
        assert!(parse_response(refused, &mut Slots::new(), &ResponseLimits::DEFAULT).is_err());
    });
    assert_eq!(count, 0, "responses");

    let count = allocations(|| {
        let step = BodyDecoder::for_response(ResponseFraming::Chunked).decode(BODY).unwrap();
        let mut fields = trailer_fields(&BODY[step.trailers]);
        assert!(fields.next().is_some_and(|field| !may_pass_in_trailer(field.name)));
        assert!(fields.next().is_some_and(|field| may_pass_in_trailer(field.name)));
    });
    assert_eq!(count, 0, "bodies");
}

fn a_request_is_decided_charged_and_placed() {
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
