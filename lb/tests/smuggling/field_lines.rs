//! Field lines: a token, a colon, a value. RFC 9112 §5, RFC 9110 §5.

use crate::case::{Case, case, get, gotten};

const REFUSED: &[(&str, &[u8])] = &[
    // Obsolete folding (RFC 9112 §5.2).
    ("folded by a space", b"A: b\r\n c"),
    ("folded by a tab", b"A: b\r\n\tc"),
    ("folded by many", b"A: b\r\n  \t  c"),
    ("folded by nothing else", b"A: b\r\n \r\nC: d"),
    ("folded before a second colon", b"A: b\r\n C: d"),
    ("folded behind an empty value", b"A:\r\n b"),
    ("the last line folded", b"A: b\r\n "),
    // Whitespace around the name (RFC 9112 §5.1).
    ("a space before the colon", b"A : b"),
    ("a tab before the colon", b"A\t: b"),
    ("a vertical tab before the colon", b"A\x0b: b"),
    ("a space inside the name", b"A B: c"),
    ("a tab inside the name", b"A\tB: c"),
    // What is no name.
    ("no name", b": b"),
    ("only a colon", b":"),
    ("no colon", b"A b"),
    ("no colon and no value", b"A"),
    ("a request line", b"GET /@/smuggled HTTP/1.1"),
    ("a pseudo-header", b":path: /@/smuggled"),
    ("parentheses in the name", b"A(B): c"),
    ("quotes around the name", b"\"A\": b"),
    ("a slash in the name", b"A/B: c"),
    ("an at sign in the name", b"A@B: c"),
    ("a comma in the name", b"A,B: c"),
    ("a semicolon in the name", b"A;B: c"),
    ("an equals sign in the name", b"A=B: c"),
    ("a brace in the name", b"A{B: c"),
    ("a backslash in the name", b"A\\B: c"),
    ("a byte over 127 in the name", b"A\xe9: b"),
    ("UTF-8 in the name", b"\xc3\xa9: b"),
    // Control characters (RFC 9110 §5.5).
    ("a NUL in the name", b"A\0B: c"),
    ("a NUL before the name", b"\0A: b"),
    ("a NUL in the value", b"A: b\0c"),
    ("a NUL for a value", b"A: \0"),
    ("a control character in the name", b"A\x01: b"),
    ("a delete in the name", b"A\x7f: b"),
    ("a control character in the value", b"A: b\x01c"),
    ("a backspace in the value", b"A: b\x08c"),
    ("a vertical tab in the value", b"A: b\x0bc"),
    ("a form feed in the value", b"A: b\x0cc"),
    ("an escape in the value", b"A: b\x1b[0mc"),
    ("a delete in the value", b"A: b\x7fc"),
];

const LEGAL: &[(&str, &[u8])] = &[
    ("no space", b"A:b"),
    ("no value", b"A:"),
    ("only spaces for a value", b"A:  \t "),
    ("a tab in the value", b"A: b\tc"),
    ("a colon in the value", b"A: b: c"),
    ("bytes over 127 in the value", b"A: \xe9\xff"),
    ("every character of a name", b"!#$%&'*+-.^_`|~09azAZ: b"),
    ("a request line for a value", b"A: GET /@/smuggled HTTP/1.1"),
];

pub fn cases() -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, lines)| case(*name, gotten(lines, "")).refused());
    let legal =
        LEGAL.iter().map(|(name, lines)| case(*name, gotten(lines, "")).forwarded(&[get("/@")]));
    // Between the request line and the first field: some skip it, some take it
    // for part of one or the other (RFC 9112 §2.2).
    let first = [
        ("the first line begins with a space", " A: b\r\nHost: a"),
        ("the first line begins with a tab", "\tA: b\r\nHost: a"),
        ("the first line is Host and begins with a space", " Host: a\r\nHost: b"),
        ("the first line is only a space", " \r\nHost: a"),
    ]
    .map(|(name, lines)| case(name, format!("GET /@ HTTP/1.1\r\n{lines}\r\n\r\n")).refused());
    refused.chain(legal).chain(first).collect()
}
