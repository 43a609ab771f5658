//! The cost of a decision by the number of routes, in four shapes: it must not
//! grow with them. `make bench-decide` prints time per decision.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, StatusCode};
use lb::policy::{
    Action, Client, Conditions, HostSpec, KeySeed, ListenerId, PathMatch, Redirect, RequestHead,
    Route, RouteAction, Table, TableBuilder, decide,
};
use lb::response::HeaderEdits;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// A table of one host whose routes are `shape(0..count)`.
fn table(count: usize, shape: impl Fn(usize) -> (PathMatch, Conditions)) -> Table {
    let mut builder = TableBuilder::new(1, KeySeed(1, 2));
    let host =
        builder.host(HostSpec { name: "bench".into(), response_headers: HeaderEdits::default() });
    builder.name(host, ListenerId(0), &"bench.test".parse().expect("a host")).expect("a new host");
    for index in 0..count {
        let (path, conditions) = shape(index);
        let route = Route {
            name: index.to_string().into(),
            host,
            conditions,
            // Forwarding costs as much to decide; this needs no upstream.
            action: RouteAction::Redirect(Redirect {
                https: None,
                host: None,
                port: Some(1),
                path: None,
                status: StatusCode::FOUND,
            }),
            charges: Vec::new(),
            concurrency: None,
            access_log: true,
            response_headers: HeaderEdits::default(),
        };
        builder.route(&path, route);
    }
    builder.finish(host).expect("the expressions compile");
    builder.build()
}

fn ask(table: &Table, path: &str, headers: &HeaderMap) -> bool {
    let head = RequestHead {
        method: "GET",
        host: Some("bench.test"),
        port: None,
        path,
        alternative_path: None,
        target: path,
        headers,
    };
    let client =
        Client { address: Ipv4Addr::LOCALHOST.into(), listener: ListenerId(0), tls: false };
    matches!(decide(table, &head, &client).action, Action::Redirect { .. })
}

fn tenant(index: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static("bench"));
    headers.insert("x-tenant", HeaderValue::try_from(format!("tenant-{index}")).expect("a value"));
    headers
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    shape: impl Fn(usize) -> (PathMatch, Conditions),
    request: impl Fn(usize) -> (String, HeaderMap),
) {
    let mut group = criterion.benchmark_group(name);
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    for count in SIZES {
        let table = table(count, &shape);
        // Requests all over the table, so that no cache line stays warm by chance.
        let requests: Vec<(String, HeaderMap)> =
            (0..64).map(|step| request(step * 7919 % count)).collect();
        assert!(
            requests.iter().all(|(path, headers)| ask(&table, path, headers)),
            "every request matches"
        );
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let (path, headers) = &requests[next % requests.len()];
                next += 1;
                ask(black_box(&table), black_box(path), black_box(headers))
            });
        });
    }
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    measure(
        criterion,
        "distinct exact paths",
        |index| (PathMatch::Exact(format!("/api/v1/resource-{index}")), Conditions::default()),
        |index| (format!("/api/v1/resource-{index}"), HeaderMap::new()),
    );
    measure(
        criterion,
        "nested prefixes",
        // Chains of five: /7, /7/1, /7/1/2, ...; as deep for few as for many.
        |index| (PathMatch::Prefix(nested(index)), Conditions::default()),
        |index| (format!("{}/items/42", nested(index)), HeaderMap::new()),
    );
    measure(
        criterion,
        "one path, many header matches",
        |index| {
            let value = format!("tenant-{index}").into_bytes();
            let headers = vec![(http::HeaderName::from_static("x-tenant"), value)];
            (PathMatch::Prefix("/api".into()), Conditions { headers, ..Conditions::default() })
        },
        |index| ("/api/v1/users".into(), tenant(index)),
    );
    measure(
        criterion,
        "regexes",
        |index| (PathMatch::Regex(format!("/api/r{index}/[0-9]+(/view)?")), Conditions::default()),
        |index| (format!("/api/r{index}/123/view"), HeaderMap::new()),
    );
}

/// One of five prefixes that lie inside of each other.
fn nested(index: usize) -> String {
    let (chain, level) = (index / 5, index % 5);
    (1..=level).fold(format!("/{chain}"), |prefix, segment| format!("{prefix}/{segment}"))
}

criterion_group!(benches, decisions);
criterion_main!(benches);
