//! An upstream and its circuit breaker.

use std::time::Instant;

use super::{CircuitOpen, CircuitState, Probe, Upstream};

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
        self.breaker.is_some()
    }

    /// Takes in whether an endpoint served a request that was admitted.
    pub fn report(&self, probe: Option<Probe>, success: bool, now: Instant) {
        let Some(settings) = &self.breaker else { return };
        let begun = self.shared.breaker.report(probe, success, settings, now);
        self.log_circuit(begun);
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
