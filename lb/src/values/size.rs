//! Sizes in bytes as operators write them: `0`, `4096`, `64KiB`, `10MiB`, `1GiB`.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, text_leaf};

/// A number of bytes, in binary units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let invalid = || {
            ValueError::new(format!(
                "\"{text}\" is not a size; write a number and a unit: 512B, 64KiB, 10MiB or 1GiB"
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(invalid());
        }
        // Digits that are no u64 are too many.
        let number: u64 = number.parse().unwrap_or(u64::MAX);
        let shift = match unit {
            "" if number == 0 => 0,
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            // nginx writes 10m, others 10MB; guessing between powers of ten and
            // of two would be wrong half the time.
            _ => return Err(invalid()),
        };
        number
            .checked_mul(1 << shift)
            .filter(|bytes| *bytes <= 1 << 50)
            .map(Self)
            .ok_or_else(|| ValueError::new(format!("\"{text}\" is larger than 1 PiB")))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 > 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

text_leaf!(
    ByteSize,
    "size",
    "A size in bytes: a whole number and B, KiB, MiB or GiB.",
    ["64KiB", "10MiB"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_binary_units() {
        for (text, bytes) in
            [("0", 0), ("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1GiB", 1 << 30)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes);
        }
        assert_eq!("64KiB".parse::<ByteSize>().unwrap().to_string(), "64KiB");
    }

    #[test]
    fn refuses_ambiguous_units() {
        for text in ["10", "10m", "10MB", "10k", "KiB", "-1KiB", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
