//! Expect, with which one of two readers waits and the other does not ("HTTP/1.1
//! must die"). Responses stay with their requests, whatever comes in between.

use crate::case::{Case, SMUGGLED, case, get, gotten, message, post, posted, smuggled};

const LENGTH: &str = "Content-Length: 3";

/// Fields that are malformed with or without an expectation in them.
const REFUSED: &[(&str, &[u8])] = &[
    ("a space before the colon", b"Expect : 100-continue"),
    ("a tab before the colon", b"Expect\t: 100-continue"),
    ("folded", b"Expect:\r\n 100-continue"),
    ("folded inside", b"Expect: 100-\r\n continue"),
    ("a line feed before the value", b"Expect:\n100-continue"),
    ("a carriage return behind", b"Expect: 100-continue\r"),
    ("a NUL behind", b"Expect: 100-continue\0"),
    ("a vertical tab before", b"Expect: \x0b100-continue"),
];

/// Values that one reader may take for an expectation. RFC 9110 §10.1.1 lets a
/// server say 417 to what it does not know, or ignore it.
const DISGUISED: &[(&str, &str)] = &[
    ("a word before", "Expect: y 100-continue"),
    ("a word behind", "Expect: 100-continue y"),
    ("a list", "Expect: 100-continue, 100-continue"),
    ("two lines", "Expect: 100-continue\r\nExpect: x"),
    ("something else", "Expect: 200-ok"),
];

pub fn cases() -> Vec<Case> {
    let abc = [b"abc", SMUGGLED].concat();
    let passed = [post("/@", "abc"), smuggled()];
    let refused = REFUSED.iter().map(|(name, field)| {
        case(*name, posted([LENGTH.as_bytes(), b"\r\n", field].concat(), &abc)).refused()
    });
    let disguised = DISGUISED.iter().map(|(name, field)| {
        case(*name, posted(format!("{LENGTH}\r\n{field}"), "abc"))
            .forwarded(&[post("/@", "abc")])
            .refused_as(&[400, 417])
    });
    let expecting = "Expect: 100-continue";
    // After a body that waited, the connection may be closed: RFC 9110 §10.1.1
    // leaves it to the server. Then what follows is not read.
    let legal = [
        case("a body that does not wait", posted(format!("{LENGTH}\r\n{expecting}"), &abc))
            .forwarded(&passed)
            .forwarded(&[post("/@", "abc")]),
        case(
            "chunks that do not wait",
            posted(
                format!("Transfer-Encoding: chunked\r\n{expecting}"),
                [b"3\r\nabc\r\n0\r\n\r\n", SMUGGLED].concat(),
            ),
        )
        .forwarded(&passed)
        .forwarded(&[post("/@", "abc")]),
        case(
            "another case of the value",
            posted(format!("{LENGTH}\r\nExpect: 100-CONTINUE"), "abc"),
        )
        .forwarded(&[post("/@", "abc")]),
        case("no body", gotten(expecting, SMUGGLED))
            .forwarded(&[get("/@"), smuggled()])
            .forwarded(&[get("/@")]),
        case("a body of no bytes", posted(format!("Content-Length: 0\r\n{expecting}"), SMUGGLED))
            .forwarded(&[post("/@", ""), smuggled()])
            .forwarded(&[post("/@", "")]),
        case(
            "HEAD",
            [b"HEAD /@ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", SMUGGLED].concat(),
        )
        .forwarded(&[message("HEAD", "/@", ""), smuggled()])
        .forwarded(&[message("HEAD", "/@", "")]),
        case(
            "HTTP/1.0, where it means nothing",
            "POST /@ HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        )
        .forwarded(&[post("/@", "abc")]),
        // The origin of these answers 100 although nobody asked.
        case(
            "an interim response to GET",
            [b"GET /interim/@ HTTP/1.1\r\nHost: a\r\n\r\n", SMUGGLED].concat(),
        )
        .forwarded(&[get("/interim/@"), smuggled()]),
        case(
            "an interim response to HEAD",
            [b"HEAD /interim/@ HTTP/1.1\r\nHost: a\r\n\r\n", SMUGGLED].concat(),
        )
        .forwarded(&[message("HEAD", "/interim/@", ""), smuggled()]),
        case(
            "an interim response to HEAD that expects it",
            [b"HEAD /interim/@ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", SMUGGLED]
                .concat(),
        )
        .forwarded(&[message("HEAD", "/interim/@", ""), smuggled()])
        .forwarded(&[message("HEAD", "/interim/@", "")]),
        case(
            "an interim response to a body",
            [b"POST /interim/@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", SMUGGLED]
                .concat(),
        )
        .forwarded(&[post("/interim/@", "abc"), smuggled()]),
    ];
    refused.chain(disguised).chain(legal).collect()
}
