//! Limits: token buckets per key, and exchanges in flight per key.
//!
//! Both are bounded: a bucket table drops its oldest key when it is full, a
//! concurrency table has one entry for each key in flight. The algorithm of the
//! buckets is governor's (GCRA); generic over the clock, so that tests own time.

mod concurrency;
mod rate;
mod store;

pub use concurrency::{ConcurrencyLimiter, Permit};
pub use rate::{RateLimiter, Refusal};
