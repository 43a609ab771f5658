//! The circuit breaker: an upstream that fails most requests is left alone for a
//! while, and then tried with a few.
//!
//! Closed, everything passes and outcomes are counted in a sliding window. Open,
//! nothing passes until its time is over. Half-open, so many probes pass: when all
//! of them succeed it closes, when one fails it opens again. Pure: the clock is an
//! argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::window::{OutcomeWindow, STEPS};
use crate::values::Percent;

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The share of failures that opens it.
    pub error_rate: Percent,
    /// Out of so many outcomes at least.
    pub min_requests: u32,
    /// How long outcomes count.
    pub window: Duration,
    /// How long it stays open.
    pub open_for: Duration,
    /// How many requests try whether it can close.
    pub probes: u32,
}

/// Whether requests pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CircuitState {
    /// They do.
    Closed = 0,
    /// A few do.
    HalfOpen = 1,
    /// None does.
    Open = 2,
}

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    /// What the mutex holds, so that a closed circuit costs a load.
    state: AtomicU8,
    circuit: Mutex<Circuit>,
    window: OutcomeWindow,
    opened: AtomicU64,
    epoch: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    Closed,
    Open { until: Instant },
    HalfOpen { in_flight: u32, succeeded: u32 },
}

/// The right of one request to try an upstream whose circuit is half-open. Given
/// back by `Drop` when nothing became of it.
#[derive(Debug)]
pub struct Probe {
    breaker: Arc<Breaker>,
    /// How often the circuit had opened before: what is left of an earlier time
    /// says nothing about this one. `None`: it has succeeded.
    opened: Option<u64>,
}

/// The circuit is open, and will be for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitOpen(pub Duration);

impl Breaker {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            state: AtomicU8::new(CircuitState::Closed as u8),
            circuit: Mutex::new(Circuit::Closed),
            window: OutcomeWindow::default(),
            opened: AtomicU64::new(0),
            epoch,
        }
    }

    /// Whether requests pass, as of the last one.
    pub fn state(&self) -> CircuitState {
        match self.state.load(Ordering::Relaxed) {
            0 => CircuitState::Closed,
            1 => CircuitState::HalfOpen,
            _ => CircuitState::Open,
        }
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether a request passes: as a probe, where the circuit is half-open. With
    /// it the state that has just begun.
    pub(super) fn admit(
        self: &Arc<Self>,
        settings: &BreakerSettings,
        now: Instant,
    ) -> (Result<Option<Probe>, CircuitOpen>, Option<CircuitState>) {
        if self.state() == CircuitState::Closed {
            return (Ok(None), None);
        }
        let mut circuit = self.circuit.lock();
        let mut begun = None;
        if let Circuit::Open { until } = *circuit {
            if now < until {
                return (Err(CircuitOpen(until - now)), None);
            }
            self.enter(&mut circuit, Circuit::HalfOpen { in_flight: 0, succeeded: 0 });
            begun = Some(CircuitState::HalfOpen);
        }
        let Circuit::HalfOpen { in_flight, succeeded } = &mut *circuit else {
            return (Ok(None), begun);
        };
        if *succeeded >= settings.probes {
            // They are fewer than they were: it is as good as if the last had just come.
            self.window.clear();
            self.enter(&mut circuit, Circuit::Closed);
            return (Ok(None), Some(CircuitState::Closed));
        }
        if *in_flight + *succeeded >= settings.probes {
            return (Err(CircuitOpen(Duration::ZERO)), begun);
        }
        *in_flight += 1;
        let opened = Some(self.opened());
        (Ok(Some(Probe { breaker: Arc::clone(self), opened })), begun)
    }

    /// Takes in what became of a request that had passed. The state that has just
    /// begun.
    pub(super) fn report(
        &self,
        probe: Option<Probe>,
        success: bool,
        settings: &BreakerSettings,
        now: Instant,
    ) -> Option<CircuitState> {
        let Some(mut probe) = probe else { return self.count(success, settings, now) };
        let mut circuit = self.circuit.lock();
        if !probe.is_current(self) {
            return None;
        }
        let Circuit::HalfOpen { in_flight, succeeded } = &mut *circuit else { return None };
        if !success {
            self.open(&mut circuit, settings, now);
            return Some(CircuitState::Open);
        }
        *in_flight = in_flight.saturating_sub(1);
        *succeeded += 1;
        let begun = (*succeeded >= settings.probes).then(|| {
            // What had opened it must not open it again.
            self.window.clear();
            self.enter(&mut circuit, Circuit::Closed);
            CircuitState::Closed
        });
        drop(circuit);
        // Its place was given back just now.
        probe.opened = None;
        begun
    }

    fn count(
        &self,
        success: bool,
        settings: &BreakerSettings,
        now: Instant,
    ) -> Option<CircuitState> {
        if self.state() != CircuitState::Closed {
            // It had passed before the circuit opened.
            return None;
        }
        let step = self.step(settings, now);
        self.window.record(step, !success);
        if success || !self.is_too_much(step, settings) {
            return None;
        }
        let mut circuit = self.circuit.lock();
        if !matches!(*circuit, Circuit::Closed) || !self.is_too_much(step, settings) {
            return None;
        }
        self.open(&mut circuit, settings, now);
        Some(CircuitState::Open)
    }

    fn step(&self, settings: &BreakerSettings, now: Instant) -> u64 {
        let step = (settings.window / STEPS).as_micros().max(1);
        let since = now.saturating_duration_since(self.epoch).as_micros();
        (since / step) as u64
    }

    fn is_too_much(&self, step: u64, settings: &BreakerSettings) -> bool {
        let outcomes = self.window.outcomes(step);
        outcomes.total >= u64::from(settings.min_requests)
            && settings.error_rate.is_reached(outcomes.failures, outcomes.total)
    }

    fn open(&self, circuit: &mut Circuit, settings: &BreakerSettings, now: Instant) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.enter(circuit, Circuit::Open { until: now + settings.open_for });
    }

    fn enter(&self, circuit: &mut Circuit, next: Circuit) {
        let state = match next {
            Circuit::Closed => CircuitState::Closed,
            Circuit::Open { .. } => CircuitState::Open,
            Circuit::HalfOpen { .. } => CircuitState::HalfOpen,
        };
        *circuit = next;
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

impl Probe {
    /// Whether it is a probe of the half-open circuit that there is now.
    fn is_current(&self, breaker: &Breaker) -> bool {
        self.opened == Some(breaker.opened())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.opened.is_none() {
            return;
        }
        let mut circuit = self.breaker.circuit.lock();
        if self.is_current(&self.breaker)
            && let Circuit::HalfOpen { in_flight, .. } = &mut *circuit
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        error_rate: Percent::HALF,
        min_requests: 4,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(5),
        probes: 2,
    };

    struct Scene {
        breaker: Arc<Breaker>,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let start = Instant::now();
            Self { breaker: Arc::new(Breaker::new(start)), start }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn admit(&self, seconds: f64) -> Result<Option<Probe>, CircuitOpen> {
            self.breaker.admit(&SETTINGS, self.at(seconds)).0
        }

        fn report(
            &self,
            probe: Option<Probe>,
            success: bool,
            seconds: f64,
        ) -> Option<CircuitState> {
            self.breaker.report(probe, success, &SETTINGS, self.at(seconds))
        }

        /// Opened at the start.
        fn open() -> Self {
            let scene = Self::new();
            for _ in 0..3 {
                assert_eq!(scene.report(None, false, 0.0), None);
            }
            assert_eq!(scene.report(None, false, 0.0), Some(CircuitState::Open));
            scene
        }
    }

    #[test]
    fn it_opens_at_the_share_and_not_before_there_were_enough() {
        let scene = Scene::new();
        for success in [false, false, true, true, true] {
            assert_eq!(scene.report(None, success, 0.0), None, "three of four at most");
        }
        assert_eq!(scene.report(None, false, 1.0), Some(CircuitState::Open), "three of six");
        assert_eq!(scene.breaker.state(), CircuitState::Open);
        assert_eq!(scene.breaker.opened(), 1);
        let error = scene.admit(2.0).unwrap_err();
        assert_eq!(error, CircuitOpen(Duration::from_secs(4)));
        assert_eq!(scene.report(None, false, 2.0), None, "what had passed before says no more");
    }

    #[test]
    fn old_failures_do_not_open_it() {
        let scene = Scene::new();
        for second in 0..40 {
            let at = f64::from(second) * 4.0;
            assert_eq!(scene.report(None, false, at), None, "three in any ten seconds");
        }
    }

    #[test]
    fn it_closes_when_fewer_probes_are_asked_for_than_have_succeeded() {
        let scene = Scene::open();
        let first = scene.admit(5.0).unwrap();
        assert_eq!(scene.report(first, true, 5.0), None);
        let fewer = BreakerSettings { probes: 1, ..SETTINGS };
        let (admitted, begun) = scene.breaker.admit(&fewer, scene.at(6.0));
        assert!(admitted.unwrap().is_none());
        assert_eq!(begun, Some(CircuitState::Closed));
    }

    #[test]
    fn it_closes_when_all_probes_succeed() {
        let scene = Scene::open();
        let (first, begun) = scene.breaker.admit(&SETTINGS, scene.at(5.0));
        assert_eq!(begun, Some(CircuitState::HalfOpen));
        let (first, second) = (first.unwrap(), scene.admit(5.0).unwrap());
        assert!(first.is_some() && second.is_some());
        assert_eq!(scene.admit(5.0).unwrap_err(), CircuitOpen(Duration::ZERO), "two at once");
        assert_eq!(scene.report(first, true, 6.0), None);
        assert!(scene.admit(6.0).is_err(), "two in all");
        assert_eq!(scene.report(second, true, 6.0), Some(CircuitState::Closed));
        assert!(scene.admit(6.0).unwrap().is_none());
        assert_eq!(scene.report(None, false, 6.0), None, "what was before is forgotten");
    }

    #[test]
    fn one_failed_probe_opens_it_again() {
        let scene = Scene::open();
        let (first, second) = (scene.admit(5.0).unwrap(), scene.admit(5.0).unwrap());
        assert_eq!(scene.report(first, false, 6.0), Some(CircuitState::Open));
        assert_eq!(scene.breaker.opened(), 2);
        assert_eq!(scene.admit(10.0).unwrap_err(), CircuitOpen(Duration::from_secs(1)));
        let again = scene.admit(11.0).unwrap();
        assert_eq!(scene.report(second, false, 11.0), None, "it belongs to an earlier time");
        assert_eq!(scene.report(again, true, 11.0), None);
        assert_eq!(scene.breaker.state(), CircuitState::HalfOpen);
    }

    #[test]
    fn a_probe_that_came_to_nothing_makes_room_for_another() {
        let scene = Scene::open();
        let (first, second) = (scene.admit(5.0).unwrap(), scene.admit(5.0).unwrap());
        drop(first);
        let third = scene.admit(5.0).unwrap();
        assert!(scene.admit(5.0).is_err());
        assert_eq!(scene.report(second, true, 5.0), None);
        assert_eq!(scene.report(third, true, 5.0), Some(CircuitState::Closed));
    }

    #[test]
    fn a_rate_of_all_takes_one_success_to_stay_closed() {
        let settings = BreakerSettings { error_rate: "100%".parse().unwrap(), ..SETTINGS };
        let scene = Scene::new();
        scene.breaker.report(None, true, &settings, scene.start);
        for _ in 0..100 {
            assert_eq!(scene.breaker.report(None, false, &settings, scene.start), None);
        }
    }
}
