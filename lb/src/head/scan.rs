//! Finds the end of a head while its bytes come.
//!
//! What is refused here is refused before the head is complete: a peer that
//! will never send a head that is served does not get to fill the buffer.
//! Verdicts depend on the position of the offending byte only, never on how the
//! bytes were cut into reads.

use memchr::memchr;

use super::{
    HeadError, HeadLimits, MAX_FIELDS, ResponseError, ResponseLimits,
    fields::{is_token, is_token_byte},
    lines::Lines,
    parse::MAX_METHOD,
};

/// What surrounds the target in a request line: the longest method, two spaces,
/// and the version.
const AROUND_TARGET: usize = MAX_METHOD + 2 + "HTTP/1.1".len();

/// The signature of PROXY protocol, version 2.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Finds the end of one head. A new one is needed for the next.
#[derive(Debug, Default)]
pub struct Scanner {
    pub(super) lines: Lines,
    /// Where the field lines begin, once the request line is complete.
    fields_at: Option<usize>,
    /// Field lines that are complete.
    fields: usize,
    /// Whether the first bytes have been found to be no other protocol.
    opened: bool,
}

impl Scanner {
    /// The length of the head that `bytes` begins with, its blank line included,
    /// once it is complete. One empty line before the request line is borne and
    /// counted.
    ///
    /// Called with everything since the first byte of the message each time that
    /// more came; bytes looked at before are not looked at again.
    pub fn find_end(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        if !self.opened {
            match refuse_other_protocols(bytes)? {
                Opening::Undecided => return Ok(None),
                Opening::Http => self.opened = true,
            }
        }
        loop {
            let begin = self.lines.begin;
            if self.fields_at.is_none() && self.lines.is_fresh() {
                refuse_first_byte(bytes.get(begin))?;
            }
            let end = self.window_end(limits);
            let Some(line) = self.lines.find(bytes, end)? else {
                if bytes.len() < end {
                    return Ok(None);
                }
                return Err(self.too_large(bytes));
            };
            let next = self.lines.after(line);
            match self.fields_at {
                None if !line.is_empty() => {
                    if line == b"PRI * HTTP/2.0" {
                        return Err(HeadError::Http2Preface);
                    }
                    self.fields_at = Some(next);
                }
                // The one empty line that RFC 9112 §2.2 tells servers to ignore.
                None if begin == 0 => {}
                None => return Err(HeadError::LeadingEmptyLines),
                Some(_) if line.is_empty() => return Ok(Some(next)),
                Some(start) => {
                    if next - start > limits.header_size {
                        return Err(HeadError::HeadTooLarge);
                    }
                    if self.fields >= limits.headers.min(MAX_FIELDS) {
                        return Err(HeadError::TooManyFields);
                    }
                    self.fields += 1;
                }
            }
            self.lines.go_to(next);
        }
    }

    /// Where the scan stops: no head within the limits goes on without a line
    /// end before.
    fn window_end(&self, limits: &HeadLimits) -> usize {
        let room = match self.fields_at {
            None => self.lines.begin.saturating_add(limits.uri).saturating_add(AROUND_TARGET),
            Some(start) => start.saturating_add(limits.header_size),
        };
        // The CRLF of the request line, or the blank line.
        room.saturating_add(2)
    }

    /// What is too large when the window has no line end.
    fn too_large(&self, bytes: &[u8]) -> HeadError {
        if self.fields_at.is_some() {
            return HeadError::HeadTooLarge;
        }
        // A request line: is it one with a long target, or none at all?
        let begin = &bytes[self.lines.begin..];
        let longest = &begin[..begin.len().min(MAX_METHOD + 1)];
        match memchr(b' ', longest) {
            Some(space) if is_token(&begin[..space]) => HeadError::UriTooLong,
            _ => HeadError::BadRequestLine,
        }
    }
}

/// Finds the end of one response head. A new one is needed for the next.
#[derive(Debug, Default)]
pub struct ResponseScanner {
    pub(super) lines: Lines,
    /// Field lines that are complete.
    fields: usize,
}

impl ResponseScanner {
    /// The length of the head that `bytes` begins with, its blank line included,
    /// once it is complete.
    ///
    /// Called with everything since the first byte of the message each time that
    /// more came; bytes looked at before are not looked at again.
    pub fn find_end(
        &mut self,
        bytes: &[u8],
        limits: &ResponseLimits,
    ) -> Result<Option<usize>, ResponseError> {
        let end = limits.head_size;
        let begin = &bytes[..bytes.len().min(end)];
        if !begin.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected) {
            return Err(ResponseError::NotHttp);
        }
        loop {
            let Some(line) = self.lines.find(bytes, end)? else {
                if bytes.len() < end {
                    return Ok(None);
                }
                return Err(HeadError::HeadTooLarge.into());
            };
            let next = self.lines.after(line);
            // The first line is the status line.
            if self.lines.begin > 0 {
                if line.is_empty() {
                    return Ok(Some(next));
                }
                if self.fields >= limits.fields.min(MAX_FIELDS) {
                    return Err(HeadError::TooManyFields.into());
                }
                self.fields += 1;
            }
            self.lines.go_to(next);
        }
    }
}

enum Opening {
    Undecided,
    Http,
}

/// Tells other protocols from HTTP by the first bytes of the message.
fn refuse_other_protocols(bytes: &[u8]) -> Result<Opening, HeadError> {
    // A TLS record (RFC 8446 §5.1): handshake, and the major version of them all.
    const TLS: &[u8] = &[0x16, 0x03];
    for (signature, error) in [
        (TLS, HeadError::TlsOnPlain),
        (b"PROXY ", HeadError::UnexpectedProxyHeader),
        (PROXY_V2, HeadError::UnexpectedProxyHeader),
    ] {
        if bytes.starts_with(signature) {
            return Err(error);
        }
        if signature.starts_with(bytes) {
            return Ok(Opening::Undecided);
        }
    }
    Ok(Opening::Http)
}

/// Refuses what cannot begin a request line, at its first byte. A CR may begin
/// the empty line before it; LF and NUL get errors of their own.
fn refuse_first_byte(first: Option<&u8>) -> Result<(), HeadError> {
    match first {
        Some(&byte) if !is_token_byte(byte) && !matches!(byte, b'\r' | b'\n' | 0) => {
            Err(HeadError::BadMethod)
        }
        _ => Ok(()),
    }
}
