//! What is legal passes, in canonical form and in order: a proxy that refuses
//! everything smuggles nothing either.

use crate::case::{Case, Message, SMUGGLED, case, get, message, post, posted, smuggled};

/// A body that looks like a request, and its length.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn with_body(method: &str) -> Case {
    let length = INNER.len();
    let head =
        format!("{method} /@ HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{INNER}");
    case(format!("{method} with a body"), [head.as_bytes(), SMUGGLED].concat())
        .forwarded(&[message(method, "/@", INNER), smuggled()])
}

fn with_chunks(method: &str) -> Case {
    let head = format!(
        "{method} /@ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n23\r\n{INNER}\r\n0\r\n\r\n"
    );
    case(format!("{method} with chunks"), [head.as_bytes(), SMUGGLED].concat())
        .forwarded(&[message(method, "/@", INNER), smuggled()])
}

fn many() -> Case {
    let mut bytes = String::new();
    let mut messages: Vec<Message> = Vec::new();
    for number in 0..20 {
        let target = format!("/@/{number}");
        match number % 3 {
            0 => {
                bytes += &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                messages.push(get(&target));
            }
            1 => {
                bytes +=
                    &format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
                messages.push(post(&target, "abc"));
            }
            _ => {
                bytes += &format!("POST {target} HTTP/1.1\r\nHost: a\r\n");
                bytes += "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
                messages.push(post(&target, "abc"));
            }
        }
    }
    case("twenty requests in one piece", bytes).forwarded(&messages)
}

pub fn cases() -> Vec<Case> {
    let bodies = ["GET", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH", "QUERY"].map(with_body);
    let chunks = ["GET", "DELETE", "HEAD", "PUT"].map(with_chunks);
    let old = "Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc";
    let others = [
        many(),
        case("a length of zero", posted("Content-Length: 0", SMUGGLED))
            .forwarded(&[post("/@", ""), smuggled()]),
        case(
            "POST without a length",
            [&b"POST /@ HTTP/1.1\r\nHost: a\r\n\r\n"[..], SMUGGLED].concat(),
        )
        .forwarded(&[post("/@", ""), smuggled()]),
        case("GET with a length of zero", {
            [&b"GET /@ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"[..], SMUGGLED].concat()
        })
        .forwarded(&[get("/@"), smuggled()]),
        case("a body of line ends", posted("Content-Length: 8", "\r\n\r\n\r\n\r\n"))
            .forwarded(&[post("/@", "\r\n\r\n\r\n\r\n")]),
        case("a body of every byte", {
            let all: Vec<u8> = (0..=255).collect();
            posted("Content-Length: 256", all)
        })
        .forwarded(&[post("/@", (0..=255).collect::<Vec<u8>>())]),
        case("a body that looks like chunks", posted("Content-Length: 5", "0\r\n\r\n"))
            .forwarded(&[post("/@", "0\r\n\r\n")]),
        case(
            "HTTP/1.0 that stays, with a length",
            [format!("POST /@ HTTP/1.0\r\nHost: a\r\n{old}").as_bytes(), SMUGGLED].concat(),
        )
        .forwarded(&[post("/@", "abc"), smuggled()])
        .forwarded(&[post("/@", "abc")]),
        case(
            "HTTP/1.0 that does not stay",
            [&b"GET /@ HTTP/1.0\r\nHost: a\r\n\r\n"[..], SMUGGLED].concat(),
        )
        .forwarded(&[get("/@")]),
        case(
            "a request behind a close",
            [&b"GET /@ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"[..], SMUGGLED].concat(),
        )
        .forwarded(&[get("/@")]),
        case(
            "a request behind a close in a list",
            [&b"GET /@ HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n"[..], SMUGGLED].concat(),
        )
        .forwarded(&[get("/@")]),
        case(
            "a request behind a body and a close",
            posted("Connection: close\r\nContent-Length: 3", [b"abc", SMUGGLED].concat()),
        )
        .forwarded(&[post("/@", "abc")]),
    ];
    bodies.into_iter().chain(chunks).chain(others).collect()
}
