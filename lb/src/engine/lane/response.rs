//! The response as the client gets it.

use crate::engine::answer::write_date;
use crate::engine::edits::Edits;
use crate::engine::exchange::Exchange;
use crate::head::{ResponseFraming, ResponseHead, write_decimal, write_field, write_status_line};

/// How the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// In chunks: its end is marked.
    Chunked,
    /// With the connection.
    Close,
}

impl Towards {
    /// The framing towards a client. What an HTTP/1.1 client gets has an end
    /// that it can see.
    pub(super) fn new(framing: ResponseFraming, http10: bool) -> Self {
        match framing {
            ResponseFraming::None => Self::None,
            ResponseFraming::Length(length) => Self::Length(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose if http10 => Self::Close,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => Self::Chunked,
        }
    }
}

/// What becomes of the connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive {
        http10: bool,
    },
    Close,
    /// It is a tunnel.
    Switch,
}

/// Writes the head of a final response.
pub(super) fn write_head(
    head: &ResponseHead<'_, '_>,
    exchange: &Exchange,
    towards: Towards,
    after: After,
    out: &mut Vec<u8>,
) {
    let edits = Edits::of(exchange);
    write_status_line(head.status, head.reason, out);
    write_fields(head, &edits, towards == Towards::Chunked, after == After::Switch, out);
    edits.write(out);
    // RFC 9110 §6.6.1: whoever forwards a response that has none adds it.
    let has_date = head.first("date").is_some() && !head.is_nominated("date");
    if !has_date && !edits.drop("date") {
        write_date(out);
    }
    match towards {
        Towards::None => write_described_length(head, out),
        Towards::Length(length) => write_length(length, out),
        Towards::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Towards::Close => {}
    }
    match after {
        // What HTTP/1.1 means by saying nothing (RFC 9112 §9.3).
        After::KeepAlive { http10: false } => {}
        After::KeepAlive { http10: true } => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        After::Close => out.extend_from_slice(b"Connection: close\r\n"),
        After::Switch => out.extend_from_slice(b"Connection: Upgrade\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response (RFC 9110 §15.2).
pub(super) fn write_interim(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    write_status_line(head.status, head.reason, out);
    write_fields(head, &Edits::NONE, false, false, out);
    out.extend_from_slice(b"\r\n");
}

fn write_fields(
    head: &ResponseHead<'_, '_>,
    edits: &Edits<'_>,
    trailers: bool,
    switch: bool,
    out: &mut Vec<u8>,
) {
    for field in head.fields() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let ours = match field.name.len() {
            2 => is("te"),
            7 => (is("upgrade") && !switch) || (is("trailer") && !trailers),
            10 => is("connection") || is("keep-alive"),
            14 => is("content-length"),
            16 => is("proxy-connection"),
            17 => is("transfer-encoding"),
            _ => false,
        };
        let nominated = || head.is_nominated(field.name) && !(switch && is("upgrade"));
        if !ours && !nominated() && !edits.drop(field.name) {
            write_field(field.name, field.value, out);
        }
    }
}

/// To HEAD and with 304, the length that the body would have (RFC 9110 §8.6).
fn write_described_length(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    let describes = head.status >= 200 && head.status != 204;
    if describes && let Some(length) = head.first("content-length") {
        write_field("Content-Length", length, out);
    }
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(length, out);
    out.extend_from_slice(b"\r\n");
}
