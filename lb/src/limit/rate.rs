//! Token buckets.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter as Governor};

use super::store::BoundedStore;
use crate::policy::Key;
use crate::values::Rate;

/// A token bucket per key: `rate` tokens come back, a rested key has one token
/// and `burst` more (nginx: `limit_req zone=… burst=… nodelay`).
pub struct RateLimiter<C: Clock = MonotonicClock> {
    rate: Rate,
    burst: u32,
    buckets: Governor<Key, BoundedStore, C, NoOpMiddleware<C::Instant>>,
    store: BoundedStore,
}

/// A request was one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Until a token is there again.
    pub retry_after: Duration,
}

impl RateLimiter<MonotonicClock> {
    /// Buckets on the machine's monotonic clock.
    pub fn new(rate: Rate, burst: u32, max_keys: u32) -> Self {
        Self::with_clock(rate, burst, max_keys, MonotonicClock)
    }
}

impl<C: Clock> RateLimiter<C> {
    /// Buckets on a clock of the caller's.
    pub fn with_clock(rate: Rate, burst: u32, max_keys: u32, clock: C) -> Self {
        let depth = NonZeroU32::MIN.saturating_add(burst);
        // A rate has an interval of at least a nanosecond by construction.
        let quota = Quota::with_period(rate.interval())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(depth);
        let store = BoundedStore::new(max_keys as usize);
        Self { rate, burst, buckets: Governor::new(quota, store.clone(), clock), store }
    }

    /// Takes a token from the bucket of `key`, or says when there will be one.
    pub fn charge(&self, key: Key) -> Result<(), Refusal> {
        self.buckets.check_key(&key).map_err(|denied| Refusal {
            retry_after: denied.wait_time_from(self.buckets.clock().now()),
        })
    }

    /// The rate as configured.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Tokens beyond the first.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.store.len()
    }
}

impl<C: Clock> std::fmt::Debug for RateLimiter<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(
        rate: &str,
        burst: u32,
        max_keys: u32,
    ) -> (RateLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (RateLimiter::with_clock(rate.parse().unwrap(), burst, max_keys, clock.clone()), clock)
    }

    fn allowed(limiter: &RateLimiter<FakeRelativeClock>, key: u128, tries: usize) -> usize {
        (0..tries).filter(|_| limiter.charge(Key(key)).is_ok()).count()
    }

    #[test]
    fn api_lets_21_through_at_once_then_one_every_10_ms() {
        let (api, clock) = limiter("100/s", 20, 1000);
        assert_eq!(allowed(&api, 1, 100), 21);
        for _ in 0..50 {
            clock.advance(Duration::from_millis(9));
            assert_eq!(allowed(&api, 1, 3), 0);
            clock.advance(Duration::from_millis(1));
            assert_eq!(allowed(&api, 1, 3), 1);
        }
        clock.advance(Duration::from_secs(60));
        assert_eq!(allowed(&api, 1, 100), 21);
    }

    #[test]
    fn login_lets_4_through_at_once_then_one_every_12_s() {
        let (login, clock) = limiter("5/m", 3, 1000);
        assert_eq!(allowed(&login, 1, 10), 4);
        clock.advance(Duration::from_millis(11_999));
        assert_eq!(allowed(&login, 1, 10), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(allowed(&login, 1, 10), 1);
    }

    #[test]
    fn one_key_never_touches_another() {
        let (api, _clock) = limiter("100/s", 20, 1000);
        assert_eq!(allowed(&api, 1, 100), 21);
        assert_eq!(allowed(&api, 2, 100), 21);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let (login, clock) = limiter("5/m", 0, 1000);
        login.charge(Key(1)).unwrap();
        clock.advance(Duration::from_secs(2));
        assert_eq!(login.charge(Key(1)), Err(Refusal { retry_after: Duration::from_secs(10) }));
    }

    #[test]
    fn a_full_table_drops_the_oldest_key_and_never_refuses() {
        let (login, _clock) = limiter("5/m", 0, 3);
        for key in 1..=3 {
            assert_eq!(allowed(&login, key, 2), 1);
        }
        // 1 is used again, so 2 is now the oldest.
        assert_eq!(allowed(&login, 1, 1), 0);
        assert_eq!(allowed(&login, 4, 2), 1);
        assert_eq!(login.keys(), 3);
        assert_eq!(allowed(&login, 1, 1), 0);
        assert_eq!(allowed(&login, 3, 1), 0);
        assert_eq!(allowed(&login, 2, 1), 1, "the dropped key starts afresh");
    }

    #[test]
    fn a_million_keys_stay_within_the_bound() {
        let (api, _clock) = limiter("100/s", 0, 10_000);
        for key in 0..1_000_000u128 {
            let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
            assert!(api.charge(Key(key)).is_ok());
        }
        assert!(api.keys() <= 10_000 + 32, "{}", api.keys());
    }
}
