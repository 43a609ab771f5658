//! Host: exactly one, a host and perhaps a port, and the target says no other.
//! RFC 9112 §3.2.

use crate::case::{Case, case, get};

/// The lines of a `GET /@` by HTTP/1.1.
const REFUSED: &[(&str, &[u8])] = &[
    ("none", b"A: b"),
    ("two that are equal", b"Host: a\r\nHost: a"),
    ("two that differ", b"Host: a\r\nHost: b"),
    ("two in two cases", b"Host: a\r\nhost: b"),
    ("two, the first empty", b"Host:\r\nHost: a"),
    ("three", b"Host: a\r\nHost: a\r\nHost: a"),
    ("empty", b"Host:"),
    ("two in one line", b"Host: a, b"),
    ("two with a space between", b"Host: a b"),
    ("two with a tab between", b"Host: a\tb"),
    ("user information", b"Host: user@a"),
    ("a password", b"Host: user:secret@a"),
    ("a path", b"Host: a/b"),
    ("a query", b"Host: a?b"),
    ("a fragment", b"Host: a#b"),
    ("a backslash", b"Host: a\\b"),
    ("a scheme", b"Host: http://a"),
    ("a port that is no number", b"Host: a:b"),
    ("two ports", b"Host: a:80:81"),
    ("a signed port", b"Host: a:+80"),
    ("half an IPv6 address", b"Host: [::1"),
    ("letters behind an IPv6 address", b"Host: [::1]b"),
    ("a name in brackets", b"Host: [a]"),
    ("brackets inside a name", b"Host: a[b]"),
    ("a NUL", b"Host: a\0b"),
    ("a vertical tab", b"Host: a\x0bb"),
    ("a byte over 127", b"Host: \xe9"),
    ("quotes", b"Host: \"a\""),
    ("angle brackets", b"Host: <a>"),
    ("a space before the colon", b"Host : a"),
    ("a tab before the colon", b"Host\t: a"),
    ("a space before the name", b"A: b\r\n Host: a"),
    ("folded", b"Host:\r\n a"),
    ("folded behind", b"Host: a\r\n b"),
    ("behind a bare line feed", b"A: b\nHost: a"),
    ("a second one behind a bare line feed", b"Host: a\r\nA: b\nHost: b"),
];

/// A target and Host.
const CONTRADICTIONS: &[(&str, &str, &str)] = &[
    ("the target names another host", "http://a/@", "Host: b"),
    ("the target names another port", "http://a:81/@", "Host: a:82"),
    ("the target has user information", "http://user@a/@", "Host: a"),
    ("the target has the host for user information", "http://b@a/@", "Host: b"),
    ("the target has no host", "http:///@", "Host: a"),
    ("the target has a fragment", "http://a/@#b", "Host: a"),
    ("the target has a backslash before an at sign", "http://a\\@b/@", "Host: a"),
    ("the target has a host and Host is missing", "http://a/@", "A: b"),
    ("the target has a host and Host stands twice", "http://a/@", "Host: a\r\nHost: b"),
];

pub fn cases() -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, lines)| {
        case(*name, [b"GET /@ HTTP/1.1\r\n", *lines, b"\r\n\r\n"].concat()).refused()
    });
    let contradictions = CONTRADICTIONS.iter().map(|(name, target, lines)| {
        case(*name, format!("GET {target} HTTP/1.1\r\n{lines}\r\n\r\n")).refused()
    });
    let legal = [
        ("the target names the same host", "GET http://a/@ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("the target names it in another case", "GET http://A/@ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a port", "GET /@ HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
        ("an IPv6 address", "GET /@ HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
        ("another case of the name", "GET /@ HTTP/1.1\r\nhOST: a\r\n\r\n"),
        ("none, by HTTP/1.0", "GET /@ HTTP/1.0\r\n\r\n"),
    ]
    .map(|(name, bytes)| case(name, bytes).forwarded(&[get("/@")]));
    let old = case("two, by HTTP/1.0", "GET /@ HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").refused();
    refused.chain(contradictions).chain(legal).chain([old]).collect()
}
