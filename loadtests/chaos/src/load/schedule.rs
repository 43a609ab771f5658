//! When requests are sent, and which: an open loop. Requests come at their times
//! whether or not earlier ones have been answered, and what one waited counts
//! from its time. A proxy that stalls is not spared the requests that would have
//! come meanwhile.

use std::time::Duration;

/// Over what a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Http1,
    Http1Plain,
    Http2,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Some bytes.
    Get,
    /// What a body is; not idempotent.
    Post,
    /// Something of which only a few a second are let through.
    Limited,
}

impl Ask {
    pub(crate) fn is_idempotent(self) -> bool {
        self != Self::Post
    }
}

/// Twenty requests, again and again: half of them HTTP/1.1 over TLS, two fifths
/// HTTP/2, a tenth in clear; three of twenty are POSTs.
const TURNS: [(Way, Ask); 20] = {
    use Ask::{Get, Post};
    use Way::{Http1, Http1Plain, Http2};
    [
        (Http1, Get),
        (Http2, Get),
        (Http1, Get),
        (Http2, Get),
        (Http1, Post),
        (Http2, Get),
        (Http1, Get),
        (Http1Plain, Get),
        (Http1, Get),
        (Http2, Post),
        (Http1, Get),
        (Http2, Get),
        (Http1, Get),
        (Http2, Get),
        (Http1, Get),
        (Http2, Get),
        (Http1, Get),
        (Http1Plain, Post),
        (Http2, Get),
        (Http1, Get),
    ]
};

/// The requests of a load, by number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    per_second: u32,
}

impl Schedule {
    /// At least one a second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1) }
    }

    /// When the `number`th request is due, after the first. Computed from the
    /// start each time: nothing adds up.
    pub(crate) fn due(self, number: u64) -> Duration {
        let per_second = u64::from(self.per_second);
        let nanoseconds = number % per_second * 1_000_000_000 / per_second;
        Duration::from_secs(number / per_second) + Duration::from_nanos(nanoseconds)
    }

    /// What the `number`th request is.
    pub(crate) fn turn(self, number: u64) -> (Way, Ask) {
        TURNS[(number % TURNS.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spread_and_never_drift() {
        let schedule = Schedule::new(300);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(150), Duration::from_millis(500));
        assert_eq!(schedule.due(300 * 3600), Duration::from_secs(3600));
        let gaps = (0..1000).map(|number| schedule.due(number + 1) - schedule.due(number));
        assert!(gaps.into_iter().all(|gap| (3_333_333..=3_333_334).contains(&gap.as_nanos())));
    }

    #[test]
    fn every_way_and_both_kinds_have_their_share() {
        let schedule = Schedule::new(1);
        let turns: Vec<_> = (0..100).map(|number| schedule.turn(number)).collect();
        let count = |wanted| turns.iter().filter(|(way, _)| *way == wanted).count();
        assert_eq!((count(Way::Http1), count(Way::Http2), count(Way::Http1Plain)), (50, 40, 10));
        let posts = turns.iter().filter(|(_, ask)| !ask.is_idempotent()).count();
        assert_eq!(posts, 15);
    }
}
