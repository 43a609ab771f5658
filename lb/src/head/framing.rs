//! What the fields say about the message as a whole: where its body ends, and
//! what becomes of the connection after it (RFC 9112 §6 and §9).
//!
//! RFC 9112 leaves a server room to repair contradictory framing. None is
//! taken: an equal second Content-Length or a `gzip, chunked` is what somebody
//! sends who hopes that the next server reads it differently.

use super::{
    HeadError, Version,
    fields::{Field, elements, is_token},
};

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body: neither field was sent (RFC 9112 §6.3, rule 7).
    None,
    /// As many bytes as Content-Length says.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
}

/// Field names that a Connection option must not strip: the ends of the
/// message, and what tells the origin who is asking for what.
const NOT_NOMINATED: [&str; 8] = [
    "content-length",
    "transfer-encoding",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
];

/// What the fields together come to.
#[derive(Debug, Default)]
pub(super) struct Message<'b> {
    pub(super) host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: Option<()>,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade_field: bool,
    expect_continue: bool,
}

impl<'b> Message<'b> {
    /// Takes in one field. Most are told apart by their length alone.
    pub(super) fn note(&mut self, field: Field<'b>) -> Result<(), HeadError> {
        let Field { name, value } = field;
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                set_once(&mut self.host, value, HeadError::RepeatedHost)?;
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expect_continue |=
                    elements(value).any(|element| element.eq_ignore_ascii_case(b"100-continue"));
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade_field = true,
            10 if name.eq_ignore_ascii_case("connection") => self.note_options(value)?,
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = parse_length(value).ok_or(HeadError::BadLength)?;
                set_once(&mut self.length, length, HeadError::RepeatedLength)?;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::BadCoding);
                }
                set_once(&mut self.chunked, (), HeadError::RepeatedCoding)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn note_options(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in elements(value) {
            if !is_token(option) {
                return Err(HeadError::BadConnectionOption);
            }
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                self.upgrade_option = true;
            } else if NOT_NOMINATED.into_iter().any(is) {
                return Err(HeadError::NominatedField);
            }
        }
        Ok(())
    }

    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.length, self.chunked) {
            (Some(_), Some(())) => Err(HeadError::LengthAndCoding),
            (None, Some(())) if version == Version::Http10 => Err(HeadError::CodingOnHttp10),
            (None, Some(())) => Ok(Framing::Chunked),
            (Some(length), None) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }

    /// Whether the connection may serve another request (RFC 9112 §9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the client waits for 100 (Continue); one of HTTP/1.0 never does
    /// (RFC 9110 §10.1.1).
    pub(super) fn expect_continue(&self, version: Version) -> bool {
        self.expect_continue && version == Version::Http11
    }

    /// Whether the client offers to switch protocols; ignored in HTTP/1.0
    /// (RFC 9110 §7.8).
    pub(super) fn upgrade(&self, version: Version) -> bool {
        self.upgrade_option && self.upgrade_field && version == Version::Http11
    }
}

/// Fills `slot`, which a field seen before has not filled yet.
fn set_once<T>(slot: &mut Option<T>, value: T, repeated: HeadError) -> Result<(), HeadError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

/// 1*DIGIT that fits 64 bits; `str::parse` would take a sign.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
