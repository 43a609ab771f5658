//! Rates as operators write them: `100/s`, `5/m`, `1000/h`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, text_leaf};

/// So many events in so much time. The smallest spacing is one nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// How many events are allowed in one [`window`](Self::window).
    pub const fn count(self) -> NonZeroU32 {
        self.count
    }

    /// The unit of time that the operator wrote.
    pub const fn window(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }

    /// The time after which one more event is allowed: 10 ms for `100/s`.
    pub fn interval(self) -> Duration {
        self.window() / self.count.get()
    }
}

impl FromStr for Rate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let invalid = || {
            ValueError::new(format!(
                "\"{text}\" is not a rate; write a number per s, m or h: 100/s, 5/m or 1000/h"
            ))
        };
        let (count, unit) = text.split_once('/').ok_or_else(invalid)?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let unit = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(invalid()),
        };
        let count = count
            .parse::<NonZeroU32>()
            .ok()
            // governor counts in whole nanoseconds: above one per nanosecond
            // the interval would be zero.
            .filter(|count| count.get() <= 1_000_000_000)
            .ok_or_else(|| {
                ValueError::new(format!("the number in \"{text}\" must be from 1 to 1000000000"))
            })?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

text_leaf!(Rate, "rate", "A rate: a whole number per s, m or h.", ["100/s", "5/m"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_follows_the_unit() {
        assert_eq!("100/s".parse::<Rate>().unwrap().interval(), Duration::from_millis(10));
        assert_eq!("5/m".parse::<Rate>().unwrap().interval(), Duration::from_secs(12));
        assert_eq!("5/m".parse::<Rate>().unwrap().to_string(), "5/m");
    }

    #[test]
    fn refuses_what_is_no_rate() {
        for text in [
            "",
            "100",
            "0/s",
            "100/d",
            "/s",
            "+5/s",
            "1.5/s",
            "100r/s",
            "4294967296/s",
            "4000000000/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
