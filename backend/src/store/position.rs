//! A place in the history of the database.

use std::fmt;

use crate::domain::Invalid;

/// How far the history of the database has come: everything that was written
/// up to here is part of the state. In PostgreSQL an LSN, a number of bytes of
/// write-ahead log; positions only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before everything; also of stores that have no history to speak of.
    pub const START: Self = Self(0);

    /// After everything: of what will never be otherwise.
    pub const END: Self = Self(u64::MAX);

    /// The position that is so many bytes from the start.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the start.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Parses PostgreSQL's notation of `pg_lsn`: two hexadecimal numbers of up to
    /// eight digits with a slash between, as in `0/16B3748`.
    ///
    /// # Errors
    /// If `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const MALFORMED: Invalid = Invalid("must be a position such as 0/16B3748");
        let half = |digits: &str| {
            let is_number =
                (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            is_number.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(MALFORMED)
        };
        let (high, low) = text.split_once('/').ok_or(MALFORMED)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_postgresql_does() {
        for text in ["0/0", "0/16B3748", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(Position::parse(text).unwrap().to_string(), text);
        }
        assert!(Position::parse("0/FFFFFFFF").unwrap() < Position::parse("1/0").unwrap());
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in
            ["", "/", "0", "0/", "/0", "0/-1", "0/+1", "0/123456789", "g/0", "0/0/0", " 0/0"]
        {
            assert!(Position::parse(text).is_err(), "{text:?}");
        }
    }
}
