//! Who gets a lease, and who is taken out.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Lease, Outcome, Placement, Tried, Unavailable, Upstream};
use crate::compile::compile_text;
use crate::snapshot::Snapshot;

/// An upstream of endpoints `10.0.0.1`, `10.0.0.2` and so on, with these rules.
fn snapshot(rules: &[&str], more: &str) -> Snapshot {
    let endpoints: Vec<String> = (1..)
        .zip(rules)
        .map(|(number, rules)| format!("{{ address: \"10.0.0.{number}:80\", {rules} }}"))
        .collect();
    let yaml = format!(
        r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams:
  api: {{ endpoints: [{}], {more} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        endpoints.join(", ")
    );
    compile_text(&yaml, Path::new("."), &|_| None, &crate::snapshot::Registry::default())
        .snapshot
        .unwrap()
}

fn placement(now: Instant) -> Placement {
    Placement { random: 0, key: 0, now }
}

fn lease(upstream: &Upstream, tried: &Tried) -> Result<Lease, Unavailable> {
    upstream.lease(placement(Instant::now()), tried)
}

/// The number of an endpoint: the last of its address.
fn number(lease: &Lease) -> u32 {
    let label = lease.endpoint().label();
    label.trim_end_matches(":80").rsplit('.').next().unwrap().parse().unwrap()
}

fn eject(upstream: &Upstream, lease: &Lease) {
    for _ in 0..3 {
        upstream.record_failure(lease, Instant::now(), "test");
    }
}

#[test]
fn no_more_than_there_are_places() {
    let snapshot = snapshot(&["max_connections: 2", "max_connections: 1"], "");
    let upstream = &snapshot.upstreams[0];
    let mut leases: Vec<Lease> =
        (0..3).map(|_| lease(upstream, &Tried::default()).unwrap()).collect();
    let mut numbers: Vec<u32> = leases.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 2]);
    assert_eq!(lease(upstream, &Tried::default()).unwrap_err(), Unavailable::Full);
    let given_back = number(&leases.pop().unwrap());
    assert_eq!(number(&lease(upstream, &Tried::default()).unwrap()), given_back);
}

#[test]
fn no_thread_takes_a_place_too_many() {
    let snapshot = snapshot(&["max_connections: 2", "max_connections: 3"], "");
    let upstream = &snapshot.upstreams[0];
    let counts = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let taken: Vec<Lease> =
                        (0..3).filter_map(|_| lease(upstream, &Tried::default()).ok()).collect();
                    for lease in &taken {
                        let index = number(lease) as usize - 1;
                        let count = counts[index].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(count <= [2, 3][index], "{count} on {index}");
                    }
                    for lease in taken {
                        counts[number(&lease) as usize - 1].fetch_sub(1, Ordering::SeqCst);
                        drop(lease);
                    }
                }
            });
        }
    });
    for endpoint in &upstream.members().endpoints {
        assert_eq!(endpoint.state.in_flight(), 0);
    }
}

#[test]
fn a_backup_comes_after_the_others_and_before_those_that_failed() {
    let snapshot = snapshot(&["weight: 1", "backup: true"], "");
    let upstream = &snapshot.upstreams[0];
    let mut tried = Tried::default();
    for _ in 0..10 {
        assert_eq!(number(&lease(upstream, &tried).unwrap()), 1);
    }
    let first = lease(upstream, &tried).unwrap();
    tried.insert(first.endpoint());
    assert!(upstream.has_another(&first, &tried, Instant::now()));
    let second = lease(upstream, &tried).unwrap();
    assert_eq!(number(&second), 2);
    tried.insert(second.endpoint());
    assert_eq!(number(&lease(upstream, &tried).unwrap()), 1, "both have failed");
    eject(upstream, &first);
    assert_eq!(number(&lease(upstream, &Tried::default()).unwrap()), 2, "the other is out");
}

#[test]
fn a_worse_endpoint_is_not_taken_because_the_better_are_full() {
    let snapshot = snapshot(&["max_connections: 1", "weight: 1", "weight: 1"], "");
    let upstream = &snapshot.upstreams[0];
    let mut tried = Tried::default();
    let mut leases: Vec<Lease> = Vec::new();
    while leases.len() < 3 {
        let lease = lease(upstream, &tried).unwrap();
        tried.insert(lease.endpoint());
        leases.push(lease);
    }
    leases.sort_by_key(number);
    let mut tried = Tried::default();
    tried.insert(leases[1].endpoint());
    tried.insert(leases[2].endpoint());
    assert_eq!(lease(upstream, &tried).unwrap_err(), Unavailable::Full, "others have failed it");
    assert!(!upstream.has_another(&leases[1], &tried, Instant::now()));
    leases.remove(0);
    assert_eq!(number(&lease(upstream, &tried).unwrap()), 1);
}

#[test]
fn nobody_passes_those_who_wait() {
    let snapshot = snapshot(&["max_connections: 1"], "queue: { size: 1 }");
    let upstream = &snapshot.upstreams[0];
    let waiting = upstream.shared.queue.enter(1).unwrap();
    assert_eq!(lease(upstream, &Tried::default()).unwrap_err(), Unavailable::Full);
    let placement = placement(Instant::now());
    assert!(upstream.lease_in_turn(placement, &Tried::default()).is_ok());
    drop(waiting);
    assert!(lease(upstream, &Tried::default()).is_ok());
}

#[test]
fn health_comes_before_room() {
    let check = "health_check: { path: /check }";
    let snapshot = snapshot(&["max_connections: 1"], check);
    let unavailable = lease(&snapshot.upstreams[0], &Tried::default()).unwrap_err();
    assert_eq!(unavailable, Unavailable::NoEndpoint, "it was never found healthy");
}

#[test]
fn an_ejected_endpoint_comes_back_by_time() {
    let snapshot = snapshot(&["weight: 1000", "weight: 1"], "balance: round_robin");
    let upstream = &snapshot.upstreams[0];
    let first = lease(upstream, &Tried::default()).unwrap();
    assert_eq!(number(&first), 1);
    eject(upstream, &first);
    assert_eq!(number(&lease(upstream, &Tried::default()).unwrap()), 2);
    let later = placement(Instant::now() + Duration::from_secs(31));
    assert_eq!(number(&upstream.lease(later, &Tried::default()).unwrap()), 1);
}

const ERRORS: &str = "outlier: { error_rate: 50%, min_requests: 4, interval: 10s, eject_for: 30s }";

/// Sends ten requests to each endpoint; those with these numbers fail them.
fn ten_each(upstream: &Upstream, failing: &[u32], now: Instant) {
    for endpoint in 0..upstream.members().endpoints.len() {
        let mut tried = Tried::default();
        for (other, member) in upstream.members().endpoints.iter().enumerate() {
            if other != endpoint {
                tried.insert(&member.state);
            }
        }
        let lease = upstream.lease(placement(now), &tried).unwrap();
        let outcome = match failing.contains(&number(&lease)) {
            true => Outcome::Failed,
            false => Outcome::Served(Some(Duration::from_millis(20))),
        };
        (0..10).for_each(|_| upstream.report(&lease, None, outcome, now));
    }
}

/// The numbers of those that are out.
fn out(upstream: &Upstream, now: Instant) -> Vec<u32> {
    let members = upstream.members();
    let out = (1..).zip(&members.endpoints).filter(|(_, endpoint)| endpoint.state.is_ejected(now));
    out.map(|(number, _)| number).collect()
}

#[test]
fn outliers_are_taken_out_once_an_interval_and_half_stay_in() {
    let snapshot = snapshot(&["weight: 1"; 5], ERRORS);
    let upstream = &snapshot.upstreams[0];
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    upstream.keep_books(at(0));
    ten_each(upstream, &[1, 3, 4], at(5));
    upstream.keep_books(at(5));
    assert!(out(upstream, at(5)).is_empty(), "the interval is not over");
    upstream.keep_books(at(10));
    assert_eq!(out(upstream, at(10)), [1, 3], "two of five, for half may go");
    assert_eq!(out(upstream, at(40)), [0; 0], "they come back by time");
    // The next interval: those that are out have no say, and nobody else fails.
    upstream.keep_books(at(20));
    assert_eq!(out(upstream, at(20)), [1, 3]);
}

#[test]
fn the_only_endpoint_and_the_last_healthy_one_stay_in() {
    let alone = snapshot(&["weight: 1"], &format!("{ERRORS}, min_healthy_percent: 0"));
    let upstream = &alone.upstreams[0];
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    upstream.keep_books(start);
    ten_each(upstream, &[1], start);
    upstream.keep_books(at(10));
    assert_eq!(out(upstream, at(10)), [0; 0]);

    let three = snapshot(&["weight: 1"; 3], &format!("{ERRORS}, min_healthy_percent: 0"));
    let upstream = &three.upstreams[0];
    upstream.keep_books(start);
    ten_each(upstream, &[1, 2, 3], start);
    upstream.keep_books(at(10));
    assert_eq!(out(upstream, at(10)).len(), 2, "all fail, and one stays");
    assert_eq!(upstream.available(at(10)), 1);
}

#[test]
fn what_breaks_off_counts_as_failed() {
    let snapshot = snapshot(&["weight: 1"; 3], ERRORS);
    let upstream = &snapshot.upstreams[0];
    let start = Instant::now();
    upstream.keep_books(start);
    let lease = lease(upstream, &Tried::default()).unwrap();
    for _ in 0..4 {
        upstream.report(&lease, None, Outcome::Served(None), start);
        upstream.report_broken(&lease);
    }
    let later = start + Duration::from_secs(10);
    upstream.keep_books(later);
    assert_eq!(out(upstream, later), [number(&lease)]);
}
