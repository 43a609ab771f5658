//! Durations as operators write them: `250ms`, `10s`, `5m`, `1h`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, text_leaf};

/// The longest duration the configuration accepts: ten years. Timers and
/// deadline arithmetic stay far from overflow below it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A length of time: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The standard library's form.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let invalid = || {
            ValueError::new(format!(
                "\"{text}\" is not a duration; write a number and a unit: 250ms, 10s, 5m, 1h or 7d"
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(invalid());
        }
        // Digits that are no u64 are too many.
        let number: u64 = number.parse().unwrap_or(u64::MAX);
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(invalid()),
        };
        number
            .checked_mul(millis_per_unit)
            .map(Duration::from_millis)
            .filter(|span| *span <= LONGEST)
            .map(Self)
            .ok_or_else(|| ValueError::new(format!("\"{text}\" is longer than ten years")))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (size, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if millis >= size && millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        if millis == 0 { f.write_str("0s") } else { write!(f, "{millis}ms") }
    }
}

text_leaf!(
    Span,
    "duration",
    "A duration: a whole number and ms, s, m, h or d.",
    ["10s", "250ms", "7d"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_unit_and_prints_it_back() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration().as_millis(), millis);
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_number() {
        for text in
            ["", "10", "s", "1.5s", "-1s", "10 s", "10sec", "99999999999999999999s", "9999999d"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
