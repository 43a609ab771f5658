//! What becomes of attempts, and the circuit breaker of an upstream.

use std::time::{Duration, Instant};

use super::{CircuitOpen, CircuitState, Lease, Probe, Upstream};

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered as it should: after so long, if that says anything
    /// about the endpoint.
    Served(Option<Duration>),
    /// It did not.
    Failed,
}

impl Upstream {
    /// Whether a request may go to an endpoint: as a probe, where the circuit is
    /// half-open.
    pub fn admit(&self, now: Instant) -> Result<Option<Probe>, CircuitOpen> {
        let Some(settings) = &self.breaker else { return Ok(None) };
        let (admitted, begun) = self.shared.breaker.admit(settings, now);
        self.log_circuit(begun);
        admitted
    }

    /// Whether anybody asks what became of attempts.
    pub fn keeps_outcomes(&self) -> bool {
        self.breaker.is_some() || self.outlier.is_some()
    }

    /// Takes in what became of an attempt that was admitted.
    pub fn report(&self, lease: &Lease, probe: Option<Probe>, outcome: Outcome, now: Instant) {
        if self.outlier.is_some() {
            let tally = &lease.endpoint().tally;
            match outcome {
                Outcome::Served(after) => tally.served(after),
                Outcome::Failed => tally.failed(),
            }
        }
        let success = matches!(outcome, Outcome::Served(_));
        let Some(settings) = &self.breaker else { return };
        let begun = self.shared.breaker.report(probe, success, settings, now);
        self.log_circuit(begun);
    }

    /// An attempt that was reported as served broke off.
    pub fn report_broken(&self, lease: &Lease) {
        if self.outlier.is_some() {
            lease.endpoint().tally.broke_off();
        }
    }

    /// Whether requests pass, as of the last one.
    pub fn circuit(&self) -> CircuitState {
        match self.breaker {
            Some(_) => self.shared.breaker.state(),
            None => CircuitState::Closed,
        }
    }

    fn log_circuit(&self, begun: Option<CircuitState>) {
        let Some(settings) = &self.breaker else { return };
        match begun {
            None => {}
            Some(CircuitState::Open) => tracing::warn!(
                upstream = %self.name,
                open_for = ?settings.open_for,
                "circuit open: too many failed requests"
            ),
            Some(CircuitState::HalfOpen) => tracing::info!(
                upstream = %self.name,
                probes = settings.probes,
                "circuit half-open: a few requests try the upstream"
            ),
            Some(CircuitState::Closed) => {
                tracing::info!(upstream = %self.name, "circuit closed: the upstream works again");
            }
        }
    }
}
