//! Smooth weighted round robin (nginx's algorithm), without a lock.
//!
//! Each pick gives every candidate its weight, takes the richest, and takes the
//! round's total from it. The counters are atomics: two picks that overlap may
//! choose the same endpoint once, but what is given and taken always balances,
//! so that the shares hold over any longer stretch.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::Slot;

/// An endpoint's place in the round.
#[derive(Debug, Default)]
pub struct Turn(AtomicI64);

/// The next of these endpoints in turn.
pub(super) fn next<'s, S: Slot + 's>(
    candidates: impl Iterator<Item = (usize, &'s S)>,
    now: Instant,
) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, &S, i64)> = None;
    for (index, slot) in candidates {
        let weight = i64::from(slot.weight(now));
        total += weight;
        // Relaxed: only the sums matter, nothing is published through them.
        let current = slot.turn().0.fetch_add(weight, Ordering::Relaxed) + weight;
        if best.is_none_or(|(.., richest)| current > richest) {
            best = Some((index, slot, current));
        }
    }
    let (index, slot, _) = best?;
    slot.turn().0.fetch_sub(total, Ordering::Relaxed);
    Some(index)
}
