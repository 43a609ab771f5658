//! The trailer section of a chunked body (RFC 9112 §7.1.2): read strictly, then
//! dropped. No field in it could be forwarded without knowing what it means
//! (RFC 9110 §6.5.1).

use super::{
    BodyError,
    fields::{is_token_byte, is_value_byte},
};

/// Fields in a trailer section. Those in use send one or two.
const MAX_LINES: u8 = 64;

/// Bytes of a trailer section. It is thrown away, so room for a signature and a
/// checksum is enough.
const MAX_BYTES: u16 = 8 * 1024;

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
