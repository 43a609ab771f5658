//! What has grown: medians after the warm-up against medians at the end.

use std::ops::Range;

use serde::Serialize;

use super::samples::{Gauge, Sample};

/// What may grow without being a leak.
const TOLERANCE: f64 = 0.1;

/// When is compared, in seconds since the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Windows {
    pub(crate) first: Range<f64>,
    pub(crate) last: Range<f64>,
}

impl Windows {
    /// A fifth of the time is the warm-up; each window is a tenth.
    pub(crate) fn of(seconds: f64) -> Self {
        Self { first: seconds * 0.2..seconds * 0.3, last: seconds * 0.9..seconds }
    }

    /// Whether something that disturbs for `settling` seconds may begin now.
    pub(crate) fn may_disturb(&self, second: f64, settling: f64) -> bool {
        let is_clear =
            |window: &Range<f64>| second + settling <= window.start || second >= window.end;
        is_clear(&self.first) && is_clear(&self.last)
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Growth {
    pub(crate) name: &'static str,
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) allowed: f64,
    /// The medians of each tenth of the run.
    pub(crate) course: Vec<f64>,
}

impl Growth {
    pub(crate) fn is_leak(&self) -> bool {
        self.last > self.allowed
    }
}

/// What came of each gauge; `None` where a window is empty.
pub(crate) fn compare(samples: &[Sample], windows: &Windows, seconds: f64) -> Option<Vec<Growth>> {
    Gauge::ALL
        .into_iter()
        .map(|gauge| {
            let first = median_within(samples, &windows.first, gauge)?;
            let last = median_within(samples, &windows.last, gauge)?;
            let tenth = |number: usize| {
                let start = seconds * number as f64 / 10.0;
                median_within(samples, &(start..start + seconds / 10.0), gauge)
            };
            Some(Growth {
                name: gauge.name(),
                first,
                last,
                allowed: first * (1.0 + TOLERANCE) + gauge.slack(),
                course: (0..10).filter_map(tenth).collect(),
            })
        })
        .collect()
}

fn median_within(samples: &[Sample], window: &Range<f64>, gauge: Gauge) -> Option<f64> {
    let within = samples.iter().filter(|sample| window.contains(&sample.second));
    median(within.map(|sample| sample.get(gauge)).collect())
}

/// The lower of the two in the middle, if there are two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute, with the value of each second.
    fn minute(value: impl Fn(f64) -> f64) -> Vec<Growth> {
        let samples: Vec<Sample> =
            (0..60).map(|second| Sample::of(f64::from(second), value(f64::from(second)))).collect();
        compare(&samples, &Windows::of(60.0), 60.0).unwrap()
    }

    #[test]
    fn a_median_is_of_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn what_stays_is_no_leak_and_what_grows_is() {
        assert!(minute(|_| 50_000.0).iter().all(|growth| !growth.is_leak()));
        // Nine percent more at the end.
        let within = minute(|second| if second < 50.0 { 50_000.0 } else { 54_500.0 });
        assert!(within.iter().all(|growth| !growth.is_leak()));
        let leak = minute(|second| 50_000.0 + second * 1000.0);
        assert!(leak.iter().all(Growth::is_leak));
    }

    #[test]
    fn one_peak_in_a_window_is_nothing() {
        let peak = minute(|second| if second == 55.0 { 1e9 } else { 100.0 });
        assert!(peak.iter().all(|growth| !growth.is_leak()));
    }

    #[test]
    fn growth_during_the_warm_up_is_nothing() {
        let grown = minute(|second| if second < 12.0 { 1.0 } else { 1e6 });
        assert!(grown.iter().all(|growth| !growth.is_leak()));
        assert_eq!(grown[0].course.len(), 10);
    }

    #[test]
    fn nothing_disturbs_a_window() {
        let windows = Windows::of(100.0);
        assert!(windows.may_disturb(5.0, 10.0));
        assert!(!windows.may_disturb(15.0, 10.0));
        assert!(!windows.may_disturb(25.0, 10.0));
        assert!(windows.may_disturb(31.0, 10.0));
        assert!(!windows.may_disturb(85.0, 10.0));
    }

    #[test]
    fn without_samples_there_is_nothing_to_compare() {
        assert_eq!(compare(&[], &Windows::of(60.0), 60.0), None);
    }
}
