//! Reads a complete response head, as strictly as `parse` reads a request's.
//!
//! What an endpoint sends is not trusted to end where we think either: a
//! response that two readers may cut differently hands one client what was
//! meant for another (RFC 9112 §11.1).

use memchr::memchr;

use super::{
    Field, Framing, HeadError, MAX_FIELDS, ResponseError, Slots, Version,
    fields::{elements, is_token, is_value_byte},
    framing::{Common, Options},
    lines::{self, check_version, refuse_bare_lf, strip_cr},
};

/// What precedes the reason phrase and the space before it.
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// How large a response head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the whole head, its blank line included.
    pub head_size: usize,
    /// Number of field lines; never more than [`MAX_FIELDS`].
    pub fields: usize,
}

impl ResponseLimits {
    /// 64 KiB, and as many fields as there is room for.
    pub const DEFAULT: Self = Self { head_size: 64 * 1024, fields: MAX_FIELDS };
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How the end of a response body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseFraming {
    /// No body, whatever the fields say.
    None,
    /// As many bytes as Content-Length says.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
    /// All that comes until the connection is closed.
    UntilClose,
}

/// A response head that has been found to be in order.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'b, 's> {
    /// The version.
    pub version: Version,
    /// The status, from 100 to 999.
    pub status: u16,
    /// The reason phrase as it was sent: HTAB, visible ASCII, spaces and bytes
    /// above 0x7f; often empty.
    pub reason: &'b [u8],
    /// Whether the connection may serve another request, as far as the head
    /// says (RFC 9112 §9.3): not after a body that ends with it.
    pub keep_alive: bool,
    /// An Upgrade field, and the option of Connection that goes with it: with
    /// 101, the protocol is switched.
    pub upgrade: bool,
    /// What the fields say, which is not what holds for every status and method.
    announced: Framing,
    options: Options,
    fields: &'s [httparse::Header<'b>],
}

impl<'b> ResponseHead<'b, '_> {
    /// The fields, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'b>> {
        self.fields.iter().map(|&httparse::Header { name, value }| Field { name, value })
    }

    /// The value of the first field called `name`, in any case.
    pub fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.fields().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Whether another head follows that answers the same request: 1xx, but not
    /// 101, after which HTTP is over.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// How the body ends when this answers a request of `method` (RFC 9112 §6.3).
    pub fn framing(&self, method: &str) -> ResponseFraming {
        let bodiless = match self.status {
            100..=199 | 204 | 304 => true,
            // A tunnel, not a body.
            200..=299 => matches!(method, "HEAD" | "CONNECT"),
            _ => method == "HEAD",
        };
        match self.announced {
            _ if bodiless => ResponseFraming::None,
            Framing::Chunked => ResponseFraming::Chunked,
            Framing::Length(length) => ResponseFraming::Length(length),
            Framing::None => ResponseFraming::UntilClose,
        }
    }

    /// Whether an option of Connection names this field: it is for us alone then
    /// (RFC 9110 §7.6.1). The two that frame the body cannot be named away.
    pub fn is_nominated(&self, name: &str) -> bool {
        self.options.nominate(name, self.fields())
            && !["content-length", "transfer-encoding"]
                .into_iter()
                .any(|framing| name.eq_ignore_ascii_case(framing))
    }
}

/// Reads `head`, which is exactly one head as `ResponseScanner::find_end` found
/// it.
pub fn parse_response<'b, 's>(
    head: &'b [u8],
    slots: &'s mut Slots<'b>,
    limits: &ResponseLimits,
) -> Result<ResponseHead<'b, 's>, ResponseError> {
    // `httparse` would skip empty lines.
    if !head.starts_with(b"HTTP/") {
        return Err(ResponseError::NotHttp);
    }
    if head.len() > limits.head_size {
        return Err(HeadError::HeadTooLarge.into());
    }
    refuse_bare_lf(head)?;

    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, head, &mut slots.0) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(HeadError::NotOneHead.into()),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields.into()),
        Err(_) => return Err(diagnose(head)),
    }
    let (Some(minor), Some(status)) = (response.version, response.code) else {
        return Err(HeadError::NotOneHead.into());
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let fields: &'s [httparse::Header<'b>] = response.headers;
    if status < 100 {
        return Err(ResponseError::BadStatus);
    }
    if fields.len() > limits.fields.min(MAX_FIELDS) {
        return Err(HeadError::TooManyFields.into());
    }

    let mut message = Message::default();
    for &httparse::Header { name, value } in fields {
        message.note(Field { name, value })?;
    }
    let announced = message.common.framing(version)?;
    let has_body = !matches!(announced, Framing::None | Framing::Length(0));
    if status < 200 && has_body {
        return Err(ResponseError::InterimBody);
    }
    // RFC 9112 §6.1 forbids chunks there, RFC 9110 §8.6 a length; whether the
    // body comes all the same is anybody's guess.
    let end_in_doubt = status == 204 && has_body;
    Ok(ResponseHead {
        version,
        status,
        reason: reason(head),
        keep_alive: message.common.keep_alive(version) && !message.bad_option && !end_in_doubt,
        upgrade: message.common.upgrade(version),
        announced,
        options: message.common.options,
        fields,
    })
}

/// What the fields together come to.
#[derive(Debug, Default)]
struct Message {
    common: Common,
    /// Whether an option of Connection is no token. It names no field then, and
    /// may have been meant as `close`.
    bad_option: bool,
}

impl Message {
    fn note(&mut self, field: Field<'_>) -> Result<(), HeadError> {
        if !field.name.eq_ignore_ascii_case("connection") {
            return self.common.note(field);
        }
        for option in elements(field.value) {
            if is_token(option) {
                self.common.options.note(option);
            } else {
                self.bad_option = true;
            }
        }
        Ok(())
    }
}

/// The reason phrase of a head that `httparse` has taken. It checks the bytes,
/// but keeps back a phrase with any above 0x7f.
fn reason(head: &[u8]) -> &[u8] {
    let end = memchr(b'\n', head).unwrap_or(head.len());
    strip_cr(&head[..end]).get(STATUS_LINE + 1..).unwrap_or_default()
}

/// Which rule was broken by a head that `httparse` does not take.
fn diagnose(head: &[u8]) -> ResponseError {
    lines::diagnose(head, check_status_line, HeadError::NotOneHead.into())
}

fn check_status_line(line: &[u8]) -> Result<(), ResponseError> {
    if line.contains(&b'\r') {
        return Err(HeadError::BareCr.into());
    }
    let end = memchr(b' ', line).unwrap_or(line.len());
    let (version, rest) = line.split_at(end);
    check_version(version)?;
    let reason = match rest {
        [b' ', status @ ..] => match status {
            [a, b, c, reason @ ..] if [a, b, c].into_iter().all(u8::is_ascii_digit) => reason,
            _ => return Err(ResponseError::BadStatus),
        },
        _ => return Err(ResponseError::BadStatus),
    };
    match reason {
        [] => Ok(()),
        [b' ', reason @ ..] if reason.iter().all(|&byte| is_value_byte(byte)) => Ok(()),
        [b' ', ..] => Err(ResponseError::BadReason),
        _ => Err(ResponseError::BadStatus),
    }
}

#[cfg(test)]
pub(super) fn reads_by_the_lines(head: &[u8]) -> bool {
    diagnose(head) == HeadError::NotOneHead.into()
}
