//! Connection, Upgrade and what they may take off a message (RFC 9110 §7.6.1,
//! §7.8): never its length, never its host, and no bytes pass unread.

use crate::case::{
    Case, End, Message, SMUGGLED, case, get, gotten, message, post, posted, smuggled,
};

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

const H2C: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__";

/// `abc` and another request.
fn abc() -> Vec<u8> {
    [b"abc", SMUGGLED].concat()
}

fn both_pass() -> [Message; 2] {
    [get("/@"), smuggled()]
}

/// A GET on the route with `websocket: true`.
fn tunnel(fields: &str, then: &[u8]) -> Vec<u8> {
    [b"GET /ws/@ HTTP/1.1\r\nHost: a\r\n", fields.as_bytes(), b"\r\n\r\n", then].concat()
}

pub fn cases() -> Vec<Case> {
    let passed = [post("/@", "abc"), smuggled()];
    vec![
        // A field that is for everybody on the way is none of Connection's. To
        // keep it is safe as well, as long as the length goes with the body.
        case("names the length", posted("Content-Length: 3\r\nConnection: content-length", abc()))
            .refused()
            .forwarded(&passed),
        case(
            "names the coding",
            posted(
                "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
                [b"3\r\nabc\r\n0\r\n\r\n", SMUGGLED].concat(),
            ),
        )
        .refused()
        .forwarded(&passed),
        case(
            "names the length among others, before it",
            posted("Connection: close, Content-Length\r\nContent-Length: 3", "abc"),
        )
        .refused()
        .forwarded(&[post("/@", "abc")]),
        case("names the host", gotten("Connection: host", SMUGGLED)).refused(),
        case("names the host in another case", gotten("Connection: x, HOST", SMUGGLED)).refused(),
        case("names the client's address", gotten("Connection: X-Forwarded-For", SMUGGLED))
            .refused(),
        case("names itself", gotten("Connection: connection", SMUGGLED)).forwarded(&both_pass()),
        case("names another field", gotten("Connection: a\r\nA: b", SMUGGLED))
            .forwarded(&both_pass()),
        case("names what is no name", gotten("Connection: a b", SMUGGLED)).refused(),
        case("has empty names", gotten("Connection: , ,keep-alive,", SMUGGLED))
            .forwarded(&both_pass()),
        case("names Upgrade, and there is none", gotten("Connection: Upgrade", SMUGGLED))
            .forwarded(&both_pass()),
        case("Keep-Alive and Proxy-Connection", {
            gotten("Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive", SMUGGLED)
        })
        .forwarded(&both_pass()),
        // No upgrade where the route has none.
        case("h2c", gotten(H2C, SMUGGLED)).forwarded(&both_pass()),
        case(
            "h2c without naming the settings",
            gotten(H2C.replace(", HTTP2-Settings", ""), SMUGGLED),
        )
        .forwarded(&both_pass()),
        case(
            "h2c without Connection",
            gotten("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk", SMUGGLED),
        )
        .forwarded(&both_pass()),
        case("h2c and the preface behind", gotten(H2C, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            .forwarded_then(&[get("/@")], End::Closed),
        case("h2c with a body", posted(format!("{H2C}\r\nContent-Length: 3"), abc()))
            .forwarded(&passed),
        case("h2c on the route of tunnels", tunnel(H2C, SMUGGLED))
            .forwarded(&[get("/ws/@"), smuggled()])
            .forwarded(&[get("/ws/@")]),
        case("a tunnel where the route has none", gotten(WEBSOCKET, SMUGGLED))
            .forwarded(&both_pass()),
        case(
            "a tunnel where the route has none, with a body",
            posted(format!("{WEBSOCKET}\r\nContent-Length: 3"), abc()),
        )
        .forwarded(&passed),
        case(
            "a tunnel where the route has none, with chunks",
            posted(
                format!("{WEBSOCKET}\r\nTransfer-Encoding: chunked"),
                [b"3\r\nabc\r\n0\r\n\r\n", SMUGGLED].concat(),
            ),
        )
        .forwarded(&passed),
        // The origin never says 101, so what follows is no tunnel: it is read as
        // the next request, or not at all.
        case("a tunnel that the origin does not open", tunnel(WEBSOCKET, SMUGGLED))
            .forwarded(&[get("/ws/@"), smuggled()])
            .forwarded(&[get("/ws/@")]),
        case("a tunnel of a wrong version", tunnel(&WEBSOCKET.replace("13", "1337"), SMUGGLED))
            .forwarded(&[get("/ws/@"), smuggled()])
            .forwarded(&[get("/ws/@")])
            .refused_as(&[400, 426]),
        case("a tunnel with a body", tunnel(&format!("{WEBSOCKET}\r\nContent-Length: 3"), &abc()))
            .refused()
            .forwarded(&[message("GET", "/ws/@", "abc"), smuggled()])
            .forwarded(&[message("GET", "/ws/@", "abc")]),
        case("a tunnel of another protocol", tunnel("Connection: Upgrade\r\nUpgrade: x", SMUGGLED))
            .forwarded(&[get("/ws/@"), smuggled()])
            .forwarded(&[get("/ws/@")]),
        case(
            "a tunnel by HTTP/1.0",
            [b"GET /ws/@ HTTP/1.0\r\nHost: a\r\n", WEBSOCKET.as_bytes(), b"\r\n\r\n", SMUGGLED]
                .concat(),
        )
        .forwarded(&[get("/ws/@")])
        .refused(),
    ]
}
