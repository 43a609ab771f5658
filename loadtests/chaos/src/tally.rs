//! What is counted while one thing is broken.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::load::outcome::{Failure, Judgement, Weather};
use crate::load::tunnels::End;

/// The requests and tunnels of one row of the table.
#[derive(Debug)]
pub(crate) struct Tally {
    weather: Weather,
    /// Endpoints whose tunnels may break.
    affected: Vec<usize>,
    counts: Mutex<Counts>,
    pending: watch::Sender<usize>,
}

/// The counts so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// What lb had to save.
    pub(crate) failed: u64,
    /// What nobody was allowed to save.
    pub(crate) unsafe_to_repeat: u64,
    /// Answers of a broken backend.
    pub(crate) passed_through: u64,
    pub(crate) resent: u64,
    /// Tunnels to endpoints that were sound.
    pub(crate) tunnels_cut: u64,
    /// Tunnels to endpoints that were not.
    pub(crate) tunnels_lost: u64,
    /// In microseconds.
    pub(crate) latencies: Vec<u64>,
    /// How many failed, by what it was and how it is judged.
    pub(crate) failures: BTreeMap<String, u64>,
    /// How late the load sent a request, at most: where that is much, the times
    /// are the machine's.
    pub(crate) sent_late: Duration,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Pending<'a>(&'a Tally);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.send_modify(|count| *count -= 1);
    }
}

impl Tally {
    pub(crate) fn new(weather: Weather, affected: &[usize]) -> Self {
        Self {
            weather,
            affected: affected.to_vec(),
            counts: Mutex::default(),
            pending: watch::Sender::new(0),
        }
    }

    /// Counts a request as under way, sent `late` after its time.
    pub(crate) fn begin(&self, late: Duration) -> Pending<'_> {
        self.pending.send_modify(|count| *count += 1);
        let mut counts = self.counts();
        counts.sent += 1;
        counts.sent_late = counts.sent_late.max(late);
        Pending(self)
    }

    pub(crate) fn resent(&self) {
        self.counts().resent += 1;
    }

    /// A request has ended, so long after it was due.
    pub(crate) fn end(
        &self,
        after: Option<Duration>,
        is_idempotent: bool,
        result: Result<(), Failure>,
    ) {
        let mut counts = self.counts();
        if let Some(after) = after {
            counts.latencies.push(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        }
        let Err(failure) = result else { return };
        let what = match failure.judge(is_idempotent, self.weather) {
            Judgement::Owed => {
                counts.failed += 1;
                "failed"
            }
            Judgement::Unsafe => {
                counts.unsafe_to_repeat += 1;
                "not repeatable"
            }
            Judgement::PassedThrough => {
                counts.passed_through += 1;
                "passed through"
            }
        };
        let method = if is_idempotent { "GET" } else { "POST" };
        let label = format!("{what}: {method}: {}", failure.label());
        *counts.failures.entry(label).or_default() += 1;
    }

    /// A tunnel to `endpoint` has ended without its client's wish.
    pub(crate) fn tunnel_ended(&self, endpoint: Option<usize>, end: &End) {
        let mut counts = self.counts();
        let why = match end {
            End::Gone(why) => why,
            // Whatever is broken: nobody but the backend speaks in a tunnel.
            End::Garbled(what) => {
                counts.failed += 1;
                *counts.failures.entry(format!("failed: in a tunnel: {what}")).or_default() += 1;
                return;
            }
        };
        let is_affected = endpoint.is_some_and(|index| self.affected.contains(&index));
        let what = if is_affected {
            counts.tunnels_lost += 1;
            "tunnel lost with its backend"
        } else {
            counts.tunnels_cut += 1;
            "tunnel cut"
        };
        *counts.failures.entry(format!("{what}: {why}")).or_default() += 1;
    }

    /// Waits until no request is under way, or for `longest`.
    pub(crate) async fn settled(&self, longest: Duration) -> bool {
        let mut pending = self.pending.subscribe();
        let deadline = Instant::now() + longest;
        timeout_at(deadline, pending.wait_for(|count| *count == 0)).await.is_ok()
    }

    /// The counts, with the latencies sorted.
    pub(crate) fn result(&self) -> Counts {
        let mut counts = self.counts().clone();
        counts.latencies.sort_unstable();
        counts
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value that `percent` of `sorted` do not exceed (nearest rank); `None` of
/// nothing.
pub(crate) fn percentile(sorted: &[u64], percent: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (percent / 100.0 * sorted.len() as f64).ceil();
    // Of an index: no more than a `usize` holds, and not negative.
    let index = (rank as usize).saturating_sub(1).min(last);
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const BROKEN: Weather = Weather::UPSTREAM_BROKEN;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50.0), Some(50));
        assert_eq!(percentile(&hundred, 99.0), Some(99));
        assert_eq!(percentile(&hundred, 99.5), Some(100));
        assert_eq!(percentile(&hundred, 100.0), Some(100));
        assert_eq!(percentile(&hundred, 0.0), Some(1));
        assert_eq!(percentile(&[7], 99.0), Some(7));
        assert_eq!(percentile(&[], 99.0), None);
    }

    #[test]
    fn failures_are_counted_apart() {
        let tally = Tally::new(BROKEN, &[1]);
        let reset =
            Failure::Refused { status: StatusCode::BAD_GATEWAY, cause: "upstream_reset".into() };
        tally.end(Some(Duration::ZERO), true, Ok(()));
        tally.end(Some(Duration::from_millis(3)), true, Err(reset.clone()));
        tally.end(Some(Duration::from_millis(1)), false, Err(reset));
        tally.end(None, true, Err(Failure::PassedThrough(StatusCode::BAD_GATEWAY)));
        let counts = tally.result();
        assert_eq!((counts.failed, counts.unsafe_to_repeat, counts.passed_through), (1, 1, 1));
        assert_eq!(counts.latencies, [0, 1000, 3000]);
        assert_eq!(counts.failures["failed: GET: 502 upstream_reset"], 1);
    }

    #[test]
    fn only_tunnels_of_sound_endpoints_are_cut() {
        let tally = Tally::new(BROKEN, &[1]);
        let reset = End::Gone("reset".to_owned());
        tally.tunnel_ended(Some(1), &reset);
        tally.tunnel_ended(Some(0), &reset);
        tally.tunnel_ended(None, &reset);
        tally.tunnel_ended(Some(1), &End::Garbled("502 Bad Gateway".to_owned()));
        let counts = tally.result();
        assert_eq!((counts.tunnels_lost, counts.tunnels_cut, counts.failed), (1, 2, 1));
    }

    #[tokio::test]
    async fn a_tally_waits_for_what_is_under_way() {
        let tally = Tally::new(BROKEN, &[]);
        let pending = tally.begin(Duration::ZERO);
        assert!(!tally.settled(Duration::from_millis(10)).await);
        drop(pending);
        assert!(tally.settled(Duration::from_secs(20)).await);
    }
}
