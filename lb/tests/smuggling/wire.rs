//! Reads messages as no lenient reader would. Shares nothing with `lb`: what it
//! finds on the wire is what is there.

use crate::support::{Engine, engine};

/// A field line that every forwarded request bears, because the route sets it.
/// Bytes that slip past the proxy have none.
pub const PASSED: (&str, &str) = ("x-passed", "yes");

/// The field in which the origin says what it answers.
pub const ECHO: &str = "x-echo";

/// Fields of one connection. None of them belongs on the next.
const HOP_BY_HOP: &[&str] = &["http2-settings", "keep-alive", "proxy-connection"];

/// Only below here does the configuration let upgrades pass.
const TUNNELS: &str = "/ws/";

/// Fields that Connection may not take away.
const NEVER_NOMINATED: &[&str] = &["content-length", "transfer-encoding", "host"];

/// Fields that frame or route a message, or that the proxy vouches for.
const NEVER_TRAILERS: &[&str] =
    &["content-length", "transfer-encoding", "connection", "host", "x-forwarded-for", "x-passed"];

type Fields = Vec<(String, Vec<u8>)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub fields: Fields,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
}

impl Response {
    /// Whether it comes from the origin.
    pub fn is_echo(&self) -> bool {
        !values(&self.fields, ECHO).is_empty()
    }
}

/// A message and how many bytes it took; nothing if it is not complete.
pub type Read<T> = Result<Option<(T, usize)>, String>;

/// Reads a request that a proxy sent, and refuses what a proxy must not send.
pub fn read_request(bytes: &[u8]) -> Read<Request> {
    let Some((lines, start)) = head(bytes)? else { return Ok(None) };
    let line = text(lines[0])?;
    let parts: Vec<&str> = line.split(' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return Err(format!("a request line that is none: {line:?}"));
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(format!("a method that is none: {line:?}"));
    }
    let clean = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !clean || !(target.starts_with('/') || target == "*") || version != "HTTP/1.1" {
        return Err(format!("a request line that is not canonical: {line:?}"));
    }
    let fields = fields(&lines[1..])?;
    require_canonical(target, &fields)?;
    let framing = framing(&fields)?.unwrap_or(Framing::Length(0));
    let Some((body, length)) = body(&bytes[start..], framing)? else { return Ok(None) };
    let request = Request { method: method.to_owned(), target: target.to_owned(), fields, body };
    Ok(Some((request, start + length)))
}

/// Reads a response. `head_only`: it answers HEAD. `ended`: no more will come.
pub fn read_response(bytes: &[u8], head_only: bool, ended: bool) -> Read<Response> {
    let Some((lines, start)) = head(bytes)? else { return Ok(None) };
    let line = text(lines[0])?;
    let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)).and_then(|code| code.parse::<u16>().ok());
    let status = status.ok_or_else(|| format!("a status line that is none: {line:?}"))?;
    let fields = fields(&lines[1..])?;
    let rest = &bytes[start..];
    let framing = match framing(&fields)? {
        _ if head_only || status < 200 || matches!(status, 204 | 304) => Framing::Length(0),
        Some(framing) => framing,
        None if ended => Framing::Length(rest.len()),
        None => return Ok(None),
    };
    let Some((body, length)) = body(rest, framing)? else { return Ok(None) };
    Ok(Some((Response { status, fields, body }, start + length)))
}

/// All values of a field.
pub fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f [u8]> {
    fields.iter().filter(|(found, _)| found == name).map(|(_, value)| &value[..]).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The lines of a head, and where it ends.
fn head(bytes: &[u8]) -> Read<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some((line, length)) = line(&bytes[at..])? {
        at += length;
        if !line.is_empty() {
            lines.push(line);
        } else if lines.is_empty() {
            return Err("an empty line where a message begins".to_owned());
        } else {
            return Ok(Some((lines, at)));
        }
    }
    Ok(None)
}

/// A line without its end, and its length with it. Only CR LF ends a line.
fn line(bytes: &[u8]) -> Read<&[u8]> {
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => return Ok(Some((&bytes[..at], at + 2))),
            (b'\r', None) => return Ok(None),
            (b'\r' | b'\n', _) => return Err(format!("a bare line end after {at} bytes")),
            (0..=8 | 0x0b..=0x1f | 0x7f, _) => return Err(format!("a control character: {byte}")),
            _ => {}
        }
    }
    Ok(None)
}

fn fields(lines: &[&[u8]]) -> Result<Fields, String> {
    lines.iter().map(|line| field(line)).collect()
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let shown = || String::from_utf8_lossy(line).into_owned();
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| format!("a field without a colon: {:?}", shown()))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(format!("a field name that is none: {:?}", shown()));
    }
    Ok((text(name)?.to_ascii_lowercase(), value.trim_ascii().to_vec()))
}

fn framing(fields: &Fields) -> Result<Option<Framing>, String> {
    match (&values(fields, "content-length")[..], &values(fields, "transfer-encoding")[..]) {
        ([], []) => Ok(None),
        ([], [b"chunked"]) => Ok(Some(Framing::Chunked)),
        ([length], []) => {
            let canonical = *length == b"0" || length.first().is_some_and(|byte| *byte != b'0');
            let number = text(length)?.parse().ok().filter(|_| canonical && length[0] != b'+');
            let number = number.ok_or_else(|| format!("a length that is none: {length:?}"))?;
            Ok(Some(Framing::Length(number)))
        }
        (lengths, codings) => Err(format!("{} lengths, codings {codings:?}", lengths.len())),
    }
}

fn require_canonical(target: &str, fields: &Fields) -> Result<(), String> {
    if values(fields, "host").len() != 1 {
        return Err(format!("{} fields Host", values(fields, "host").len()));
    }
    if values(fields, PASSED.0) != [PASSED.1.as_bytes()] {
        return Err("a request that the proxy did not write".to_owned());
    }
    if let Some(name) = HOP_BY_HOP.iter().find(|name| !values(fields, name).is_empty()) {
        return Err(format!("{name} passed"));
    }
    let tunnel = target.starts_with(TUNNELS);
    match &values(fields, "upgrade")[..] {
        [] => {}
        [protocol] if tunnel && protocol.eq_ignore_ascii_case(b"websocket") => {}
        // The lane makes tunnels for all protocols but HTTP's own.
        [protocol] if tunnel && engine() == Engine::Auto && *protocol != b"h2c" => {}
        protocols => return Err(format!("an upgrade to {protocols:?} passed")),
    }
    let nominated = values(fields, "connection").concat().to_ascii_lowercase();
    let nominated = String::from_utf8_lossy(&nominated).into_owned();
    match NEVER_NOMINATED.iter().find(|name| nominated.contains(*name)) {
        Some(name) => Err(format!("Connection names {name}")),
        None => Ok(()),
    }
}

fn body(bytes: &[u8], framing: Framing) -> Read<Vec<u8>> {
    match framing {
        Framing::Length(length) => Ok(bytes.get(..length).map(|body| (body.to_vec(), length))),
        Framing::Chunked => chunked(bytes),
    }
}

/// Sizes without zeros before them or extensions behind, no trailers.
fn chunked(bytes: &[u8]) -> Read<Vec<u8>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some((size, length)) = line(&bytes[at..])? else { return Ok(None) };
        at += length;
        let hex = !size.is_empty() && size.len() <= 8 && size.iter().all(u8::is_ascii_hexdigit);
        if !hex || (size[0] == b'0' && size.len() > 1) {
            return Err(format!("a chunk size that is not canonical: {size:?}"));
        }
        let size = usize::from_str_radix(text(size)?, 16).map_err(|error| error.to_string())?;
        let Some(chunk) = bytes.get(at..at + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        at += size;
        if size == 0 {
            let trailers = trailers(&bytes[at..])?;
            return Ok(trailers.map(|length| (body, at + length)));
        }
        let Some(end) = bytes.get(at..at + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(format!("{end:?} where a chunk of {size} ends"));
        }
        at += 2;
    }
}

/// How long the trailers are, their blank line included. Only the lane passes any
/// on, and none that says what a field in the head must not.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, String> {
    match line(bytes)? {
        Some(([], length)) => return Ok(Some(length)),
        Some(_) => {}
        None => return Ok(None),
    }
    let Some((lines, length)) = head(bytes)? else { return Ok(None) };
    if !lines.is_empty() && engine() == Engine::Pingora {
        return Err(format!("trailers passed: {lines:?}"));
    }
    let fields = fields(&lines)?;
    match fields.iter().find(|(name, _)| NEVER_TRAILERS.contains(&name.as_str())) {
        Some((name, _)) => Err(format!("{name} passed as a trailer")),
        None => Ok(Some(length)),
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

mod tests {
    use super::*;

    fn with(fields: &str, body: &str) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\nHost: a\r\nX-Passed: yes\r\n{fields}\r\n{body}").into_bytes()
    }

    fn body_of(bytes: &[u8]) -> String {
        let (request, length) = read_request(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        String::from_utf8(request.body).unwrap()
    }

    #[test]
    fn the_reader_takes_canonical_requests() {
        assert_eq!(body_of(&with("", "")), "");
        assert_eq!(body_of(&with("Content-Length: 3\r\n", "abc")), "abc");
        let chunks = "3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        let whole = with("Transfer-Encoding: chunked\r\n", chunks);
        assert_eq!(body_of(&whole), "abc0123456789");
        for length in 0..whole.len() {
            assert_eq!(read_request(&whole[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn the_reader_refuses_everything_else() {
        let bodies =
            ["+3\r\nabc\r\n0\r\n\r\n", "03\r\nabc\r\n", "3;a\r\n", "3\nabc", "3\r\nabcd\r\n"];
        let chunked = bodies.map(|body| with("Transfer-Encoding: chunked\r\n", body));
        let heads = [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 03\r\n",
            "Content-Length: +3\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "X: y\r\n z\r\n",
            "X: y\nZ: z\r\n",
            "X: y\rZ: z\r\n",
            "X : y\r\n",
            "X: \0\r\n",
            "Host: b\r\n",
            "Upgrade: h2c\r\n",
            "Connection: content-length\r\n",
        ]
        .map(|fields| with(fields, "abc"));
        let others = [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nX-Passed: yes\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\nX-Passed: yes\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\r\nX-Passed: yes\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX-Passed: yes\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Passed: yes\r\n\r\n",
        ];
        for bytes in chunked.iter().chain(&heads).map(Vec::as_slice).chain(others) {
            assert!(read_request(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
