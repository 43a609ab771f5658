//! Line ends: CR LF and nothing else. A bare LF may be taken for one (RFC 9112
//! §2.2), which is why it is not: the next reader may not.

use crate::case::{Case, End, SMUGGLED, case, get};

const REFUSED: &[(&str, &[u8])] = &[
    ("a line feed behind the request line", b"GET /@ HTTP/1.1\nHost: a\r\n\r\n"),
    ("a line feed behind a field", b"GET /@ HTTP/1.1\r\nA: b\nHost: a\r\n\r\n"),
    ("a line feed behind the last field", b"GET /@ HTTP/1.1\r\nHost: a\n\r\n"),
    ("a line feed for the empty line", b"GET /@ HTTP/1.1\r\nHost: a\r\n\n"),
    ("only line feeds", b"GET /@ HTTP/1.1\nHost: a\n\n"),
    ("only line feeds and a body", b"POST /@ HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc"),
    ("a line feed in a name", b"GET /@ HTTP/1.1\r\nHost: a\r\nA\nB: c\r\n\r\n"),
    ("a line feed in a value", b"GET /@ HTTP/1.1\r\nHost: a\r\nA: b\nc\r\n\r\n"),
    (
        "two line feeds in a value",
        b"GET /@ HTTP/1.1\r\nHost: a\r\nA: b\n\nGET /@/smuggled HTTP/1.1\r\n\r\n",
    ),
    ("a line feed before the colon", b"GET /@ HTTP/1.1\r\nHost: a\r\nA\n: b\r\n\r\n"),
    ("a line feed before the request line", b"\nGET /@ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a line feed and a carriage return", b"GET /@ HTTP/1.1\n\rHost: a\n\r\n\r"),
    ("a carriage return behind the request line", b"GET /@ HTTP/1.1\rHost: a\r\n\r\n"),
    ("a carriage return behind a field", b"GET /@ HTTP/1.1\r\nA: b\rHost: a\r\n\r\n"),
    ("only carriage returns", b"GET /@ HTTP/1.1\rHost: a\r\r\r\n\r\n"),
    ("a carriage return in the target", b"GET /@\r/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a carriage return in a name", b"GET /@ HTTP/1.1\r\nHost: a\r\nA\rB: c\r\n\r\n"),
    ("a carriage return in a value", b"GET /@ HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n"),
    ("a carriage return before a value", b"GET /@ HTTP/1.1\r\nHost: a\r\nA:\rb\r\n\r\n"),
    ("a carriage return before the colon", b"GET /@ HTTP/1.1\r\nHost: a\r\nA\r: b\r\n\r\n"),
    ("two carriage returns behind the request line", b"GET /@ HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ("two carriage returns behind a field", b"GET /@ HTTP/1.1\r\nHost: a\r\nA: b\r\r\n\r\n"),
    ("two carriage returns for the empty line", b"GET /@ HTTP/1.1\r\nHost: a\r\n\r\r\n\r\n"),
    ("a carriage return before the request line", b"\rGET /@ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a carriage return and a space", b"GET /@ HTTP/1.1\r\nHost: a\r\nA: b\r \r\n\r\n"),
    ("a next line of Latin 1", b"GET /@ HTTP/1.1\x85Host: a\r\n\r\n"),
    ("a line separator of Unicode", b"GET /@ HTTP/1.1\xe2\x80\xa8Host: a\r\n\r\n"),
    ("letters whose low bytes are a line end", b"GET /@ HTTP/1.1\xc4\x8d\xc4\x8aHost: a\r\n\r\n"),
];

pub fn cases() -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, bytes)| case(*name, bytes).refused());
    let others = [
        // RFC 9112 §2.2: an empty line before the request line is ignored.
        case("an empty line before the request line", [b"\r\n", SMUGGLED].concat())
            .forwarded(&[get("/@/smuggled")]),
        case(
            "an empty line between two requests",
            [b"GET /@ HTTP/1.1\r\nHost: a\r\n\r\n\r\n", SMUGGLED].concat(),
        )
        .forwarded(&[get("/@"), get("/@/smuggled")]),
        case(
            "a line feed between two requests",
            [b"GET /@ HTTP/1.1\r\nHost: a\r\n\r\n\n", SMUGGLED].concat(),
        )
        .forwarded_then(&[get("/@")], End::Refused(&[400])),
        case(
            "the second request ends its lines by line feeds",
            "GET /@ HTTP/1.1\r\nHost: a\r\n\r\nGET /@/2 HTTP/1.1\nHost: a\n\n",
        )
        .forwarded_then(&[get("/@")], End::Refused(&[400])),
    ];
    refused.chain(others).collect()
}
