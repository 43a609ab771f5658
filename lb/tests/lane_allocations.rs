//! A request through the lane allocates nothing, from the client's bytes to its
//! line in the access log.
//!
//! Everything runs in this process, so that its allocator sees it: the proxy as it
//! is started, an origin, and a client, which read and write without allocating.

#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb::compile::compile_text;
use lb::snapshot::Registry;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 5_000;

const GET: &[u8] = b"GET /api/v1/users?page=2 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: tests\r\nReferer: https://www.example.com/\r\nAccept: */*\r\n\
    Cookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

const POST: &[u8] = b"POST /api/v1/users HTTP/1.1\r\nHost: www.example.com\r\n\
    Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\
    Date: Wed, 25 Nov 2026 17:00:00 GMT\r\n\r\nhello";

const CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n0\r\n\r\n";

/// Answers every request in full, GET with a length and the rest in chunks.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut seen = [0; 4096];
    let mut length = 0;
    loop {
        match stream.read(&mut seen[length..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => length += count,
        }
        let is_get = seen.starts_with(b"GET ");
        let end: &[u8] = if is_get { b"\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
        if seen[..length].ends_with(end) {
            stream.write_all(if is_get { LENGTH } else { CHUNKS }).unwrap();
            length = 0;
        }
    }
}

fn proxy(origin: SocketAddr) -> SocketAddr {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, status) = (free(), free());
    let yaml = format!(
        r#"
version: 1
workers: 1
status: {{ address: "{status}" }}
access_log: {{ path: /dev/null }}
listeners:
  http: {{ bind: ["{address}"], response_headers: {{ set: {{ X-Frame-Options: SAMEORIGIN }} }} }}
upstreams: {{ origin: {{ endpoints: [{{ address: "{origin}" }}] }} }}
rate_limits: {{ api: {{ key: client_ip, rate: 1000000/s, burst: 1000000 }} }}
virtual_hosts:
  - hosts: ["*.example.com"]
    routes: [{{ match: {{ path_prefix: /api/ }}, upstream: origin, rate_limits: [api] }}]
"#
    );
    let registry = Arc::new(Registry::default());
    let compiled = compile_text(&yaml, Path::new("."), &|_| None, &registry);
    let snapshot = compiled.snapshot.expect("it compiles");
    let options = lb::runtime::Options::new("never-read.yaml".into(), None);
    // Serves until the test's process ends.
    std::thread::spawn(move || lb::runtime::run(snapshot, registry, &options).unwrap());
    let patience = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < patience, "it never listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    address
}

fn exchange(stream: &mut TcpStream, request: &[u8], end: &[u8]) {
    stream.write_all(request).unwrap();
    let mut seen = [0; 4096];
    let mut length = 0;
    while !seen[..length].ends_with(end) {
        let count = stream.read(&mut seen[length..]).unwrap();
        assert_ne!(count, 0, "the connection was closed");
        length += count;
    }
    assert!(seen.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_request_through_the_lane_allocates_nothing() {
    let mut stream = TcpStream::connect(proxy(origin())).unwrap();
    for (request, end) in [(GET, &b"\r\n\r\nhello"[..]), (POST, b"\r\n0\r\n\r\n")] {
        // Buffers, pools and lazily made things are there after these.
        (0..500).for_each(|_| exchange(&mut stream, request, end));
        let (region, begun) = (Region::new(ALLOCATOR), Instant::now());
        (0..REQUESTS).for_each(|_| exchange(&mut stream, request, end));
        let allocations = region.change().allocations;
        // What happens ten times a second, whatever comes: the log is handed over,
        // deadlines are looked at.
        let ticks = begun.elapsed().as_millis() as usize / 100 + 1;
        println!("{allocations} allocations, {REQUESTS} requests, {ticks} tenths of a second");
        assert!(allocations <= 10 * ticks, "{allocations} allocations for {REQUESTS} requests");
    }
}
