//! Health of an endpoint: what active checks found, what real requests found.
//!
//! The rules are pure (time is an argument) and small; who runs checks is
//! `checker`'s business, and what is done about a sick endpoint `lease`'s.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::check::Due;
use super::outlier::Reason;
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

/// Why real requests take an endpoint out, for the metrics: `max_fails`, and what an
/// outlier is.
pub(super) const EJECTION_REASONS: [&str; 3] = ["max_fails", "error_rate", "latency"];

/// An outlier is out for `eject_for` times two to the power of this at most.
const LONGEST_DOUBLING: u32 = 4;

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
    /// The same for having been unlike the others.
    outlier_until: AtomicU64,
    /// How often that was, less the intervals in which it was not.
    outlier_times: AtomicU32,
    /// An ejection has begun whose end nobody has noted.
    is_out: AtomicBool,
    /// How often it was taken out, by why.
    ejections: [AtomicU64; EJECTION_REASONS.len()],
    /// Milliseconds after `epoch` at which it came back, or will; 0 for an endpoint
    /// that was there from the beginning.
    back_at: AtomicU64,
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
            outlier_until: AtomicU64::new(0),
            outlier_times: AtomicU32::new(0),
            is_out: AtomicBool::new(false),
            ejections: Default::default(),
            back_at: AtomicU64::new(0),
            failures: Mutex::default(),
            epoch,
        }
    }

    /// The same as of another.
    pub(super) fn like(other: &Self) -> Self {
        let same = |time: &AtomicU64| AtomicU64::new(time.load(Ordering::Relaxed));
        Self {
            checked: AtomicU8::new(other.checked.load(Ordering::Relaxed)),
            streak: AtomicU8::new(0),
            ejected_until: same(&other.ejected_until),
            outlier_until: same(&other.outlier_until),
            outlier_times: AtomicU32::new(other.outlier_times.load(Ordering::Relaxed)),
            is_out: AtomicBool::new(other.is_out.load(Ordering::Relaxed)),
            ejections: Default::default(),
            back_at: same(&other.back_at),
            failures: Mutex::default(),
            epoch: other.epoch,
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        self.checked.store(UNKNOWN, Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
        self.ejected_until.store(0, Ordering::Relaxed);
        self.outlier_until.store(0, Ordering::Relaxed);
        self.outlier_times.store(0, Ordering::Relaxed);
        self.is_out.store(false, Ordering::Relaxed);
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
        let until = until.max(self.outlier_until.load(Ordering::Relaxed));
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
        due: Due,
        now: Instant,
        settings: &CheckSettings,
    ) -> Option<Transition> {
        // A check that a failure asked for would end the ejection that the failure
        // began, for as long as checks succeed and requests do not.
        if success && due == Due::BySchedule {
            self.readmit(now);
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
        // One that is new to a running process begins when its first check is over.
        let was_there = state == UNKNOWN && self.back_at.load(Ordering::Relaxed) == 0;
        if next == UP && !was_there {
            self.come_back(now);
        }
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
        let until = now + settings.fail_timeout;
        self.ejected_until.store(self.millis(until).max(1), Ordering::Relaxed);
        self.begin_ejection(until, 0);
        true
    }

    /// Takes it out for being unlike the others: twice as long each time, up to
    /// sixteen times as long. No check ends that: it is what the checks do not see.
    /// For how long.
    pub(super) fn eject(&self, now: Instant, base: Duration, reason: Reason) -> Duration {
        let times = self.outlier_times.fetch_add(1, Ordering::Relaxed);
        let out_for = base.saturating_mul(1 << times.min(LONGEST_DOUBLING));
        let until = now.checked_add(out_for).unwrap_or(now + base);
        self.outlier_until.store(self.millis(until).max(1), Ordering::Relaxed);
        self.begin_ejection(
            until,
            match reason {
                Reason::ErrorRate { .. } => 1,
                Reason::Latency { .. } => 2,
            },
        );
        out_for
    }

    /// An interval has passed in which it was like the others.
    pub(super) fn forgive(&self) {
        let less = |times: u32| times.min(LONGEST_DOUBLING + 1).checked_sub(1);
        // Err: there is nothing to forgive.
        let _ = self.outlier_times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn begin_ejection(&self, until: Instant, reason: usize) {
        self.ejections[reason].fetch_add(1, Ordering::Relaxed);
        self.is_out.store(true, Ordering::Relaxed);
        self.come_back(until);
    }

    /// Whether an ejection has ended; says so once.
    pub(super) fn take_end_of_ejection(&self, now: Instant) -> bool {
        self.is_out.load(Ordering::Relaxed)
            && !self.is_ejected(now)
            && self.is_out.swap(false, Ordering::Relaxed)
    }

    /// How often it was taken out so far, by why.
    pub(super) fn ejections(&self) -> [(&'static str, u64); EJECTION_REASONS.len()] {
        std::array::from_fn(|reason| {
            (EJECTION_REASONS[reason], self.ejections[reason].load(Ordering::Relaxed))
        })
    }

    /// Ends a passive ejection.
    fn readmit(&self, now: Instant) {
        let until = self.ejected_until.swap(0, Ordering::Relaxed);
        if until == 0 {
            return;
        }
        self.failures.lock().clear();
        let now = self.millis(now);
        if now < until {
            // Unless it is out as an outlier too.
            let at = self.outlier_until.load(Ordering::Relaxed).max(now).max(1);
            self.back_at.store(at, Ordering::Relaxed);
        }
    }

    /// It takes traffic again from then on, and slowly where that is configured.
    pub(super) fn come_back(&self, at: Instant) {
        self.back_at.fetch_max(self.millis(at).max(1), Ordering::Relaxed);
    }

    /// How long it has been back; `None` if it was never away.
    pub(super) fn up_for(&self, now: Instant) -> Option<Duration> {
        match self.back_at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_millis(self.millis(now).saturating_sub(at))),
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_millis() as u64
    }
}
