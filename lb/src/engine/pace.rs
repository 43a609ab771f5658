//! The slowest that a client may be (Apache: `RequestReadTimeout … MinRate`).
//!
//! Only the time that we wait for the client counts, never the time in which an
//! endpoint is slow or nothing is asked of the client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::transport::Transport;
use crate::snapshot::Pace;

/// Watches one direction of one message. A client may wait for as long as its
/// credit lasts; every byte earns it its share of a second, up to the grace.
#[derive(Debug)]
pub(super) struct Watch {
    pace: Pace,
    credit: Duration,
    waiting_since: Option<Instant>,
    /// Made at the first wait: most messages never do.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, credit: pace.grace, waiting_since: None, alarm: None }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.credit = self.credit.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_nanos(
            (bytes as u64)
                .saturating_mul(1_000_000_000)
                .checked_div(self.pace.min_rate)
                .unwrap_or(0),
        );
        self.credit = self.credit.saturating_add(earned).min(self.pace.grace);
    }

    /// The client has to do something before we can go on. Whether it took too
    /// long; wakes the task when it will have.
    pub(super) fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.pace.min_rate == 0 {
            return false;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let at = since + self.credit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        matches!(alarm.as_mut().poll(cx), Poll::Ready(()))
    }
}

/// Watches how a client takes what is sent to it.
///
/// The kernel takes more from us only when a good part of what it holds, 64 KiB
/// and more, has gone: a client that takes a few kilobytes a second would seem
/// to stand still. So before one is called late, what it has acknowledged counts.
#[derive(Debug)]
pub(super) struct Taking {
    watch: Watch,
    /// What was acknowledged when it was last looked at, in this wait.
    acknowledged: Option<u64>,
    /// Bytes that were counted when they were acknowledged, before the room that
    /// they left was written to again.
    counted: usize,
}

impl Taking {
    pub(super) fn new(pace: Pace) -> Self {
        Self { watch: Watch::new(pace), acknowledged: None, counted: 0 }
    }

    /// Nobody is ever late.
    pub(super) fn unwatched() -> Self {
        Self::new(Pace { min_rate: 0, grace: Duration::ZERO })
    }

    /// Bytes have been written.
    pub(super) fn moved(&mut self, bytes: usize) {
        let again = bytes.min(self.counted);
        self.counted -= again;
        self.acknowledged = None;
        self.watch.moved(bytes - again);
    }

    /// Nothing can be written. Whether the client took too long; wakes the task
    /// when it will have.
    pub(super) fn is_late(&mut self, cx: &mut Context<'_>, transport: &Transport) -> bool {
        if self.watch.pace.min_rate == 0 {
            return false;
        }
        if self.acknowledged.is_none() {
            self.acknowledged = transport.acknowledged();
        }
        if !self.watch.is_late(cx) {
            return false;
        }
        let (Some(before), Some(now)) = (self.acknowledged, transport.acknowledged()) else {
            return true;
        };
        self.acknowledged = Some(now);
        let Ok(taken @ 1..) = usize::try_from(now.saturating_sub(before)) else { return true };
        self.counted += taken;
        self.watch.moved(taken);
        self.watch.is_late(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, sleep};

    use super::*;

    const PACE: Pace = Pace { min_rate: 500, grace: Duration::from_secs(10) };

    /// Seconds until a client that sends `bytes` every `every` is late; gives up
    /// after an hour.
    async fn late_after(bytes: usize, every: Duration) -> Option<u64> {
        let mut watch = Watch::new(PACE);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3600) {
            let mut next = Box::pin(sleep(every));
            let late = poll_fn(|cx| {
                if watch.is_late(cx) {
                    return Poll::Ready(true);
                }
                next.as_mut().poll(cx).map(|()| false)
            })
            .await;
            if late {
                return Some(begun.elapsed().as_secs());
            }
            watch.moved(bytes);
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

    /// Asked once, now.
    async fn is_late(watch: &mut Watch) -> bool {
        poll_fn(|cx| Poll::Ready(watch.is_late(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_buys_no_more_than_the_grace() {
        let mut watch = Watch::new(PACE);
        watch.moved(1 << 30);
        assert!(!is_late(&mut watch).await);
        advance(Duration::from_secs(11)).await;
        assert!(is_late(&mut watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_is_free() {
        let mut watch = Watch::new(PACE);
        for _ in 0..100 {
            watch.moved(1);
            advance(Duration::from_secs(60)).await;
        }
        assert!(!is_late(&mut watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_is_late() {
        let mut watch = Watch::new(Pace { min_rate: 0, ..PACE });
        advance(Duration::from_secs(3600)).await;
        assert!(!is_late(&mut watch).await);
    }
}
