//! The request line: a method, one space, a target, one space, a version.
//! RFC 9112 §3.

use crate::case::{Case, SMUGGLED, case, get, message};

const REFUSED: &[(&str, &[u8])] = &[
    ("two spaces before the target", b"GET  /@ HTTP/1.1"),
    ("two spaces before the version", b"GET /@  HTTP/1.1"),
    ("a tab before the target", b"GET\t/@ HTTP/1.1"),
    ("a tab before the version", b"GET /@\tHTTP/1.1"),
    ("a vertical tab before the version", b"GET /@\x0bHTTP/1.1"),
    ("a space behind the version", b"GET /@ HTTP/1.1 "),
    ("a tab behind the version", b"GET /@ HTTP/1.1\t"),
    ("a space before the method", b" GET /@ HTTP/1.1"),
    ("a space in the target", b"GET /@/a b HTTP/1.1"),
    ("a second version", b"GET /@ HTTP/1.1 HTTP/1.1"),
    ("a second request line inside", b"GET /@ HTTP/1.1 GET /@/smuggled HTTP/1.1"),
    ("no target", b"GET HTTP/1.1"),
    ("an empty target", b"GET  HTTP/1.1"),
    ("no method", b"/@ HTTP/1.1"),
    ("an empty method", b" /@ HTTP/1.1"),
    ("a comma in the method", b"GET,POST /@ HTTP/1.1"),
    ("parentheses in the method", b"GE(T) /@ HTTP/1.1"),
    ("a colon in the method", b"GET: /@ HTTP/1.1"),
    ("a NUL in the method", b"GE\0T /@ HTTP/1.1"),
    ("a byte over 127 in the method", b"G\xc9T /@ HTTP/1.1"),
    ("a NUL in the target", b"GET /@\0 HTTP/1.1"),
    ("a control character in the target", b"GET /@\x01 HTTP/1.1"),
    ("a delete in the target", b"GET /@\x7f HTTP/1.1"),
    ("a byte over 127 in the target", b"GET /@/\xe9 HTTP/1.1"),
    ("UTF-8 in the target", b"GET /@/\xc3\xa9 HTTP/1.1"),
    ("a fragment", b"GET /@#fragment HTTP/1.1"),
    ("a fragment behind a query", b"GET /@?a=b#c HTTP/1.1"),
    ("a target without a slash", b"GET x/@ HTTP/1.1"),
    ("an asterisk for GET", b"GET * HTTP/1.1"),
    ("an asterisk and more", b"OPTIONS */@ HTTP/1.1"),
    ("the authority form for GET", b"GET a:80 HTTP/1.1"),
    ("a host name for a target", b"GET a HTTP/1.1"),
    ("an encoded NUL in the path", b"GET /@%00 HTTP/1.1"),
];

/// RFC 9110 §15.6.6 has 505 for versions; what does not even look like one is 400.
const OF_ANOTHER_VERSION: &[(&str, &[u8])] = &[
    ("lower case", b"GET /@ http/1.1"),
    ("mixed case", b"GET /@ HtTP/1.1"),
    ("HTTP/0.9", b"GET /@ HTTP/0.9"),
    ("HTTP/1.2", b"GET /@ HTTP/1.2"),
    ("HTTP/1.9", b"GET /@ HTTP/1.9"),
    ("HTTP/2.0", b"GET /@ HTTP/2.0"),
    ("HTTP/2", b"GET /@ HTTP/2"),
    ("HTTP/3.0", b"GET /@ HTTP/3.0"),
    ("no minor version", b"GET /@ HTTP/1"),
    ("a dot and no minor version", b"GET /@ HTTP/1."),
    ("two digits", b"GET /@ HTTP/1.10"),
    ("a zero before", b"GET /@ HTTP/01.1"),
    ("three parts", b"GET /@ HTTP/1.1.1"),
    ("a plus", b"GET /@ HTTP/1.+1"),
    ("a comma", b"GET /@ HTTP/1,1"),
    ("a letter behind", b"GET /@ HTTP/1.1x"),
    ("a NUL behind", b"GET /@ HTTP/1.1\0"),
    ("a backslash", b"GET /@ HTTP\\1.1"),
    ("another protocol", b"GET /@ ICY/1.1"),
    ("full-width digits", b"GET /@ HTTP/\xef\xbc\x91.1"),
];

const LEGAL: &[(&str, &str, &str)] = &[
    ("an encoded line end in the path", "GET", "/@%0d%0aHost:%20b"),
    ("an encoded request in the path", "GET", "/@%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/x"),
    ("an encoded line end in the query", "GET", "/@?a=%0d%0aX:%20y"),
    ("an encoded space and fragment", "GET", "/@/a%20b%23c"),
    ("a URL in the query", "GET", "/@?http://b/"),
    ("a method in lower case", "get", "/@"),
    ("a method that nobody knows", "PROPFIND-2", "/@"),
];

pub fn cases() -> Vec<Case> {
    let headed = |line: &[u8]| [line, b"\r\nHost: a\r\n\r\n"].concat();
    let refused = REFUSED.iter().map(|(name, line)| case(*name, headed(line)).refused());
    let versions = OF_ANOTHER_VERSION
        .iter()
        .map(|(name, line)| case(format!("version: {name}"), headed(line)).refused_as(&[400, 505]));
    let legal = LEGAL.iter().map(|(name, method, target)| {
        case(*name, headed(format!("{method} {target} HTTP/1.1").as_bytes()))
            .forwarded(&[message(method, target, "")])
    });
    let others = [
        case("HTTP/0.9, no version at all", "GET /@\r\n\r\n").refused_as(&[400, 505]),
        case(
            "HTTP/2.0 with a body",
            [b"POST /@ HTTP/2.0\r\nHost: a\r\nContent-Length: 40\r\n\r\n", SMUGGLED].concat(),
        )
        .refused_as(&[400, 505]),
        case("a field before the request line", "Host: a\r\nGET /@ HTTP/1.1\r\n\r\n").refused(),
        case("a field before, with a body", [b"A: b\r\n", SMUGGLED].concat()).refused(),
        case(
            "a target over the limit",
            format!("GET /@?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)),
        )
        .answered(&[414]),
        case(
            "a header over the limit",
            format!("GET /@ HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(40_000)),
        )
        .answered(&[431]),
        case(
            "more lines than the limit",
            format!("GET /@ HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(300)),
        )
        .answered(&[431]),
        case("the absolute form of another scheme", headed(b"GET ftp://a/@ HTTP/1.1"))
            .refused()
            .forwarded(&[get("/@")]),
    ];
    refused.chain(versions).chain(legal).chain(others).collect()
}
