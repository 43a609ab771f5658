//! Ranges of HTTP statuses: `200`, `200-299`, `2xx`.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, text_leaf};

/// An inclusive range of HTTP status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// `2xx`.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// One status.
    pub const fn single(status: u16) -> Self {
        Self { first: status, last: status }
    }

    /// Whether `status` lies in the range.
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

/// The first status that a [`StatusSet`] has room for.
const FIRST_OF_SET: u16 = 400;

/// A set of statuses of responses that went wrong, 400 to 599. Asked for every
/// response: a look at one bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSet([u64; 4]);

impl StatusSet {
    /// Adds a status; others than 400 to 599 are left out.
    pub fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = Self::place(status) {
            self.0[word] |= bit;
        }
    }

    /// Whether `status` is in the set.
    pub fn contains(&self, status: u16) -> bool {
        Self::place(status).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    fn place(status: u16) -> Option<(usize, u64)> {
        let index = status.checked_sub(FIRST_OF_SET).filter(|index| *index < 200)?;
        Some((usize::from(index / 64), 1 << (index % 64)))
    }
}

impl FromStr for StatusRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let invalid =
            || ValueError::new(format!("\"{text}\" is not a status; write 200, 200-299 or 2xx"));
        let code = |text: &str| -> Result<u16, ValueError> {
            text.parse()
                .ok()
                .filter(|code| text.len() == 3 && (100..=599).contains(code))
                .ok_or_else(invalid)
        };
        if let [class @ b'1'..=b'5', b'x', b'x'] = text.as_bytes() {
            let first = u16::from(class - b'0') * 100;
            return Ok(Self { first, last: first + 99 });
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (code(first)?, code(last)?),
            None => (code(text)?, code(text)?),
        };
        if first > last {
            return Err(ValueError::new(format!("\"{text}\" ends before it begins")));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

text_leaf!(
    StatusRange,
    "status-range",
    "An HTTP status or a range: 200, 200-299 or 2xx.",
    ["200", "200-399", "2xx"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let mut set = StatusSet::default();
        for status in [400, 463, 464, 503, 599] {
            set.insert(status);
        }
        for outside in [0, 200, 399, 600, u16::MAX] {
            set.insert(outside);
        }
        let found: Vec<u16> = (0..=u16::MAX).filter(|status| set.contains(*status)).collect();
        assert_eq!(found, [400, 463, 464, 503, 599]);
    }

    #[test]
    fn single_range_and_class() {
        assert!("200".parse::<StatusRange>().unwrap().contains(200));
        assert!(!"200".parse::<StatusRange>().unwrap().contains(201));
        assert!("200-399".parse::<StatusRange>().unwrap().contains(302));
        assert_eq!("2xx".parse(), Ok(StatusRange::SUCCESS));
        for text in ["", "20", "6xx", "299-200", "99", "600", "200-", "+200", "+2xx", "02xx", "xx"]
        {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
    }
}
