//! Health of an endpoint: what active checks found, what real requests found.
//!
//! The rules are pure (time is an argument) and small; who runs checks is
//! `checker`'s business, and what is done about a sick endpoint `lease`'s.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::values::StatusRange;

/// How an upstream's endpoints are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// What a check does.
    pub kind: CheckKind,
    /// Between checks of a healthy endpoint.
    pub interval: Duration,
    /// Between checks of one that fails.
    pub failing_interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Failures in a row that take an endpoint out.
    pub unhealthy_after: u8,
    /// Successes in a row that bring it back.
    pub healthy_after: u8,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Connects, nothing more.
    Tcp,
    /// Sends a request and looks at the response.
    Http(HttpCheck),
}

/// The request of a check and what its response must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// The Host to send; the endpoint's address if `None`.
    pub host: Option<String>,
    /// Statuses that count as success.
    pub statuses: Vec<StatusRange>,
    /// What the first 64 KiB of the body must contain.
    pub body: Option<String>,
}

/// When failures of real requests take an endpoint out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassiveSettings {
    /// So many failures; 0 turns it off.
    pub max_fails: u32,
    /// Within so long, and out for so long.
    pub fail_timeout: Duration,
    /// The share of endpoints that are always left in, 0 to 100.
    pub min_healthy_percent: u8,
}

/// A change of an endpoint's health, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Active checks let it take traffic.
    Up,
    /// Active checks took it out.
    Down,
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// What is known of an endpoint's health.
#[derive(Debug)]
pub(super) struct Health {
    /// `UNKNOWN` before the first check: no traffic before the first success.
    checked: AtomicU8,
    /// Results in a row that speak against the current state.
    streak: AtomicU8,
    /// Milliseconds after `epoch` until which the endpoint is out; 0 for in.
    ejected_until: AtomicU64,
    /// Times of the latest failures of real requests.
    failures: Mutex<VecDeque<Instant>>,
    epoch: Instant,
}

impl Health {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            checked: AtomicU8::new(UNKNOWN),
            streak: AtomicU8::new(0),
            ejected_until: AtomicU64::new(0),
            failures: Mutex::default(),
            epoch,
        }
    }

    /// The same as of another.
    pub(super) fn like(other: &Self) -> Self {
        Self {
            checked: AtomicU8::new(other.checked.load(Ordering::Relaxed)),
            streak: AtomicU8::new(0),
            ejected_until: AtomicU64::new(other.ejected_until.load(Ordering::Relaxed)),
            failures: Mutex::default(),
            epoch: other.epoch,
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        self.checked.store(UNKNOWN, Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
        self.ejected_until.store(0, Ordering::Relaxed);
        self.failures.lock().clear();
    }

    /// Takes it for healthy until a check says otherwise.
    pub(super) fn assume_healthy(&self) {
        self.checked.store(UP, Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
    }

    /// Whether there was a check.
    pub(super) fn is_checked(&self) -> bool {
        self.checked.load(Ordering::Relaxed) != UNKNOWN
    }

    pub(super) fn is_checked_healthy(&self) -> bool {
        self.checked.load(Ordering::Relaxed) == UP
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until > 0 && self.millis(now) < until
    }

    /// Whether the last active checks failed, even if not often enough yet.
    pub(super) fn is_failing(&self) -> bool {
        match self.checked.load(Ordering::Relaxed) {
            UP => self.streak.load(Ordering::Relaxed) > 0,
            _ => true,
        }
    }

    /// Takes in the result of an active check. Only the endpoint's one checker
    /// calls this.
    pub(super) fn record_check(
        &self,
        success: bool,
        settings: &CheckSettings,
    ) -> Option<Transition> {
        if success {
            self.readmit();
        }
        let state = self.checked.load(Ordering::Relaxed);
        let (speaks_against, needed, next, transition) = match state {
            UP => (!success, settings.unhealthy_after, DOWN, Transition::Down),
            DOWN => (success, settings.healthy_after, UP, Transition::Up),
            // The first result decides at once.
            _ if success => (true, 1, UP, Transition::Up),
            _ => (true, 1, DOWN, Transition::Down),
        };
        if !speaks_against {
            self.streak.store(0, Ordering::Relaxed);
            return None;
        }
        let streak = self.streak.load(Ordering::Relaxed).saturating_add(1);
        if streak < needed {
            self.streak.store(streak, Ordering::Relaxed);
            return None;
        }
        self.streak.store(0, Ordering::Relaxed);
        self.checked.store(next, Ordering::Relaxed);
        Some(transition)
    }

    /// Takes in a failure of a real request. `may_eject` is asked when there
    /// were enough of them. Returns whether the endpoint was taken out just now.
    pub(super) fn record_failure(
        &self,
        now: Instant,
        settings: &PassiveSettings,
        may_eject: impl FnOnce() -> bool,
    ) -> bool {
        if settings.max_fails == 0 {
            return false;
        }
        let mut failures = self.failures.lock();
        failures.push_back(now);
        while failures
            .front()
            .is_some_and(|first| now.duration_since(*first) > settings.fail_timeout)
            || failures.len() > settings.max_fails as usize
        {
            failures.pop_front();
        }
        if failures.len() < settings.max_fails as usize || self.is_ejected(now) || !may_eject() {
            return false;
        }
        failures.clear();
        self.ejected_until
            .store(self.millis(now + settings.fail_timeout).max(1), Ordering::Relaxed);
        true
    }

    /// Ends a passive ejection.
    fn readmit(&self) {
        if self.ejected_until.swap(0, Ordering::Relaxed) > 0 {
            self.failures.lock().clear();
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unhealthy_after: u8, healthy_after: u8) -> CheckSettings {
        CheckSettings {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(10),
            failing_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            unhealthy_after,
            healthy_after,
        }
    }

    const PASSIVE: PassiveSettings = PassiveSettings {
        max_fails: 3,
        fail_timeout: Duration::from_secs(30),
        min_healthy_percent: 50,
    };

    #[test]
    fn no_traffic_before_the_first_success() {
        let health = Health::new(Instant::now());
        assert!(!health.is_checked_healthy());
        assert_eq!(health.record_check(false, &check(3, 1)), Some(Transition::Down));
        assert_eq!(health.record_check(true, &check(3, 1)), Some(Transition::Up));
        assert!(health.is_checked_healthy());
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        let settings = check(3, 2);
        let health = Health::new(Instant::now());
        health.record_check(true, &settings);
        for result in [false, false, true, false, false] {
            assert_eq!(health.record_check(result, &settings), None);
            assert!(health.is_checked_healthy());
        }
        assert!(health.is_failing());
        assert_eq!(health.record_check(false, &settings), Some(Transition::Down));
        assert_eq!(health.record_check(true, &settings), None);
        assert_eq!(health.record_check(true, &settings), Some(Transition::Up));
        assert!(!health.is_failing());
    }

    #[test]
    fn three_failures_within_the_time_take_out_for_that_time() {
        let start = Instant::now();
        let health = Health::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!health.record_failure(at(0), &PASSIVE, || true));
        assert!(!health.record_failure(at(31), &PASSIVE, || true));
        assert!(!health.record_failure(at(32), &PASSIVE, || true), "the first one is too old");
        assert!(health.record_failure(at(33), &PASSIVE, || true));
        assert!(health.is_ejected(at(62)));
        assert!(!health.is_ejected(at(63)));
        assert!(!health.record_failure(at(64), &PASSIVE, || true), "it starts afresh");
    }

    #[test]
    fn an_active_success_brings_it_back_early() {
        let start = Instant::now();
        let health = Health::new(start);
        for _ in 0..3 {
            health.record_failure(start, &PASSIVE, || true);
        }
        assert!(health.is_ejected(start));
        health.record_check(true, &check(3, 1));
        assert!(!health.is_ejected(start));
    }

    #[test]
    fn zero_turns_it_off_and_a_veto_keeps_it_in() {
        let start = Instant::now();
        let health = Health::new(start);
        let off = PassiveSettings { max_fails: 0, ..PASSIVE };
        for _ in 0..10 {
            assert!(!health.record_failure(start, &off, || true));
            assert!(!health.record_failure(start, &PASSIVE, || false));
        }
        assert!(!health.is_ejected(start));
        assert!(
            health.record_failure(start, &PASSIVE, || true),
            "once the veto falls, the next failure counts"
        );
    }
}
