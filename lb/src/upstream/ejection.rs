//! Taking endpoints out for what real requests say about them.

use std::time::{Duration, Instant};

use super::outlier::{self, Reason, Sample};
use super::{Endpoint, EndpointState, Lease, Tier, Upstream};

/// How long before its time an interval may end: the books are looked at by the
/// second, never exactly.
const SLACK: Duration = Duration::from_millis(500);

impl Upstream {
    /// Takes in a failure of a real request on a leased endpoint: an active
    /// check follows at once, and enough failures take the endpoint out.
    pub fn record_failure(&self, lease: &Lease, now: Instant, reason: &str) {
        let state = lease.endpoint();
        state.count_failure();
        state.check_now.notify_one();
        let may_eject = || self.may_go(now) > 0;
        if state.health.record_failure(now, &self.passive, may_eject) {
            tracing::warn!(
                upstream = %self.name,
                endpoint = %state.label(),
                reason,
                out_for_seconds = self.passive.fail_timeout.as_secs(),
                "endpoint taken out: too many failed requests"
            );
        }
    }

    /// Looks at the books: outliers, when an interval is over, and ejections that
    /// have ended. Called once a second.
    pub fn keep_books(&self, now: Instant) {
        self.judge_outliers(now);
        for endpoint in &self.members().endpoints {
            let state = &endpoint.state;
            if state.health.take_end_of_ejection(now) {
                let (upstream, endpoint) = (&self.name, state.label());
                tracing::info!(%upstream, %endpoint, "endpoint is back: its ejection is over");
            }
        }
    }

    fn judge_outliers(&self, now: Instant) {
        let Some(settings) = &self.outlier else { return };
        if !self.shared.begin_interval(now, settings.interval.saturating_sub(SLACK)) {
            return;
        }
        let members = self.members();
        let samples: Vec<Sample> =
            members.endpoints.iter().map(|endpoint| endpoint.state.tally.take()).collect();
        let outliers = outlier::find(&samples, settings);
        // Somebody has to be left who can take requests.
        let mut room = self.may_go(now).min(self.available(now).saturating_sub(1));
        for (index, reason) in &outliers {
            let state = &members.endpoints[*index].state;
            if state.is_ejected(now) {
                // It had requests in flight.
                continue;
            }
            if room == 0 {
                tracing::debug!(upstream = %self.name, endpoint = %state.label(), "outlier stays in");
                continue;
            }
            room -= 1;
            self.eject(state, *reason, settings.eject_for, now);
        }
        for (index, sample) in samples.iter().enumerate() {
            let is_outlier = outliers.iter().any(|(outlier, _)| *outlier == index);
            if !is_outlier && sample.requests >= settings.min_requests {
                members.endpoints[index].state.health.forgive();
            }
        }
    }

    fn eject(&self, state: &EndpointState, reason: Reason, eject_for: Duration, now: Instant) {
        let out_for = state.health.eject(now, eject_for, reason);
        let (upstream, endpoint, out_for_seconds) = (&self.name, state.label(), out_for.as_secs());
        match reason {
            Reason::ErrorRate { errors, requests } => tracing::warn!(
                %upstream, %endpoint, errors, requests, out_for_seconds,
                "endpoint taken out: it fails more requests than it may"
            ),
            Reason::Latency { mean, median } => tracing::warn!(
                %upstream, %endpoint, ?mean, ?median, out_for_seconds,
                "endpoint taken out: it is slower than the others"
            ),
        }
    }

    /// How many more endpoints may be taken out.
    fn may_go(&self, now: Instant) -> usize {
        let members = self.members();
        // Those that leave are nobody to rely on.
        let stays = |endpoint: &&Endpoint| endpoint.rules.tier != Tier::Leaving;
        let staying = members.endpoints.iter().filter(stays).count();
        let ejected = members
            .endpoints
            .iter()
            .filter(stays)
            .filter(|endpoint| endpoint.state.is_ejected(now));
        let share = 100 - usize::from(self.passive.min_healthy_percent.min(100));
        // The only endpoint is never taken out, whatever the percentage.
        let most = (staying * share / 100).min(staying.saturating_sub(1));
        most.saturating_sub(ejected.count())
    }
}
