//! What DNS said of a name, and what follows from it. Pure.

use std::net::IpAddr;
use std::time::Duration;

/// As many addresses of one name become endpoints.
pub(super) const MOST_ADDRESSES: usize = 256;

/// However short the TTL, a name is not asked for more often.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// However long the TTL, a name is asked for again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The longest pause after failures; the first is the shortest of all.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// What DNS said of one kind of address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upstream) enum Records {
    /// These, for as long as the TTL.
    Found(Vec<IpAddr>, Duration),
    /// There are none; why.
    Missing(&'static str),
    /// It could not be learnt whether there are any; why.
    Failed(String),
}

/// What DNS said of both kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upstream) struct Answer {
    /// From A records.
    pub(super) v4: Records,
    /// From AAAA records.
    pub(super) v6: Records,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The addresses of the name, in order.
    pub(super) addresses: Vec<IpAddr>,
    /// How long they may be used; `None` when the answer has none.
    pub(super) ttl: Option<Duration>,
    /// What was wrong with the answer.
    pub(super) failure: Option<String>,
    /// What of the answer is not used, and why.
    pub(super) remark: Option<String>,
}

impl Answer {
    /// Neither kind could be learnt.
    pub(super) fn failed(reason: &str) -> Self {
        Self { v4: Records::Failed(reason.to_owned()), v6: Records::Failed(reason.to_owned()) }
    }

    /// The addresses after this answer, `known` before it. An answer without any is
    /// no reason to have none, and of a kind that could not be learnt the known
    /// ones stay.
    pub(super) fn apply(self, known: &[IpAddr]) -> Outcome {
        let (mut found, mut kept) = (Vec::new(), Vec::new());
        let (mut ttl, mut failure, mut missing) = (None, None, None);
        for (records, is_kind) in
            [(self.v4, IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (self.v6, IpAddr::is_ipv6)]
        {
            match records {
                Records::Found(addresses, valid) => {
                    found.extend(addresses.into_iter().map(|address| address.to_canonical()));
                    ttl = Some(ttl.map_or(valid, |other: Duration| other.min(valid)));
                }
                Records::Missing(reason) => missing = Some(reason),
                Records::Failed(reason) => {
                    failure = failure.or(Some(reason));
                    kept.extend(known.iter().copied().filter(is_kind));
                }
            }
        }
        let unusable: Vec<IpAddr> =
            found.iter().copied().filter(|address| !is_usable(*address)).collect();
        found.retain(|address| is_usable(*address));
        let mut remark = unusable.iter().min().map(|one| {
            format!("{} of its addresses cannot be used, among them {one}", unusable.len())
        });
        if found.is_empty() {
            let failure = failure.or_else(|| remark.take()).or_else(|| missing.map(str::to_owned));
            let failure = failure.or_else(|| Some("the answer has no address".to_owned()));
            return Outcome { addresses: known.to_vec(), ttl: None, failure, remark: None };
        }
        found.append(&mut kept);
        // Whatever order they come in, the endpoints are the same.
        found.sort_unstable();
        found.dedup();
        if found.len() > MOST_ADDRESSES {
            remark = Some(format!("only {MOST_ADDRESSES} of {} addresses are used", found.len()));
            found.truncate(MOST_ADDRESSES);
        }
        Outcome { addresses: found, ttl, failure, remark }
    }
}

impl Outcome {
    /// When to ask again; `failures` in a row, this one included.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let backoff = (failures > 0).then(|| {
            let doubled = SHORTEST_PAUSE * (1 << (failures - 1).min(5));
            doubled.min(LONGEST_BACKOFF)
        });
        let ttl = self.ttl.map(|ttl| ttl.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        match (ttl, backoff) {
            (Some(ttl), Some(backoff)) => ttl.min(backoff),
            (Some(pause), None) | (None, Some(pause)) => pause,
            (None, None) => SHORTEST_PAUSE,
        }
    }
}

/// Whether one can connect to an address. 0.0.0.0 would be this machine: what some
/// filters answer for names that they block.
fn is_usable(address: IpAddr) -> bool {
    let is_unusable = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        // Of which link, an answer does not say.
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_unusable || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn found(text: &str, seconds: u64) -> Records {
        Records::Found(addresses(text), Duration::from_secs(seconds))
    }

    fn missing() -> Records {
        Records::Missing("it has no address")
    }

    fn failed() -> Records {
        Records::Failed("the servers fail".to_owned())
    }

    fn after(v4: Records, v6: Records, known: &str) -> Outcome {
        Answer { v4, v6 }.apply(&addresses(known))
    }

    #[test]
    fn both_kinds_in_order_and_the_shorter_ttl() {
        let outcome = after(found("10.0.0.2 10.0.0.1", 10), found("fd00::1", 60), "10.9.9.9");
        assert_eq!(outcome.addresses, addresses("10.0.0.1 10.0.0.2 fd00::1"));
        assert_eq!((outcome.ttl, &outcome.failure, &outcome.remark), (Some(TEN), &None, &None));
        assert_eq!(outcome.pause(0), TEN);
    }

    #[test]
    fn one_kind_may_be_missing() {
        let outcome = after(found("10.0.0.1", 10), missing(), "10.0.0.1 fd00::1");
        assert_eq!((outcome.addresses, outcome.failure), (addresses("10.0.0.1"), None));
        let outcome = after(missing(), found("fd00::1", 10), "10.0.0.1");
        assert_eq!((outcome.addresses, outcome.failure), (addresses("fd00::1"), None));
    }

    #[test]
    fn no_address_at_all_changes_nothing() {
        for (v4, v6) in [
            (missing(), missing()),
            (failed(), failed()),
            (missing(), failed()),
            (found("0.0.0.0", 10), found(":: ff02::1 fe80::1", 10)),
            (found("255.255.255.255 224.0.0.1", 10), failed()),
            (found("", 10), missing()),
        ] {
            let outcome = after(v4, v6, "10.0.0.1 fd00::1");
            assert_eq!(outcome.addresses, addresses("10.0.0.1 fd00::1"));
            assert!(outcome.failure.is_some() && outcome.ttl.is_none(), "{outcome:?}");
        }
    }

    #[test]
    fn of_a_kind_that_fails_the_known_ones_stay() {
        let outcome = after(found("10.0.0.2", 10), failed(), "10.0.0.1 fd00::1");
        assert_eq!(outcome.addresses, addresses("10.0.0.2 fd00::1"));
        assert_eq!(outcome.failure.as_deref(), Some("the servers fail"));
        assert_eq!(outcome.pause(1), Duration::from_secs(1), "asked again as after any failure");
        assert_eq!(outcome.pause(9), TEN, "and not later than the others expire");
    }

    #[test]
    fn addresses_that_nobody_has_are_left_out() {
        let outcome = after(found("0.0.0.0 10.0.0.1", 10), found("::ffff:10.0.0.1", 10), "");
        assert_eq!(outcome.addresses, addresses("10.0.0.1"), "mapped ones are the same");
        assert!(outcome.remark.unwrap().contains("0.0.0.0"));
        assert_eq!(outcome.failure, None);
    }

    #[test]
    fn there_is_a_most() {
        let many = (0..1000u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        let outcome = after(Records::Found(many.rev().collect(), TEN), missing(), "");
        assert_eq!(outcome.addresses.len(), MOST_ADDRESSES);
        assert_eq!(outcome.addresses[0], addresses("10.0.0.0")[0], "the same ones each time");
        assert_eq!(outcome.remark.unwrap(), "only 256 of 1000 addresses are used");
    }

    #[test]
    fn a_ttl_is_not_taken_to_extremes() {
        for (ttl, pause) in [(0, 1), (1, 1), (30, 30), (300, 300), (86_400, 300)] {
            let outcome = after(found("10.0.0.1", ttl), missing(), "");
            assert_eq!(outcome.pause(0), Duration::from_secs(pause), "{ttl}");
        }
    }

    #[test]
    fn failures_are_asked_about_less_and_less_often() {
        let outcome = after(failed(), failed(), "");
        let pauses: Vec<u64> = (1..9).map(|n| outcome.pause(n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(outcome.pause(u32::MAX), LONGEST_BACKOFF);
    }
}
