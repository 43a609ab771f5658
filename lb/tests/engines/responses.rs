//! Responses that origins make up.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::generate::{chunks, content, line};
use crate::script::{Body, Flaw, Interim, Response, Script};

const STATUSES: &[&str] = &[
    "200 OK",
    "200 OK",
    "200 OK",
    "200 ",
    "200 A longer phrase, with \"signs\"",
    "201 Created",
    "204 No Content",
    "206 Partial Content",
    "207 Multi-Status",
    "301 Moved Permanently",
    "304 Not Modified",
    "400 Bad Request",
    "404 Not Found",
    "418 I'm a teapot",
    "421 Misdirected Request",
    "426 Upgrade Required",
    "429 Too Many Requests",
    "500 Internal Server Error",
    "503 Service Unavailable",
    "599 Nobody Knows",
    "799 Beyond",
];

/// None that says how long the connection lasts: see [`CONNECTIONS`].
const LINES: &[(&str, &[u8])] = &[
    ("Server", b"origin/1.0"),
    ("Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Content-Type", b"text/plain; charset=utf-8"),
    ("content-type", b""),
    ("Content-Encoding", b"gzip"),
    ("Set-Cookie", b"a=b; Path=/"),
    ("set-cookie", b"c=d; HttpOnly"),
    ("SET-COOKIE", b""),
    ("X-A", b"one"),
    ("x-a", b"two"),
    ("X-B", b"a  b\tc"),
    ("X-B", b"\xe9\xff\x80"),
    ("X_B", b"underscore"),
    ("X-Long", &[b'y'; 3000]),
    ("ETag", b"W/\"a\""),
    ("Location", b"http://127.0.0.1:1/elsewhere"),
    ("Vary", b"*"),
    ("Via", b"1.0 b"),
    ("WWW-Authenticate", b"Basic realm=\"a, b\", Digest realm=\"c\""),
    ("Strict-Transport-Security", b"max-age=1"),
    ("X-Request-ID", b"the origin's"),
    ("Proxy-Status", b"origin; error=dns_error"),
    ("Alt-Svc", b"h3=\":443\""),
    ("Retry-After", b"1"),
    // For its connection alone.
    ("Connection", b"x-a"),
    ("Connection", b"X-B, , x-c,"),
    ("Connection", b"set-cookie, content-length, transfer-encoding, date"),
    ("Connection", b""),
    ("Connection", b"upgrade"),
    ("Keep-Alive", b"timeout=5, max=100"),
    ("Proxy-Connection", b"keep-alive"),
    ("Upgrade", b"h2c, websocket"),
    ("TE", b"trailers"),
    ("Trailer", b"X-Checksum"),
    ("Proxy-Authenticate", b"Basic"),
];

/// None of these says `close` among others: Pingora does not see it there, and the
/// next request would be lost or not, by chance.
const CONNECTIONS: &[&str] =
    &["close", "CLOSE", "keep-alive", "Keep-Alive", "keep-alive, x-b", "x-a"];

const INTERIMS: &[&str] = &[
    "100 Continue",
    "100 Continue",
    "100 ",
    "102 Processing",
    "103 Early Hints",
    "103 Early Hints",
    "199 Nobody Knows",
];

const INTERIM_LINES: &[(&str, &[u8])] = &[
    ("Link", b"</a.css>; rel=preload"),
    ("link", b"</b.css>; rel=preload"),
    ("X-A", b"interim"),
    ("Connection", b"x-a"),
    ("Keep-Alive", b"timeout=5"),
    ("Server", b"origin/1.0"),
];

pub fn script() -> impl Strategy<Value = Script> {
    let interims = prop_oneof![3 => vec(interim(), 0..=0), 2 => vec(interim(), 1..=3)];
    (interims, response(), vec(any::<Index>(), 0..=4), any::<bool>()).prop_map(
        |(interims, response, cuts, apart)| Script {
            interims,
            early: false,
            response,
            flaw: None,
            cuts,
            apart,
        },
    )
}

fn interim() -> impl Strategy<Value = Interim> {
    (select(INTERIMS), vec(line(INTERIM_LINES), 0..3), any::<bool>())
        .prop_map(|(status, lines, first)| Interim { status, lines, first })
}

fn response() -> impl Strategy<Value = Response> {
    let version = prop_oneof![6 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let body = prop_oneof![
        1 => Just(Body::Unsaid),
        3 => content().prop_map(Body::Length),
        3 => chunks().prop_map(Body::Chunked),
        1 => content().prop_map(Body::UntilClose),
    ];
    (
        (version, select(STATUSES)),
        vec(line(LINES), 0..8),
        (body, any::<Index>(), weighted(0.4, select(CONNECTIONS))),
    )
        .prop_map(|((version, status), mut lines, (body, framed_at, connection))| {
            if connection.is_some() {
                lines.retain(|line| line.name != "Connection");
            }
            let body = match body {
                // HTTP/1.0 has no transfer codings, and 204 neither length nor coding.
                Body::Chunked(_) if version == "HTTP/1.0" => Body::Unsaid,
                _ if status.starts_with("204") => Body::Unsaid,
                body => body,
            };
            Response { version, status, lines, body, framed_at, connection }
        })
}

pub fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        1 => Just(Flaw::Nothing),
        1 => Just(Flaw::HalfHead),
        2 => Just(Flaw::Short),
        2 => select(BEHIND).prop_map(Flaw::Behind),
        2 => select(RAW).prop_map(Flaw::Raw),
        3 => select(FIRST_LINES).prop_map(Flaw::FirstLine),
        4 => select(FLAWED_LINES).prop_map(Flaw::Lines),
        4 => select(FLAWED_CHUNKS).prop_map(Flaw::Chunks),
    ]
}

const BEHIND: &[&str] =
    &["x", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned", "0\r\n\r\n"];

const RAW: &[&str] = &[
    "hello\r\n\r\n",
    "\r\n\r\n",
    "\0\0\0\x0c\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x10\0\0",
    "<html></html>",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\n",
];

const FIRST_LINES: &[&str] = &[
    "HTTP/1.1 200\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/1.1\t200 OK\r\n",
    " HTTP/1.1 200 OK\r\n",
    "\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\n",
    "http/1.1 200 OK\r\n",
    "HTTP/2.0 200 OK\r\n",
    "HTTP/1.2 200 OK\r\n",
    "HTTP/0.9 200 OK\r\n",
    "ICY 200 OK\r\n",
    "HTTP/1.1 99 Low\r\n",
    "HTTP/1.1 099 Low\r\n",
    "HTTP/1.1 1000 High\r\n",
    "HTTP/1.1 2OO OK\r\n",
    "HTTP/1.1 200 O\0K\r\n",
    "HTTP/1.1 200 O\rK\r\n",
    "HTTP/1.1 200 \u{e9}\r\n",
    "HTTP/1.1\r\n",
    "HTTP/1.1 -200 OK\r\n",
];

const FLAWED_LINES: &[&str] = &[
    "Content-Length: 3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: -3\r\n",
    "Content-Length: +3\r\n",
    "Content-Length: 0x3\r\n",
    "Content-Length: 3 3\r\n",
    "Content-Length: \r\n",
    "Content-Length: 99999999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: \r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "X-A : a\r\n",
    "X-A: a\r\n b\r\n",
    " X-A: a\r\n",
    "X-A: a\n",
    "X-A: a\rb\r\n",
    "X-A: \0\r\n",
    "X-A: \x7f\r\n",
    ": a\r\n",
    "no colon\r\n",
    "X A: a\r\n",
    "X-\u{e9}: a\r\n",
    "Connection: a b\r\n",
    "Connection: close \x0b\r\n",
];

const FLAWED_CHUNKS: &[&str] = &[
    "xyz\r\n",
    "+1\r\na\r\n",
    "-1\r\n",
    " 1\r\na\r\n",
    "1 \r\na\r\n",
    "1\na\r\n",
    "1\r\nab\r\n",
    "1\r\na\n",
    "1;a\nb\r\na\r\n",
    "ffffffffffffffffff\r\n",
    "\r\n",
    "0x1\r\na\r\n",
    "1;\"\r\na\"\r\n",
];
