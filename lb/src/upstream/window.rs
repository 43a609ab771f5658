//! Outcomes over a sliding window, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// The window moves on by a tenth of its length at a time.
pub(super) const STEPS: u32 = 10;

const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Outcomes of the latest [`STEPS`] steps.
///
/// Each step's slot holds the low 16 bits of its number, how many outcomes there
/// were and how many of them failures, so that one exchange of a word counts an
/// outcome and clears what an earlier step has left. A slot that nobody touches for
/// 65 536 steps could be taken for a current one; it is then as old as the process
/// has been idle.
#[derive(Debug, Default)]
pub(super) struct OutcomeWindow {
    slots: [AtomicU64; STEPS as usize],
}

/// Outcomes, and how many of them were failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    pub(super) total: u64,
    pub(super) failures: u64,
}

impl OutcomeWindow {
    /// Counts an outcome in the step that is now.
    pub(super) fn record(&self, step: u64, failure: bool) {
        let slot = &self.slots[(step % u64::from(STEPS)) as usize];
        // Relaxed: only the sums matter. The closure always gives a value.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
            let (total, failures) = match packed >> (2 * COUNT_BITS) == step & 0xffff {
                true => (packed >> COUNT_BITS & COUNT_MASK, packed & COUNT_MASK),
                false => (0, 0),
            };
            // Full: the share stays right, roughly.
            let (total, failures) = match total == COUNT_MASK {
                true => (total / 2, failures / 2),
                false => (total, failures),
            };
            let (total, failures) = (total + 1, failures + u64::from(failure));
            Some((step & 0xffff) << (2 * COUNT_BITS) | total << COUNT_BITS | failures)
        });
    }

    /// What was counted up to the step that is now.
    pub(super) fn outcomes(&self, step: u64) -> Outcomes {
        let mut sum = Outcomes::default();
        for age in 0..u64::from(STEPS) {
            let Some(step) = step.checked_sub(age) else { break };
            let packed = self.slots[(step % u64::from(STEPS)) as usize].load(Ordering::Relaxed);
            if packed >> (2 * COUNT_BITS) == step & 0xffff {
                sum.total += packed >> COUNT_BITS & COUNT_MASK;
                sum.failures += packed & COUNT_MASK;
            }
        }
        sum
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_steps_leave_the_window_one_by_one() {
        let window = OutcomeWindow::default();
        for step in 100..110 {
            window.record(step, step % 2 == 0);
            window.record(step, false);
        }
        assert_eq!(window.outcomes(109), Outcomes { total: 20, failures: 5 });
        assert_eq!(window.outcomes(110), Outcomes { total: 18, failures: 4 });
        assert_eq!(window.outcomes(118), Outcomes { total: 2, failures: 0 });
        assert_eq!(window.outcomes(119), Outcomes::default());
        window.record(119, true);
        assert_eq!(window.outcomes(119), Outcomes { total: 1, failures: 1 });
        window.clear();
        assert_eq!(window.outcomes(119), Outcomes::default());
    }

    #[test]
    fn a_full_slot_keeps_its_share() {
        let window = OutcomeWindow::default();
        for _ in 0..=COUNT_MASK {
            window.record(3, true);
        }
        let outcomes = window.outcomes(3);
        assert_eq!(outcomes.total, outcomes.failures);
        assert!(outcomes.total > COUNT_MASK / 2);
    }

    #[test]
    fn every_outcome_is_counted_once_from_several_threads() {
        let window = OutcomeWindow::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let window = &window;
                scope.spawn(move || (0..10_000).for_each(|_| window.record(7, thread == 0)));
            }
        });
        assert_eq!(window.outcomes(7), Outcomes { total: 40_000, failures: 10_000 });
    }
}
