//! Watches the pace of a client from inside a stream that an engine reads and
//! writes: [`Patience`] and [`Taking`], each with an alarm.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::transport::Transport;
use crate::engine::lane::ClientStream;
use crate::engine::{Patience, Taking};
use crate::snapshot::Pace;

/// Made at the first wait: most messages never do.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn rings(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        matches!(alarm.as_mut().poll(cx), Poll::Ready(()))
    }
}

/// Watches what a client sends.
#[derive(Debug)]
pub(super) struct WatchedReads {
    patience: Patience,
    alarm: Alarm,
}

impl WatchedReads {
    pub(super) fn new(pace: Pace) -> Self {
        Self { patience: Patience::new(pace), alarm: Alarm::default() }
    }

    /// Bytes have come.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.patience.moved(bytes);
    }

    /// Nothing has come. Whether the client took too long; wakes the task when it
    /// will have.
    pub(super) fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.patience.waits().is_some_and(|at| self.alarm.rings(at, cx))
    }
}

/// Watches how a client takes what is sent to it.
#[derive(Debug)]
pub(super) struct WatchedWrites {
    taking: Taking,
    alarm: Alarm,
}

impl WatchedWrites {
    pub(super) fn new(pace: Pace) -> Self {
        Self { taking: Taking::new(pace), alarm: Alarm::default() }
    }

    /// Nobody is ever late.
    pub(super) fn unwatched() -> Self {
        Self { taking: Taking::unwatched(), alarm: Alarm::default() }
    }

    /// Bytes have been written.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.taking.moved(bytes);
    }

    /// Nothing can be written. Whether the client took too long; wakes the task
    /// when it will have.
    pub(super) fn is_late(&mut self, cx: &mut Context<'_>, transport: &Transport) -> bool {
        let Some(mut at) = self.taking.waits(|| transport.acknowledged()) else { return false };
        while self.alarm.rings(at, cx) {
            match self.taking.late(|| transport.acknowledged()) {
                Ok(later) => at = later,
                Err(_) => return true,
            }
        }
        false
    }
}
