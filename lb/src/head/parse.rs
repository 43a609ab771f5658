//! Reads a complete head.
//!
//! `httparse`, with no lenient option set, cuts it into parts and guarantees
//! tokens, no controls in values, no folds, no space before a colon. It takes a
//! bare LF, several empty lines in front, and UTF-8 in targets, which are
//! refused here; and its errors name no rule, so the one that was broken is
//! looked up afterwards, off the fast path.

use super::{
    Field, Framing, HeadError, HeadLimits, MAX_FIELDS, Slots,
    fields::is_token,
    framing::{Message, Options},
    lines::{self, check_version, refuse_bare_lf},
    target::check_target,
};

/// The longest method. The longest registered one has 17 bytes
/// (`UPDATEREDIRECTREF`).
pub(super) const MAX_METHOD: usize = 32;

/// The versions that are served; all others are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// As in the request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// A request head that has been found to be in order.
#[derive(Debug, Clone, Copy)]
pub struct Head<'b, 's> {
    /// The method, a token of at most 32 bytes.
    pub method: &'b str,
    /// The request target as it was sent: visible ASCII, of a form that suits
    /// the method.
    pub target: &'b str,
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may serve another request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for 100 (Continue) before its body.
    pub expect_continue: bool,
    /// Whether the client offers to switch protocols: an Upgrade field, and the
    /// option of Connection that goes with it.
    pub upgrade: bool,
    host: Option<&'b [u8]>,
    options: Options,
    fields: &'s [httparse::Header<'b>],
}

impl<'b> Head<'b, '_> {
    /// The fields, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'b>> {
        self.fields.iter().map(|&httparse::Header { name, value }| Field { name, value })
    }

    /// The value of the first field called `name`, in any case.
    pub fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.fields().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Whether an option of Connection names this field: it is for us alone then
    /// (RFC 9110 §7.6.1).
    pub fn is_nominated(&self, name: &str) -> bool {
        self.options.nominate(name, self.fields())
    }

    /// Whom the request is for: the Host field, else the authority in the
    /// target; where there are both they agree. May be empty or no host at all.
    pub fn host(&self) -> Option<&'b [u8]> {
        self.host
    }
}

/// Reads `head`, which is exactly one head as `Scanner::find_end` found it.
pub fn parse<'b, 's>(
    head: &'b [u8],
    slots: &'s mut Slots<'b>,
    limits: &HeadLimits,
) -> Result<Head<'b, 's>, HeadError> {
    // One empty line is borne (RFC 9112 §2.2).
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    if head.starts_with(b"\r\n") {
        return Err(HeadError::LeadingEmptyLines);
    }
    refuse_bare_lf(head)?;

    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut slots.0) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(HeadError::NotOneHead),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(_) => return Err(diagnose(head)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(HeadError::NotOneHead);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let fields: &'s [httparse::Header<'b>] = request.headers;

    // No method: the scanner takes it for a PROXY header, and so do others.
    if method == "PROXY" {
        return Err(HeadError::UnexpectedProxyHeader);
    }
    if method.len() > MAX_METHOD {
        return Err(HeadError::MethodTooLong);
    }
    if target.len() > limits.uri {
        return Err(HeadError::UriTooLong);
    }
    let request_line = method.len() + target.len() + " ".len() + " HTTP/1.1\r\n".len();
    refuse_large(head.len() - request_line - "\r\n".len(), fields, limits)?;

    let authority = check_target(method, target)?;
    let mut message = Message::default();
    for &httparse::Header { name, value } in fields {
        message.note(Field { name, value })?;
    }
    if let (Some(authority), Some(host)) = (authority, message.host)
        && !host.eq_ignore_ascii_case(authority.as_bytes())
    {
        return Err(HeadError::HostContradictsTarget);
    }
    Ok(Head {
        method,
        target,
        version,
        framing: message.common.framing(version)?,
        keep_alive: message.common.keep_alive(version),
        expect_continue: message.expect_continue(version),
        upgrade: message.common.upgrade(version),
        host: message.host.or(authority.map(str::as_bytes)),
        options: message.common.options,
        fields,
    })
}

/// Holds the fields to the limits, both as they were sent (`sent` bytes) and as
/// they will be written: `Name: value`, CR, LF.
fn refuse_large(
    sent: usize,
    fields: &[httparse::Header<'_>],
    limits: &HeadLimits,
) -> Result<(), HeadError> {
    if fields.len() > limits.headers.min(MAX_FIELDS) {
        return Err(HeadError::TooManyFields);
    }
    let written: usize = fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
    if sent.max(written) > limits.header_size {
        return Err(HeadError::HeadTooLarge);
    }
    Ok(())
}

/// Which rule was broken by a head that `httparse` does not take.
fn diagnose(head: &[u8]) -> HeadError {
    lines::diagnose(head, check_request_line, HeadError::NotOneHead)
}

fn check_request_line(line: &[u8]) -> Result<(), HeadError> {
    let mut parts = line.split(|&byte| byte == b' ');
    let method = parts.next().unwrap_or_default();
    if line.contains(&b'\r') {
        return Err(HeadError::BareCr);
    }
    if !is_token(method) {
        return Err(HeadError::BadMethod);
    }
    let (Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(HeadError::BadRequestLine);
    };
    if target.is_empty() || version.is_empty() {
        return Err(HeadError::BadRequestLine);
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::BadTargetByte);
    }
    check_version(version)
}

#[cfg(test)]
pub(super) fn reads_by_the_lines(head: &[u8]) -> bool {
    diagnose(head) == HeadError::NotOneHead
}
