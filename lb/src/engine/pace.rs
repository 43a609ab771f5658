//! The slowest that a client may be (Apache: `RequestReadTimeout … MinRate`).
//!
//! Only the time that we wait for the client counts, never the time in which an
//! endpoint is slow or nothing is asked of the client.

use std::time::Duration;

use tokio::time::Instant;

use crate::snapshot::Pace;

/// What one direction of one message may still cost in waiting. A client may
/// wait for as long as its credit lasts; every byte earns it its share of a
/// second, up to the grace.
#[derive(Debug)]
pub struct Patience {
    pace: Pace,
    credit: Duration,
    waiting_since: Option<Instant>,
}

impl Patience {
    /// The whole grace.
    pub fn new(pace: Pace) -> Self {
        Self { pace, credit: pace.grace, waiting_since: None }
    }

    /// Nobody is ever late.
    pub fn endless() -> Self {
        Self::new(Pace { min_rate: 0, grace: Duration::ZERO })
    }

    /// Bytes have moved.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.credit = self.credit.saturating_sub(since.elapsed());
        }
        if self.credit == self.pace.grace {
            return;
        }
        let earned = Duration::from_nanos(
            (bytes as u64)
                .saturating_mul(1_000_000_000)
                .checked_div(self.pace.min_rate)
                .unwrap_or(0),
        );
        self.credit = self.credit.saturating_add(earned).min(self.pace.grace);
    }

    /// The client has to do something before we can go on: when it will have
    /// taken too long. `None` is never.
    pub fn waits(&mut self) -> Option<Instant> {
        if self.pace.min_rate == 0 {
            return None;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        since.checked_add(self.credit)
    }
}

/// How long a client may take to take what is sent to it.
///
/// The kernel takes more from us only when a good part of what it holds, 64 KiB
/// and more, has gone: a client that takes a few kilobytes a second would seem
/// to stand still. So before one is called late, what it has acknowledged counts.
#[derive(Debug)]
pub struct Taking {
    patience: Patience,
    /// What was acknowledged when it was last looked at, in this wait.
    acknowledged: Option<u64>,
    /// Bytes that were counted when they were acknowledged, before the room that
    /// they left was written to again.
    counted: usize,
}

impl Taking {
    /// The whole grace.
    pub fn new(pace: Pace) -> Self {
        Self { patience: Patience::new(pace), acknowledged: None, counted: 0 }
    }

    /// Nobody is ever late.
    pub fn unwatched() -> Self {
        Self { patience: Patience::endless(), acknowledged: None, counted: 0 }
    }

    /// Bytes have been written.
    pub fn moved(&mut self, bytes: usize) {
        let again = bytes.min(self.counted);
        self.counted -= again;
        self.acknowledged = None;
        self.patience.moved(bytes - again);
    }

    /// Nothing can be written: when the client has to be looked at again.
    pub fn waits(&mut self, acknowledged: impl FnOnce() -> Option<u64>) -> Option<Instant> {
        let at = self.patience.waits()?;
        if self.acknowledged.is_none() {
            self.acknowledged = acknowledged();
        }
        Some(at)
    }

    /// That time has come. Whether the client took too long, or else until when
    /// it may go on.
    pub fn late(&mut self, acknowledged: impl FnOnce() -> Option<u64>) -> Result<Instant, Late> {
        let (Some(before), Some(now)) = (self.acknowledged, acknowledged()) else {
            return Err(Late);
        };
        self.acknowledged = Some(now);
        let Ok(taken @ 1..) = usize::try_from(now.saturating_sub(before)) else {
            return Err(Late);
        };
        self.counted += taken;
        self.patience.moved(taken);
        self.patience.waits().filter(|at| *at > Instant::now()).ok_or(Late)
    }
}

/// The client took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PACE: Pace = Pace { min_rate: 500, grace: Duration::from_secs(10) };

    /// Seconds until a client that sends `bytes` every `every` is late; gives up
    /// after an hour.
    async fn late_after(bytes: usize, every: Duration) -> Option<u64> {
        let mut patience = Patience::new(PACE);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3600) {
            let next = Instant::now() + every;
            let late = patience.waits().unwrap();
            tokio::time::sleep_until(next.min(late)).await;
            if late < next {
                return Some(begun.elapsed().as_secs());
            }
            patience.moved(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_late_after_the_grace() {
        assert_eq!(late_after(0, Duration::from_secs(7200)).await, Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_late_and_the_minimum_is_not() {
        // A byte a second earns 2 ms and costs a second.
        assert_eq!(late_after(1, Duration::from_secs(1)).await, Some(10));
        assert_eq!(late_after(450, Duration::from_secs(1)).await, Some(91));
        assert_eq!(late_after(510, Duration::from_secs(1)).await, None);
    }

    fn is_late(patience: &mut Patience) -> bool {
        patience.waits().is_some_and(|at| at <= Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_buys_no_more_than_the_grace() {
        let mut patience = Patience::new(PACE);
        patience.moved(1 << 30);
        assert!(!is_late(&mut patience));
        advance(Duration::from_secs(11)).await;
        assert!(is_late(&mut patience));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_is_free() {
        let mut patience = Patience::new(PACE);
        for _ in 0..100 {
            patience.moved(1);
            advance(Duration::from_secs(60)).await;
        }
        assert!(!is_late(&mut patience));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_is_late() {
        let mut patience = Patience::new(Pace { min_rate: 0, ..PACE });
        advance(Duration::from_secs(3600)).await;
        assert!(!is_late(&mut patience));
    }
}
