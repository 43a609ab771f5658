//! The trailer section of a chunked body (RFC 9112 §7.1.2): read strictly, and
//! which of its fields may be passed on.

use memchr::memchr;

use super::{
    BodyError, Field,
    fields::{is_token_byte, is_value_byte, trim},
    lines::strip_cr,
};

/// Fields in a trailer section. Those in use send one or two.
const MAX_LINES: u8 = 64;

/// Bytes of a trailer section: room for a signature, a checksum, and a status.
const MAX_BYTES: u16 = 8 * 1024;

/// Fields that mean nothing after the body, or too much: a reader who merges
/// them into the head would frame, route, authenticate or cache anew what has
/// long been decided (RFC 9110 §6.5.1). With them those that our peers take our
/// word for.
const HEAD_ONLY: [&str; 33] = [
    // Framing and the connection.
    "content-length",
    "transfer-encoding",
    "trailer",
    "connection",
    "te",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    // How the content is read.
    "content-encoding",
    "content-type",
    "content-range",
    // Routing.
    "host",
    // Who asks, and who is known as whom.
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "proxy-authenticate",
    "cookie",
    "set-cookie",
    // How the request is handled.
    "cache-control",
    "expect",
    "max-forwards",
    "pragma",
    "range",
    // How the response is handled.
    "age",
    "date",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    // What we vouch for.
    "forwarded",
    "x-real-ip",
    "x-request-id",
];

/// The same, for all fields that begin so.
const HEAD_ONLY_PREFIXES: [&str; 3] = ["if-", "x-forwarded-", "x-client-cert-"];

/// Whether a field of this name in a trailer section may be passed on.
///
/// `_` counts as `-`: CGI and its heirs do not tell them apart.
pub fn may_pass_in_trailer(name: &str) -> bool {
    !HEAD_ONLY.into_iter().any(|other| name.len() == other.len() && begins(name, other))
        && !HEAD_ONLY_PREFIXES.into_iter().any(|prefix| begins(name, prefix))
}

/// Whether `name` begins with `prefix`, which is in lower case and has no `_`.
fn begins(name: &str, prefix: &str) -> bool {
    let folded = name.bytes().map(|byte| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    });
    name.len() >= prefix.len() && folded.zip(prefix.bytes()).all(|(a, b)| a == b)
}

/// The fields of a trailer section that [`Step::trailers`](super::Step) has
/// pointed out, complete, values without the whitespace around them.
pub fn trailer_fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    section.split(|&byte| byte == b'\n').map(strip_cr).filter_map(|line| {
        let colon = memchr(b':', line)?;
        let name = str::from_utf8(&line[..colon]).ok()?;
        Some(Field { name, value: trim(&line[colon + 1..]) })
    })
}

/// How far a trailer section has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    place: Place,
    lines: u8,
    bytes: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Name,
    Value,
    /// After the CR of a field line.
    LineEnd,
    /// After the CR of the blank line.
    SectionEnd,
}

impl Trailer {
    pub(super) const START: Self = Self { place: Place::LineStart, lines: 0, bytes: 0 };

    /// Takes in one byte; `None` once the section is complete.
    pub(super) fn next(mut self, byte: u8) -> Result<Option<Self>, BodyError> {
        self.place = match (self.place, byte) {
            (Place::LineEnd, b'\n') => Place::LineStart,
            (Place::SectionEnd, b'\n') => return Ok(None),
            (Place::LineEnd | Place::SectionEnd, _) => return Err(BodyError::BareCr),
            (_, b'\n') => return Err(BodyError::BareLf),
            (Place::LineStart, b'\r') => Place::SectionEnd,
            (Place::LineStart, b' ' | b'\t') => return Err(BodyError::TrailerFold),
            (Place::LineStart, _) if self.lines == MAX_LINES => {
                return Err(BodyError::TooManyTrailers);
            }
            (Place::LineStart, _) if is_token_byte(byte) => {
                self.lines += 1;
                Place::Name
            }
            (Place::Name, b':') => Place::Value,
            (Place::Name, _) if is_token_byte(byte) => Place::Name,
            (Place::LineStart | Place::Name, _) => return Err(BodyError::BadTrailerName),
            (Place::Value, b'\r') => Place::LineEnd,
            (Place::Value, _) if is_value_byte(byte) => Place::Value,
            (Place::Value, _) => return Err(BodyError::BadTrailerValue),
        };
        if self.bytes == MAX_BYTES {
            return Err(BodyError::TrailersTooLarge);
        }
        self.bytes += 1;
        Ok(Some(self))
    }
}
