//! The request as the endpoint gets it, and what is kept of it.

use std::borrow::Cow;

use http::{HeaderName, Method, Version, header};

use crate::engine::arrival::tunnelled_protocols;
use crate::engine::exchange::Exchange;
use crate::engine::forward::{FieldSink, Forwarding};
use crate::engine::message::Message as _;
use crate::engine::record::Facts;
use crate::head::{Framing, Head, write_decimal, write_field};

/// What an exchange needs of its request after the head is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) framing: Framing,
    /// HTTP/1.0: no interim responses, no chunks.
    pub(super) http10: bool,
    /// The client would send another request on this connection.
    pub(super) keep_alive: bool,
    /// The client sends its body when it is told to.
    pub(super) expects: bool,
    /// It may be repeated (RFC 9110 §9.2.2).
    pub(super) idempotent: bool,
    /// Host is missing: each endpoint is given its own, at this place.
    pub(super) host_at: Option<usize>,
}

/// The room of a text, and whether there is one.
type Text = (String, bool);

fn note((room, is_there): &mut Text, value: &[u8]) {
    // The first line is shown, as elsewhere.
    if !std::mem::replace(is_there, true) {
        match std::str::from_utf8(value) {
            Ok(text) => room.push_str(text),
            Err(_) => room.push_str(&String::from_utf8_lossy(value)),
        }
    }
}

fn noted((room, is_there): &Text) -> Option<Cow<'_, str>> {
    is_there.then(|| room.as_str().into())
}

/// What the log says of the request, in room that is used again.
#[derive(Debug, Default)]
pub(super) struct Noted {
    method: String,
    target: String,
    protocol: &'static str,
    host: Text,
    user_agent: Text,
    referer: Text,
    /// What the client offers to switch to.
    pub(super) protocols: Vec<u8>,
}

impl Noted {
    fn begin(&mut self, head: &Head<'_, '_>) {
        self.method.clear();
        self.method.push_str(head.method);
        self.target.clear();
        self.target.push_str(head.target);
        self.protocol = head.version.as_str();
        for (room, is_there) in [&mut self.host, &mut self.user_agent, &mut self.referer] {
            room.clear();
            *is_there = false;
        }
        self.protocols.clear();
    }

    pub(super) fn method(&self) -> &str {
        &self.method
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            method: self.method.as_str().into(),
            host: noted(&self.host),
            raw_target: self.target.as_str().into(),
            protocol: self.protocol,
            user_agent: noted(&self.user_agent),
            referer: noted(&self.referer),
        }
    }
}

/// Reads what is needed later, and writes the head for the endpoint to `out`.
pub(super) fn take_up(
    head: &Head<'_, '_>,
    exchange: &Exchange,
    noted: &mut Noted,
    out: &mut Vec<u8>,
) -> Option<Request> {
    noted.begin(head);
    out.clear();
    let version = head.version();
    let forwarding = Forwarding::new(exchange, version)?;
    for part in [head.method, " ", &exchange.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let host_at = forwarding.lacks_host(head).then_some(out.len());
    // One that is known goes in at once.
    let host_at = match host_at {
        Some(_) if !exchange.authority.is_empty() => {
            write_field("Host", exchange.authority.as_bytes(), out);
            None
        }
        other => other,
    };
    let upgrade = exchange.upgrade;
    let mut cookies = 0;
    for field in head.fields() {
        match field.name.len() {
            // The connection's own, and what frames the body: written anew.
            2 if field.name.eq_ignore_ascii_case("te") => continue,
            4 if field.name.eq_ignore_ascii_case("host") => note(&mut noted.host, field.value),
            6 if field.name.eq_ignore_ascii_case("cookie") => {
                cookies += 1;
                let passes = forwarding.passes(field.name) && !head.is_nominated(field.name);
                if cookies == 1 && passes {
                    write_cookies(head, field.name, out);
                }
                continue;
            }
            7 if field.name.eq_ignore_ascii_case("upgrade") => {
                if upgrade {
                    note_protocols(&mut noted.protocols, field.value);
                }
                continue;
            }
            7 if field.name.eq_ignore_ascii_case("referer") => {
                note(&mut noted.referer, field.value);
            }
            10 if is_any(field.name, &["connection", "keep-alive"]) => continue,
            10 if field.name.eq_ignore_ascii_case("user-agent") => {
                note(&mut noted.user_agent, field.value);
            }
            // Of a switch to HTTP/2 (RFC 7540 §3.2.1), which never passes.
            14 if field.name.eq_ignore_ascii_case("http2-settings") => continue,
            14 if field.name.eq_ignore_ascii_case("content-length") => continue,
            16 if field.name.eq_ignore_ascii_case("proxy-connection") => continue,
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => continue,
            // For the next proxy, which we are (RFC 9110 §11.7.1).
            19 if field.name.eq_ignore_ascii_case("proxy-authorization") => continue,
            _ => {}
        }
        if forwarding.passes(field.name) && !head.is_nominated(field.name) {
            write_field(field.name, field.value, out);
        }
    }
    // Err: there is none.
    let Ok(()) = forwarding.write(head, out);
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if upgrade {
        write_field("Upgrade", &noted.protocols, out);
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(Request {
        framing: head.framing,
        http10: version == Version::HTTP_10,
        keep_alive: head.keep_alive,
        expects: head.expect_continue,
        idempotent: is_idempotent(head.method),
        host_at,
    })
}

/// Gives the endpoint of this attempt its own name as the Host, in place of the
/// last one's.
pub(super) fn name_host(exchange: &Exchange, at: usize, out: &mut Vec<u8>) {
    let Some(forwarding) = Forwarding::new(exchange, Version::HTTP_10) else { return };
    let mut line = Vec::with_capacity(64);
    write_field("Host", forwarding.host().as_bytes(), &mut line);
    let known = out[at..].starts_with(b"Host: ");
    let end = if known {
        memchr::memchr(b'\n', &out[at..]).map_or(at, |length| at + length + 1)
    } else {
        at
    };
    out.splice(at..end, line);
}

fn is_any(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// RFC 9110 §9.2.2, as for the other engine.
fn is_idempotent(method: &str) -> bool {
    Method::from_bytes(method.as_bytes()).is_ok_and(|method| method.is_idempotent())
}

fn note_protocols(noted: &mut Vec<u8>, value: &[u8]) {
    for protocol in tunnelled_protocols(value) {
        if !noted.is_empty() {
            noted.extend_from_slice(b", ");
        }
        noted.extend_from_slice(protocol);
    }
}

/// Nobody should send several lines of Cookie (RFC 6265 §5.4), and some origins
/// read the first only: they become one.
fn write_cookies(head: &Head<'_, '_>, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let lines =
        head.fields().filter(|field| field.name.eq_ignore_ascii_case(header::COOKIE.as_str()));
    for (index, line) in lines.enumerate() {
        if index > 0 {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(line.value);
    }
    out.extend_from_slice(b"\r\n");
}

/// A head that is written.
impl FieldSink for Vec<u8> {
    type Error = std::convert::Infallible;

    fn field(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Self::Error> {
        write_field(name.as_str(), value, self);
        Ok(())
    }
}
