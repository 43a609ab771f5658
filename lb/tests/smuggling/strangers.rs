//! Peers that speak something else, on a plain listener. Nothing of what they say
//! reaches an origin. Those who can be told by their first bytes are turned away
//! at once; the others where their head would end.

use crate::case::{Case, End, SMUGGLED, case, smuggled};

/// A TLS 1.2 ClientHello as it begins; with a request inside, as cross-protocol
/// attacks have it.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\
    0123456789abcdef0123456789abcdef\x20\
    0123456789abcdef0123456789abcdef\x00\x04\x13\x01\x13\x02\x01\x00\x00\x54";

pub fn cases() -> Vec<Case> {
    vec![
        case("PROXY v1", [b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n", SMUGGLED].concat())
            .closed(),
        case("PROXY v1, unknown", [b"PROXY UNKNOWN\r\n", SMUGGLED].concat()).closed(),
        case(
            "PROXY v2",
            [
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x13\x88\0\x50",
                SMUGGLED,
            ]
            .concat(),
        )
        .closed(),
        case(
            "PROXY between two requests",
            [SMUGGLED, b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n", SMUGGLED].concat(),
        )
        .forwarded_then(&[smuggled()], End::Closed),
        case("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .closed(),
        case("the preface of HTTP/2 and a request", [b"PRI * HTTP/2.0\r\n\r\n", SMUGGLED].concat())
            .closed(),
        case("TLS", CLIENT_HELLO).closed(),
        case("TLS and a request", [CLIENT_HELLO, b"\r\n", SMUGGLED, b"\r\n"].concat()).closed(),
        case("SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n").refused_as(&[400, 505]),
        case("SMTP", "EHLO a\r\nMAIL FROM:<a@b>\r\n\r\n").refused_as(&[400, 505]),
        case("Redis", "*1\r\n$4\r\nPING\r\n\r\n").refused_as(&[400, 505]),
        case("memcached", "set a 0 0 1\r\nb\r\n\r\n").refused_as(&[400, 505]),
        case("FastCGI", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0").closed(),
        case("a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").refused_as(&[400, 505]),
        case("NULs", [0; 64]).closed(),
    ]
}
