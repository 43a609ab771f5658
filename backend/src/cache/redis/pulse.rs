//! Whether the cluster is there.
//!
//! A key of our own is written and read in each third of the slots, which with three
//! masters means: at each of them. The cluster is up while most thirds answer, as long as
//! the others were heard of within [`GRACE`]: a master that hangs is replaced in less, and
//! until then two thirds of the cache are better than none. A part that stays silent for
//! longer will not be mended by itself, and is reported as down.

use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::RedisError;
use redis::cluster_async::ClusterConnection;
use tokio::time::{Instant, timeout};

use super::circuit::{SLOTS, slot};
use super::{OPERATION_TIMEOUT, PREFIX, Unavailable};

/// Longer than the cluster takes to replace a master: its node timeout (5 s in
/// `config/redis`), the election, and our noticing of it.
const GRACE: Duration = Duration::from_secs(15);

/// Thirds of the slots.
const THIRDS: usize = 3;

/// How long our keys stay.
const TIME_TO_LIVE_MS: u64 = 10_000;

/// What is asked, and who answered.
#[derive(Debug)]
pub(super) struct Pulse {
    keys: [String; THIRDS],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When each third answered last.
    last_felt: [Instant; THIRDS],
    /// Whether all did the last time.
    is_even: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        // Of this process alone: others write other values at the same time.
        let process = fastrand::u64(..);
        let keys = std::array::from_fn(|third| key_in(third, process));
        let state = State { last_felt: [Instant::now(); THIRDS], is_even: true };
        Self { keys, state: Mutex::new(state) }
    }

    /// Writes and reads a key in each third.
    pub(super) async fn feel(&self, connection: &ClusterConnection) -> Result<(), Unavailable> {
        let value = fastrand::u64(..);
        let trips = self.keys.iter().map(|key| {
            let mut connection = connection.clone();
            async move {
                let trip = round_trip(&mut connection, key, value);
                matches!(timeout(OPERATION_TIMEOUT, trip).await, Ok(Ok(true)))
            }
        });
        let answers = join_all(trips).await;
        self.judge(&answers, Instant::now())
    }

    /// Whether all thirds answered when they were last asked.
    pub(super) fn is_even(&self) -> bool {
        self.state.lock().is_even
    }

    fn judge(&self, answers: &[bool], now: Instant) -> Result<(), Unavailable> {
        let mut state = self.state.lock();
        for (last, _) in state.last_felt.iter_mut().zip(answers).filter(|(_, is_there)| **is_there)
        {
            *last = now;
        }
        let there = answers.iter().filter(|is_there| **is_there).count();
        state.is_even = there == THIRDS;
        if there * 2 < THIRDS {
            return Err(Unavailable::MostlyDown);
        }
        if state.last_felt.iter().any(|last| now.duration_since(*last) > GRACE) {
            return Err(Unavailable::PartlyDown);
        }
        Ok(())
    }
}

/// Whether what is read is what was written.
async fn round_trip(
    connection: &mut ClusterConnection,
    key: &str,
    value: u64,
) -> Result<bool, RedisError> {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(value).arg("PX").arg(TIME_TO_LIVE_MS);
    set.query_async::<()>(connection).await?;
    let read: Option<u64> = redis::cmd("GET").arg(key).query_async(connection).await?;
    // Another call of this process may have written meanwhile.
    Ok(read.is_some())
}

/// A key whose slot is in that third.
fn key_in(third: usize, process: u64) -> String {
    let width = SLOTS.div_ceil(THIRDS as u16);
    let mut number = 0_u64;
    loop {
        let key = format!("{PREFIX}pulse:{process:016x}:{number}");
        if usize::from(slot(key.as_bytes()) / width) == third {
            return key;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_has_its_key() {
        let slots = Pulse::new().keys.map(|key| slot(key.as_bytes()));
        assert!(slots[0] < 5_462 && (5_462..10_924).contains(&slots[1]) && slots[2] >= 10_924);
    }

    #[test]
    fn a_silent_third_is_down_only_after_a_while() {
        let pulse = Pulse::new();
        let start = Instant::now();
        assert!(pulse.judge(&[true; 3], start).is_ok());
        assert!(pulse.is_even());

        let one_silent = [true, false, true];
        assert!(pulse.judge(&one_silent, start + GRACE).is_ok());
        assert!(!pulse.is_even());
        let later = start + GRACE + Duration::from_millis(1);
        assert!(matches!(pulse.judge(&one_silent, later), Err(Unavailable::PartlyDown)));
        assert!(pulse.judge(&[true; 3], later).is_ok());

        assert!(matches!(pulse.judge(&[true, false, false], later), Err(Unavailable::MostlyDown)));
    }
}
