//! Not asking again and again whoever does not answer.
//!
//! Keys are divided into [`PARTS`] by their slots. A master has a few ranges of slots, so
//! that a part belongs to one master, or to two: the keys of a master that hangs fail at
//! once, and those of the others are asked for as before. That needs no knowledge of who
//! has which slots, and stays true when they move. It also bounds what is queued for a node
//! that hangs.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Slots of a Redis Cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Divisions of the slots.
const PARTS: u16 = 16;

/// Failures in a row after which a part rests.
const FAILURES: u32 = 3;

/// How long it rests. Then one operation at a time tries.
const REST: Duration = Duration::from_secs(1);

/// The circuits of all parts.
#[derive(Debug)]
pub(super) struct Circuits([Mutex<State>; PARTS as usize]);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// `Some` from too many failures to the next success.
    resting_until: Option<Instant>,
    /// Whether an operation is finding out if the rest can end.
    is_tried: bool,
}

impl Circuits {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Lets an operation on a key of this slot through; `None` while its part rests.
    pub(super) fn enter(&self, slot: u16) -> Option<Passage<'_>> {
        let part = &self.0[usize::from(slot % SLOTS / (SLOTS / PARTS))];
        let mut state = part.lock();
        let is_trial = match state.resting_until {
            None => false,
            Some(until) if state.is_tried || Instant::now() < until => return None,
            Some(_) => {
                state.is_tried = true;
                true
            }
        };
        Some(Passage { part, is_trial })
    }

    /// Whether any part rests, or did a moment ago and has not been tried since. One that
    /// nobody asks for is forgotten.
    pub(super) fn is_any_open(&self) -> bool {
        let now = Instant::now();
        self.0.iter().any(|part| part.lock().resting_until.is_some_and(|until| now < until + REST))
    }
}

/// An operation that was let through. Dropped without a word it says nothing about the part.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    part: &'a Mutex<State>,
    is_trial: bool,
}

impl Passage<'_> {
    /// An answer came.
    pub(super) fn succeeded(self) {
        let mut state = self.part.lock();
        state.failures = 0;
        state.resting_until = None;
    }

    /// None came; whether the part rests from now on.
    pub(super) fn failed(self) -> bool {
        let mut state = self.part.lock();
        state.failures = state.failures.saturating_add(1);
        let rests = state.failures >= FAILURES;
        if rests {
            state.resting_until = Some(Instant::now() + REST);
        }
        rests
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.part.lock().is_tried = false;
        }
    }
}

/// The slot of a key: CRC-16/XMODEM, modulo the number of slots. Our keys have no hash tags.
pub(super) fn slot(key: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    let crc = key.iter().fold(0_u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"bar"), 5_061);
    }

    fn fail(circuits: &Circuits, slot: u16) -> bool {
        circuits.enter(slot).unwrap().failed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_rests_after_failures_in_a_row_and_the_others_do_not() {
        let circuits = Circuits::new();
        assert!(!fail(&circuits, 0));
        assert!(!fail(&circuits, 0));
        circuits.enter(0).unwrap().succeeded();
        assert!(!fail(&circuits, 0));
        assert!(!fail(&circuits, 1));
        assert!(fail(&circuits, 1023));

        assert!(circuits.enter(0).is_none());
        assert!(circuits.enter(1024).is_some());
        assert!(circuits.is_any_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_tries_whether_the_rest_is_over() {
        let circuits = Circuits::new();
        while !fail(&circuits, 0) {}
        tokio::time::advance(REST).await;

        let trial = circuits.enter(0).unwrap();
        assert!(circuits.enter(0).is_none());
        // Cancelled: the next one tries.
        drop(trial);
        assert!(circuits.enter(0).unwrap().failed());
        assert!(circuits.enter(0).is_none());

        tokio::time::advance(REST).await;
        circuits.enter(0).unwrap().succeeded();
        assert!(circuits.enter(0).is_some() && circuits.enter(0).is_some());
        assert!(!circuits.is_any_open());
    }
}
