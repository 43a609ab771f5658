//! Trailers: field lines behind the last chunk. They end like every other, and
//! what they say of length, host or route comes too late (RFC 9110 §6.5.1).

use crate::case::{Case, SMUGGLED, case, post, posted, smuggled};

const BROKEN: &[(&str, &[u8])] = &[
    ("a line feed behind a trailer", b"A: b\n\r\n"),
    ("a line feed for the empty line", b"A: b\r\n\n"),
    ("only line feeds", b"A: b\n\n"),
    ("a carriage return behind a trailer", b"A: b\rC: d\r\n\r\n"),
    ("two carriage returns behind a trailer", b"A: b\r\r\n\r\n"),
    ("a folded trailer", b"A: b\r\n c\r\n\r\n"),
    ("a trailer folded by a tab", b"A: b\r\n\tc\r\n\r\n"),
    ("a first trailer that begins with a space", b" A: b\r\n\r\n"),
    ("a space before the colon", b"A : b\r\n\r\n"),
    ("no name", b": b\r\n\r\n"),
    ("no colon", b"A b\r\n\r\n"),
    ("a request line for a trailer", b"GET /@/2 HTTP/1.1\r\n\r\n"),
    ("a NUL in the name", b"A\0: b\r\n\r\n"),
    ("a NUL in the value", b"A: b\0\r\n\r\n"),
    ("a control character in the value", b"A: b\x01\r\n\r\n"),
];

/// Some refuse them, some drop them. Nobody may believe them.
const TOO_LATE: &[(&str, &str)] = &[
    ("Content-Length for a trailer", "Content-Length: 60\r\n\r\n"),
    ("Transfer-Encoding for a trailer", "Transfer-Encoding: chunked\r\n\r\n"),
    ("Host for a trailer", "Host: b\r\n\r\n"),
    ("Connection for a trailer", "Connection: close\r\n\r\n"),
    ("the mark of the proxy for a trailer", "X-Passed: no\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n"),
];

const CHUNKED: &str = "Transfer-Encoding: chunked";

fn chunks(trailers: &[u8]) -> Vec<u8> {
    [b"5\r\nhello\r\n0\r\n", trailers, SMUGGLED].concat()
}

pub fn cases() -> Vec<Case> {
    let broken = BROKEN
        .iter()
        .map(|(name, trailers)| case(*name, posted(CHUNKED, chunks(trailers))).broken());
    let too_late = TOO_LATE.iter().map(|(name, trailers)| {
        case(*name, posted(CHUNKED, chunks(trailers.as_bytes())))
            .forwarded(&[post("/@", "hello"), smuggled()])
            .broken()
    });
    let others = [
        case("a trailer", posted(CHUNKED, chunks(b"A: b\r\n\r\n")))
            .forwarded(&[post("/@", "hello"), smuggled()]),
        case(
            "a trailer that was announced",
            posted(format!("{CHUNKED}\r\nTrailer: A\r\nTE: trailers"), chunks(b"A: b\r\n\r\n")),
        )
        .forwarded(&[post("/@", "hello"), smuggled()]),
        case(
            "a trailer over the limit",
            posted(CHUNKED, chunks(format!("A: {}\r\n\r\n", "b".repeat(100_000)).as_bytes())),
        )
        .broken_as(&[400, 413, 431]),
        case(
            "more trailers than the limit",
            posted(CHUNKED, chunks(format!("{}\r\n", "A: b\r\n".repeat(5000)).as_bytes())),
        )
        .broken_as(&[400, 413, 431]),
        case("the client leaves in a trailer", posted(CHUNKED, "5\r\nhello\r\n0\r\nA: b\r\n"))
            .broken()
            .leaving(),
    ];
    broken.chain(too_late).chain(others).collect()
}
