//! Content-Length beside Transfer-Encoding: CL.TE and TE.CL. RFC 9112 §6.1 lets a
//! server repair such a message; it is an attack or a defect, and refused.

use crate::case::{Case, End, SMUGGLED, case, get, gotten, posted};

/// Ends the message for a reader of chunks, and hides a request behind it.
fn hidden() -> Vec<u8> {
    [b"0\r\n\r\n", SMUGGLED].concat()
}

pub fn cases() -> Vec<Case> {
    let chunked = "Transfer-Encoding: chunked";
    // The target is longer than what stands for it; all that matters is that the
    // length is not that of the chunks.
    let long = "Content-Length: 90";
    let both = format!("{long}\r\n{chunked}");
    vec![
        case(
            "CL.TE with one byte behind the chunks",
            posted("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG"),
        ),
        case("CL.TE with a request behind the chunks", posted(&both, hidden())),
        case(
            "TE.CL with a request inside a chunk",
            posted(
                "Transfer-Encoding: chunked\r\nContent-Length: 4",
                "5c\r\nGPOST / HTTP/1.1\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
            ),
        ),
        case("TE before CL", posted(format!("{chunked}\r\n{long}"), hidden())),
        case(
            "both agree where the message ends",
            posted("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ),
        case(
            "a length of zero beside chunks",
            posted("Content-Length: 0\r\nTransfer-Encoding: chunked", hidden()),
        ),
        case(
            "chunks beside a length of zero",
            posted("Transfer-Encoding: chunked\r\nContent-Length: 0", hidden()),
        ),
        case("GET with both", gotten(&both, hidden())),
        case(
            "HEAD with both",
            [format!("HEAD /@ HTTP/1.1\r\nHost: a\r\n{both}\r\n\r\n").as_bytes(), &hidden()]
                .concat(),
        ),
        case(
            "HTTP/1.0 with both",
            [format!("POST /@ HTTP/1.0\r\nHost: a\r\n{both}\r\n\r\n").as_bytes(), &hidden()]
                .concat(),
        ),
        case("lower-case names", posted(both.to_lowercase(), hidden())),
        case(
            "names of mixed case",
            posted("cOnTeNt-LeNgTh: 90\r\ntRANSFER-eNCODING: cHuNkEd", hidden()),
        ),
        case(
            "other fields between",
            posted(format!("{long}\r\nA: b\r\nC: d\r\nE: f\r\n{chunked}"), hidden()),
        ),
        case(
            "a coding that nobody knows beside a length",
            posted(format!("{long}\r\nTransfer-Encoding: xchunked"), hidden()),
        ),
        case(
            "identity beside a length",
            posted(format!("{long}\r\nTransfer-Encoding: identity"), hidden()),
        ),
        case(
            "an empty coding beside a length",
            posted(format!("{long}\r\nTransfer-Encoding:"), hidden()),
        ),
        case(
            "two codings beside a length",
            posted(format!("{both}\r\nTransfer-encoding: cow"), hidden()),
        ),
        case(
            "two lengths beside a coding",
            posted(format!("{both}\r\nContent-Length: 6"), hidden()),
        ),
        case("both, and a close", posted(format!("{both}\r\nConnection: close"), hidden())),
        case(
            "both, the length named in Connection",
            posted(format!("{both}\r\nConnection: content-length"), hidden()),
        ),
        case(
            "both, the coding named in Connection",
            posted(format!("{both}\r\nConnection: transfer-encoding"), hidden()),
        ),
        case(
            "both, and an expectation",
            posted(format!("{both}\r\nExpect: 100-continue"), hidden()),
        ),
        case(
            "both where a tunnel might open",
            [
                b"GET /ws/@ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
                both.as_bytes(),
                b"\r\n\r\n",
                &hidden(),
            ]
            .concat(),
        ),
        case(
            "both where the proxy answers itself",
            [b"POST /redirect/@ HTTP/1.1\r\nHost: a\r\n", both.as_bytes(), b"\r\n\r\n", &hidden()]
                .concat(),
        ),
    ]
    .into_iter()
    .map(Case::refused)
    .chain([case(
        "the second request has both",
        [
            b"GET /@ HTTP/1.1\r\nHost: a\r\n\r\nPOST /@/2 HTTP/1.1\r\nHost: a\r\n",
            both.as_bytes(),
            b"\r\n\r\n",
            &hidden(),
        ]
        .concat(),
    )
    .forwarded_then(&[get("/@")], End::Refused(&[400]))])
    .collect()
}
