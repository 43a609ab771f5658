//! Outliers: endpoints that fail more of their requests than they may, or are much
//! slower than the others, whatever their health checks say.
//!
//! Each endpoint keeps a tally, counted with relaxed atomics; once an interval the
//! tallies are taken and compared. The comparison is pure.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::values::Percent;

/// What is configured. One of the first two is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierSettings {
    /// The share of failed attempts that takes an endpoint out.
    pub error_rate: Option<Percent>,
    /// How many times slower than the median of the others takes it out.
    pub latency_factor: Option<f64>,
    /// Out of so many attempts at least.
    pub min_requests: u32,
    /// How often they are compared.
    pub interval: Duration,
    /// How long an endpoint is out, the first time.
    pub eject_for: Duration,
}

/// Whoever is slower by less than this is no outlier, however fast the others are.
const NOTICEABLE: Duration = Duration::from_millis(10);

/// What has become of an endpoint's attempts since the last look.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: AtomicU32,
    errors: AtomicU32,
    timed: AtomicU32,
    /// Microseconds until the heads of those that are timed, added up.
    waited: AtomicU64,
}

/// A tally that was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) requests: u32,
    errors: u32,
    timed: u32,
    waited: Duration,
}

/// What makes an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// So many of so many failed.
    ErrorRate { errors: u32, requests: u32 },
    /// Its mean against the median of the others.
    Latency { mean: Duration, median: Duration },
}

impl Tally {
    /// An attempt was served, and its head came after so long, if that says anything.
    pub(super) fn served(&self, after: Option<Duration>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(after) = after {
            self.timed.fetch_add(1, Ordering::Relaxed);
            self.waited.fetch_add(after.as_micros() as u64, Ordering::Relaxed);
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt that was counted as served broke off.
    pub(super) fn broke_off(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what there is, and begins anew. What is counted meanwhile may be split
    /// between the two.
    pub(super) fn take(&self) -> Sample {
        let requests = self.requests.swap(0, Ordering::Relaxed);
        Sample {
            requests,
            errors: self.errors.swap(0, Ordering::Relaxed).min(requests),
            timed: self.timed.swap(0, Ordering::Relaxed),
            waited: Duration::from_micros(self.waited.swap(0, Ordering::Relaxed)),
        }
    }
}

impl Sample {
    fn mean(&self, min_requests: u32) -> Option<Duration> {
        (self.timed >= min_requests.max(1)).then(|| self.waited / self.timed)
    }

    fn error_share(&self) -> f64 {
        f64::from(self.errors) / f64::from(self.requests.max(1))
    }
}

/// The outliers by their places, the worst first: those that fail before those that
/// are slow.
pub(super) fn find(samples: &[Sample], settings: &OutlierSettings) -> Vec<(usize, Reason)> {
    let mut failing: Vec<(usize, &Sample)> = match settings.error_rate {
        None => Vec::new(),
        Some(rate) => (0..)
            .zip(samples)
            .filter(|(_, sample)| {
                sample.requests >= settings.min_requests
                    && rate.is_reached(sample.errors.into(), sample.requests.into())
            })
            .collect(),
    };
    failing.sort_by(|(_, a), (_, b)| b.error_share().total_cmp(&a.error_share()));
    let means: Vec<Option<Duration>> =
        samples.iter().map(|sample| sample.mean(settings.min_requests)).collect();
    let mut slow: Vec<(usize, f64, Reason)> = match settings.latency_factor {
        None => Vec::new(),
        Some(factor) => (0..)
            .zip(&means)
            .filter(|(index, _)| !failing.iter().any(|(failing, _)| failing == index))
            .filter_map(|(index, mean)| {
                let (mean, median) = ((*mean)?, median_of_others(&means, index)?);
                let times = mean.as_secs_f64() / median.as_secs_f64().max(1e-6);
                let is_slow = times >= factor && mean.saturating_sub(median) >= NOTICEABLE;
                is_slow.then_some((index, times, Reason::Latency { mean, median }))
            })
            .collect(),
    };
    slow.sort_by(|(_, a, _), (_, b, _)| b.total_cmp(a));
    let failing = failing.into_iter().map(|(index, sample)| {
        (index, Reason::ErrorRate { errors: sample.errors, requests: sample.requests })
    });
    failing.chain(slow.into_iter().map(|(index, _, reason)| (index, reason))).collect()
}

fn median_of_others(means: &[Option<Duration>], index: usize) -> Option<Duration> {
    let others = (0..).zip(means).filter(|(other, _)| *other != index);
    let mut others: Vec<Duration> = others.filter_map(|(_, mean)| *mean).collect();
    others.sort_unstable();
    let upper = *others.get(others.len() / 2)?;
    match others.len() % 2 {
        0 => Some((*others.get(others.len() / 2 - 1)? + upper) / 2),
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: OutlierSettings = OutlierSettings {
        error_rate: Some(Percent::HALF),
        latency_factor: Some(3.0),
        min_requests: 20,
        interval: Duration::from_secs(10),
        eject_for: Duration::from_secs(30),
    };

    /// So many requests, errors among them, and the mean of the others in ms.
    fn sample((requests, errors, mean): (u32, u32, u64)) -> Sample {
        let tally = Tally::default();
        (0..errors).for_each(|_| tally.failed());
        (errors..requests).for_each(|_| tally.served(Some(Duration::from_millis(mean))));
        tally.take()
    }

    fn found(samples: &[(u32, u32, u64)], settings: &OutlierSettings) -> Vec<usize> {
        let samples: Vec<Sample> = samples.iter().copied().map(sample).collect();
        find(&samples, settings).into_iter().map(|(index, _)| index).collect()
    }

    /// What it is about, the endpoints, and who of them is one.
    type Row = (&'static str, &'static [(u32, u32, u64)], &'static [usize]);

    #[test]
    fn who_is_an_outlier() {
        let table: &[Row] = &[
            ("nobody is there", &[], &[]),
            ("nothing was asked", &[(0, 0, 0), (0, 0, 0)], &[]),
            ("all is well", &[(100, 1, 20), (100, 0, 25), (100, 0, 22)], &[]),
            ("half fail", &[(100, 50, 20), (100, 0, 20)], &[0]),
            ("not quite half", &[(100, 49, 20), (100, 0, 20)], &[]),
            ("too few to tell", &[(19, 19, 20), (100, 0, 20)], &[]),
            ("all fail: the worst first", &[(100, 60, 1), (100, 100, 1), (40, 30, 1)], &[1, 2, 0]),
            ("slow", &[(100, 0, 20), (100, 0, 60), (100, 0, 20)], &[1]),
            ("not slow enough", &[(100, 0, 20), (100, 0, 59), (100, 0, 20)], &[]),
            ("slow, too few of it", &[(100, 0, 20), (19, 0, 600), (100, 0, 20)], &[]),
            ("slow, too few of the others", &[(10, 0, 20), (100, 0, 600), (10, 0, 20)], &[]),
            ("the median is of those with enough", &[(10, 0, 1), (90, 0, 99), (90, 0, 20)], &[1]),
            ("two: the other is the median", &[(100, 0, 100), (100, 0, 20)], &[0]),
            ("alone", &[(100, 0, 1000)], &[]),
            ("even: between the two", &[(50, 0, 20), (50, 0, 40), (50, 0, 90), (50, 0, 20)], &[2]),
            ("too little to notice", &[(100, 0, 1), (100, 0, 10), (100, 0, 1)], &[]),
            ("fails and is slow: once", &[(100, 50, 900), (100, 0, 20), (100, 0, 20)], &[0]),
            ("fails before slow", &[(50, 0, 999), (50, 0, 1), (50, 0, 1), (50, 50, 0)], &[3, 0]),
        ];
        for (name, samples, expected) in table {
            assert_eq!(found(samples, &SETTINGS), *expected, "{name}");
        }
    }

    #[test]
    fn either_may_be_left_out() {
        let samples = &[(100, 100, 0), (100, 0, 500), (100, 0, 20), (100, 0, 20)];
        assert_eq!(found(samples, &SETTINGS), [0, 1]);
        assert_eq!(found(samples, &OutlierSettings { error_rate: None, ..SETTINGS }), [1]);
        assert_eq!(found(samples, &OutlierSettings { latency_factor: None, ..SETTINGS }), [0]);
    }

    #[test]
    fn a_tally_begins_anew_when_it_is_taken() {
        let tally = Tally::default();
        tally.served(Some(Duration::from_millis(3)));
        tally.served(None);
        tally.failed();
        tally.broke_off();
        let sample = tally.take();
        let waited = Duration::from_millis(3);
        assert_eq!(sample, Sample { requests: 3, errors: 2, timed: 1, waited });
        tally.broke_off();
        assert_eq!(tally.take(), Sample::default(), "of what was taken before");
    }
}
