//! Slow start: an endpoint that has just come back gets little at first.
//!
//! Caches are empty then, connections are to be made, code is to be compiled: a
//! full share at once takes it down again. Pure: times are arguments.

use std::time::Duration;

/// Weights during a slow start are counted in parts of this.
const WHOLE: u32 = 100;

/// The share that it begins with: a tenth, as Envoy's `min_weight_percent`.
const FIRST: u32 = 10;

/// The weight of an endpoint of an upstream with slow start, in hundredths: it
/// grows evenly from a tenth to all of it while `up_for` goes from nothing to
/// `over`. `None`: it was there from the beginning.
pub(super) fn weight(weight: u32, over: Duration, up_for: Option<Duration>) -> u32 {
    let part = match up_for {
        Some(up_for) if up_for < over => {
            let grown = up_for.as_micros() * u128::from(WHOLE - FIRST) / over.as_micros().max(1);
            FIRST + grown as u32
        }
        Some(_) | None => WHOLE,
    };
    weight.saturating_mul(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_evenly_from_a_tenth_to_all() {
        let over = Duration::from_secs(30);
        let at = |seconds| weight(3, over, Some(Duration::from_secs(seconds)));
        assert_eq!([at(0), at(10), at(15), at(20), at(29), at(30)], [30, 120, 165, 210, 291, 300]);
        assert_eq!(at(1_000_000), 300);
        assert_eq!(weight(3, over, None), 300);
    }

    #[test]
    fn nothing_overflows() {
        let decade = Duration::from_secs(315_360_000);
        assert_eq!(weight(1000, decade, Some(decade)), 100_000);
        assert_eq!(weight(1000, Duration::ZERO, Some(Duration::ZERO)), 100_000);
        assert_eq!(weight(1, Duration::from_nanos(1), Some(Duration::ZERO)), 10);
    }
}
