//! Requests that clients make up.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::case::{Body, Expect, Request};
use crate::generate::{chunks, content, line};

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
    "QUERY", "M-SEARCH", "get", "CONNECT",
];

const TARGETS: &[&str] = &[
    "/",
    "/",
    "/a",
    "/a?b=c&d=%20e",
    "/a//b/./../c",
    "/%7euser/%2F/%41",
    "/a;b=c/d",
    "/a?",
    "/edited/a",
    "/edited/a",
    "/small/a",
    "/small/a",
    "/moved",
    "/\\a",
    "/a?x=http://b.test/",
    "*",
    "http://a.test/a",
    "HTTP://A.TEST:80/a?b",
    "http://a.test",
    "http://a.test?b",
    "http://a.test/small/a",
    "https://a.test/a",
];

const HOSTS: &[&str] =
    &["a.test", "a.test", "a.test", "A.Test", "a.test:80", "a.test.", "[::1]:8080"];

/// Names in odd letter case, and values that some reader takes for something.
const LINES: &[(&str, &[u8])] = &[
    ("Accept", b"*/*"),
    ("ACCEPT", b"text/html; q=0.5"),
    ("User-Agent", b"a/1.0 (b; c)"),
    ("uSER-aGENT", b""),
    ("X-A", b"one"),
    ("x-a", b"two"),
    ("X-A", b""),
    ("X-B", b"a  b\tc"),
    ("x-b", b"\xe9\xff\x80"),
    ("X-B", b"\"quoted, with a comma\""),
    ("X-Long", &[b'x'; 3000]),
    ("Authorization", b"Basic eA=="),
    ("Proxy-Authorization", b"Basic eA=="),
    ("Content-Type", b"text/plain"),
    ("Content-Encoding", b"gzip"),
    ("Range", b"bytes=0-1"),
    ("If-None-Match", b"\"a\""),
    ("Accept-Encoding", b"gzip, br"),
    ("Cache-Control", b"no-cache"),
    ("Via", b"1.1 b"),
    ("Max-Forwards", b"0"),
    ("Cookie", b"a=b"),
    ("Cookie", b"c=d; e=f"),
    ("cookie", b""),
    // For this connection alone.
    ("Connection", b"keep-alive"),
    ("Connection", b"Keep-Alive, X-A"),
    ("connection", b"close"),
    ("Connection", b"x-b"),
    ("Connection", b"X-A, , X-B,"),
    ("Connection", b""),
    ("Connection", b"TE, Trailer"),
    ("Connection", b"upgrade"),
    ("Connection", b"cookie, x-forwarded-for, x-request-id"),
    ("Connection", b"authorization, x_b"),
    ("Keep-Alive", b"timeout=5"),
    ("Proxy-Connection", b"keep-alive"),
    ("TE", b"trailers"),
    ("te", b"gzip;q=0.5, trailers"),
    ("Trailer", b"X-Checksum"),
    ("Upgrade", b"h2c"),
    ("Upgrade", b"websocket"),
    ("HTTP2-Settings", b"AAMAAABkAAQAAP__"),
    // What endpoints believe.
    ("X-Forwarded-For", b"192.0.2.1"),
    ("x-forwarded-for", b"192.0.2.2, 127.0.0.2"),
    ("X-Forwarded-For", b"unknown, \"[2001:db8::1]:80\""),
    ("X-Forwarded-Proto", b"https"),
    ("X-Forwarded-Host", b"b.test"),
    ("X-Forwarded-Port", b"8443"),
    ("X-Forwarded-Prefix", b"/b"),
    ("X-Real-IP", b"192.0.2.3"),
    ("Forwarded", b"for=192.0.2.4;proto=https"),
    ("X-Request-ID", b"mine"),
    ("X-Request-ID", b"not\xe9visible"),
    ("X-Client-Cert-Subject", b"CN=a"),
    ("X-Client-Cert-Fingerprint", b"00"),
    // And what looks like it.
    ("X_Forwarded_For", b"192.0.2.5"),
    ("X-Forwarded_Proto", b"https"),
    ("x_real_ip", b"192.0.2.6"),
    ("X_Request-ID", b"mine"),
    ("X_A", b"looks like a field that is edited"),
    ("X_Other", b"looks like nothing"),
    ("Accept_", b"a"),
];

/// Behind the other field lines of a request. No body is longer than it says,
/// so that nobody waits for the rest.
pub const FAULTY_LINES: &[&str] = &[
    "Content-Length: 0\r\n",
    "Content-Length: 1, 1\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Host: b.test\r\n",
    "X-A : a\r\n",
    "X-A: a\r\n b\r\n",
    "X-A: a\n",
    "X-A: \0\r\n",
    ": a\r\n",
    "no colon\r\n",
    "Connection: host\r\n",
    "Connection: content-length, transfer-encoding\r\n",
    "Connection: a b\r\n",
    "Expect: 200-ok\r\n",
    "Upgrade: a b\r\n",
];

/// In the middle of chunks.
pub const FAULTY_CHUNKS: &[&str] = &[
    "xyz\r\n",
    "+1\r\na\r\n",
    "-1\r\n",
    " 1\r\na\r\n",
    "1\na\r\n",
    "1\r\nab\r\n",
    "1\r\na\n",
    "1;a\nb\r\na\r\n",
    "ffffffffffffffffff\r\n",
    "\r\n",
    "0x1\r\na\r\n",
    "1;\"\r\na\"\r\n",
];

pub fn body() -> impl Strategy<Value = Body> {
    prop_oneof![content().prop_map(Body::Length), chunks().prop_map(Body::Chunked),]
}

pub fn request() -> impl Strategy<Value = Request> {
    let version = prop_oneof![6 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let body = prop_oneof![2 => Just(Body::None), 3 => body()];
    let expect = prop_oneof![
        6 => Just(Expect::Nothing),
        1 => Just(Expect::AndGoesOn),
        2 => Just(Expect::AndWaits),
    ];
    (
        (select(METHODS), select(TARGETS), version, weighted(0.95, select(HOSTS))),
        vec(line(LINES), 0..8),
        (body, any::<Index>(), expect),
    )
        .prop_map(|((method, target, version, host), lines, (body, framed_at, expect))| {
            // Everything else about `*` and CONNECT is refused, which tells little.
            let method = if target == "*" { "OPTIONS" } else { method };
            let target = if method == "CONNECT" { "a.test:80" } else { target };
            let body = match body {
                // HTTP/1.0 has no transfer codings.
                Body::Chunked(_) if version == "HTTP/1.0" => Body::None,
                body => body,
            };
            Request {
                method,
                target: target.to_owned(),
                version,
                host,
                lines,
                body,
                framed_at,
                expect,
                fault: None,
            }
        })
}
