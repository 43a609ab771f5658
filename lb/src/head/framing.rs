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

/// What the fields of a request together come to.
#[derive(Debug, Default)]
pub(super) struct Message<'b> {
    pub(super) host: Option<&'b [u8]>,
    pub(super) common: Common,
    expect_continue: bool,
}

impl<'b> Message<'b> {
    /// Takes in one field. Most are told apart by their length alone.
    pub(super) fn note(&mut self, field: Field<'b>) -> Result<(), HeadError> {
        let Field { name, value } = field;
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                set_once(&mut self.host, value, HeadError::RepeatedHost)
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expect_continue |=
                    elements(value).any(|element| element.eq_ignore_ascii_case(b"100-continue"));
                Ok(())
            }
            10 if name.eq_ignore_ascii_case("connection") => self.note_options(value),
            _ => self.common.note(field),
        }
    }

    fn note_options(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in elements(value) {
            if !is_token(option) {
                return Err(HeadError::BadConnectionOption);
            }
            if NOT_NOMINATED.into_iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes())) {
                return Err(HeadError::NominatedField);
            }
            self.common.options.note(option);
        }
        Ok(())
    }

    /// Whether the client waits for 100 (Continue); one of HTTP/1.0 never does
    /// (RFC 9110 §10.1.1).
    pub(super) fn expect_continue(&self, version: Version) -> bool {
        self.expect_continue && version == Version::Http11
    }
}

/// What the fields say that requests and responses have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    length: Option<u64>,
    chunked: Option<()>,
    pub(super) options: Options,
    upgrade_field: bool,
}

impl Common {
    /// Takes in one field, Connection excepted.
    pub(super) fn note(&mut self, Field { name, value }: Field<'_>) -> Result<(), HeadError> {
        match name.len() {
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade_field = true,
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
        !self.options.close && (version == Version::Http11 || self.options.keep_alive)
    }

    /// Whether the sender would switch protocols, or does; ignored in HTTP/1.0
    /// (RFC 9110 §7.8).
    pub(super) fn upgrade(&self, version: Version) -> bool {
        self.options.upgrade && self.upgrade_field && version == Version::Http11
    }
}

/// The options of Connection that were seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// Any but these three.
    others: bool,
}

impl Options {
    pub(super) fn note(&mut self, option: &[u8]) {
        let seen = match option.len() {
            5 if option.eq_ignore_ascii_case(b"close") => &mut self.close,
            10 if option.eq_ignore_ascii_case(b"keep-alive") => &mut self.keep_alive,
            7 if option.eq_ignore_ascii_case(b"upgrade") => &mut self.upgrade,
            _ => &mut self.others,
        };
        *seen = true;
    }

    /// Whether one of them is `name`; `fields` are those they were read from, and
    /// searched only if there is one without a flag of its own.
    pub(super) fn nominate<'b>(self, name: &str, fields: impl Iterator<Item = Field<'b>>) -> bool {
        let known = |seen: bool, option: &str| seen && name.eq_ignore_ascii_case(option);
        let is_name = |option: &[u8]| option.eq_ignore_ascii_case(name.as_bytes());
        known(self.close, "close")
            || known(self.keep_alive, "keep-alive")
            || known(self.upgrade, "upgrade")
            || (self.others
                && fields
                    .filter(|field| field.name.eq_ignore_ascii_case("connection"))
                    .any(|field| elements(field.value).any(is_name)))
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
