//! Shares: `50%`.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, text_leaf};

/// A share of a whole in whole per cent, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
    /// One half.
    pub const HALF: Self = Self(50);

    /// Whether `part` is at least this share of `whole`.
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 100 >= u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let invalid =
            || ValueError::new(format!("\"{text}\" is not a share; write 1% to 100%, as in 50%"));
        let number = text.strip_suffix('%').ok_or_else(invalid)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        match number.parse() {
            Ok(number @ 1..=100) => Ok(Self(number)),
            _ => Err(ValueError::new(format!("the number in \"{text}\" must be from 1 to 100"))),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

text_leaf!(Percent, "percent", "A share: a whole number from 1 to 100 and %.", ["50%", "5%"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_of_one_whole() {
        assert_eq!("50%".parse(), Ok(Percent::HALF));
        assert_eq!("100%".parse::<Percent>().unwrap().to_string(), "100%");
        for text in ["", "%", "50", "50 %", "0%", "101%", "1000%", "+5%", "-5%", "0.5%", "5%%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_reached_by_what_is_as_much_or_more() {
        assert!(!Percent::HALF.is_reached(9, 20));
        assert!(Percent::HALF.is_reached(10, 20));
        assert!(Percent::HALF.is_reached(u64::MAX, u64::MAX));
    }
}
