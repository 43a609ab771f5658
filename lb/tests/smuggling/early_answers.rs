//! Answers before the body is read: CL.0 and client-side desync ("Browser-Powered
//! Desync Attacks"). The body is never taken for the next request.

use crate::case::{Case, SMUGGLED, case};

/// A body that is shorter than it says, with a request in it.
fn unfinished(head: &str) -> Vec<u8> {
    [head.as_bytes(), b"Content-Length: 4000\r\n\r\nabc\r\n", SMUGGLED].concat()
}

pub fn cases() -> Vec<Case> {
    let redirect = "POST /redirect/@ HTTP/1.1\r\nHost: a\r\n";
    let chunk = b"23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n";
    let get_smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = get_smuggled.len();
    vec![
        case(
            "a redirect and a body that is a request",
            format!("{redirect}Content-Length: {length}\r\n\r\n{get_smuggled}"),
        )
        .answered(&[302]),
        case(
            "a redirect of GET and a body that is a request",
            format!(
                "GET /redirect/@ HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{get_smuggled}"
            ),
        )
        .answered(&[302]),
        case(
            "a redirect of HEAD and a body that is a request",
            format!(
                "HEAD /redirect/@ HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{get_smuggled}"
            ),
        )
        .answered(&[302]),
        case(
            "a redirect and a chunk that is a request",
            [redirect.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", chunk].concat(),
        )
        .answered(&[302]),
        case(
            "a redirect and broken chunks",
            [redirect.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", SMUGGLED].concat(),
        )
        .answered(&[302])
        .refused(),
        case("a redirect and half a body", unfinished(redirect)).answered(&[302]),
        case(
            "a redirect and an expectation",
            format!(
                "{redirect}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n{get_smuggled}"
            ),
        )
        .answered(&[302]),
        case(
            "a body over the limit",
            unfinished("POST /small/@ HTTP/1.1\r\nHost: a\r\n"),
        )
        .refused_as(&[413]),
        case(
            "chunks over the limit",
            [
                b"POST /small/@ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                &chunk[..],
                SMUGGLED,
            ]
            .concat(),
        )
        .broken_as(&[413]),
        case(
            "CONNECT and a request behind",
            [b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", SMUGGLED].concat(),
        )
        .refused_as(&[405]),
        case("CONNECT with a body", unfinished("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n"))
            .refused_as(&[405]),
        case(
            "a path that climbs, and a body that is a request",
            format!(
                "POST /@/../../../x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{get_smuggled}"
            ),
        )
        .refused(),
        case(
            "the client leaves in a body",
            unfinished("POST /@ HTTP/1.1\r\nHost: a\r\n"),
        )
        .broken()
        .leaving(),
        case("the client leaves in a head", "POST /@ HTTP/1.1\r\nHost: a\r\nContent-Le")
            .forwarded(&[])
            .refused()
            .leaving(),
    ]
}
