//! The retry budget: what retries may add to the load of an upstream.
//!
//! Without a bound, retries multiply an overload just when it is worst. Over a
//! sliding window of ten seconds, retries may be `ratio` of the requests, and
//! `min_per_second` besides. Counting requests costs the hot path nothing: the
//! endpoints count them anyway, and a tick each second remembers the total.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Seconds of history.
const WINDOW: usize = 10;

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Retries per request.
    pub ratio: f64,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
}

/// Counts retries against requests.
#[derive(Debug, Default)]
pub struct RetryBudget {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Total requests at the start of each past second, oldest first.
    requests: VecDeque<u64>,
    /// Retries in each past second, and last the current one's.
    retries: VecDeque<u32>,
}

impl RetryBudget {
    /// Closes the current second. Called once a second with the total of
    /// requests so far.
    pub fn tick(&self, total_requests: u64) {
        let mut window = self.window.lock();
        window.requests.push_back(total_requests);
        window.retries.push_back(0);
        if window.requests.len() > WINDOW {
            window.requests.pop_front();
        }
        if window.retries.len() > WINDOW {
            window.retries.pop_front();
        }
    }

    /// Takes a retry from the budget, if there is one.
    pub fn withdraw(&self, settings: BudgetSettings, total_requests: u64) -> bool {
        let mut window = self.window.lock();
        let since = window.requests.front().copied().unwrap_or(0);
        let requests = total_requests.saturating_sub(since);
        let allowed =
            requests as f64 * settings.ratio + f64::from(settings.min_per_second) * WINDOW as f64;
        let spent: u32 = window.retries.iter().sum();
        if f64::from(spent) + 1.0 > allowed {
            return false;
        }
        match window.retries.back_mut() {
            Some(current) => *current += 1,
            None => window.retries.push_back(1),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BudgetSettings = BudgetSettings { ratio: 0.2, min_per_second: 1 };

    fn drain(budget: &RetryBudget, total: u64) -> usize {
        std::iter::repeat_with(|| budget.withdraw(SETTINGS, total))
            .take_while(|allowed| *allowed)
            .count()
    }

    #[test]
    fn a_fifth_of_the_requests_and_the_reserve() {
        let budget = RetryBudget::default();
        budget.tick(0);
        assert_eq!(drain(&budget, 1000), 200 + 10);
        assert!(!budget.withdraw(SETTINGS, 1000));
    }

    #[test]
    fn old_seconds_are_forgotten() {
        let budget = RetryBudget::default();
        budget.tick(0);
        assert_eq!(drain(&budget, 1000), 210);
        for _ in 0..WINDOW {
            budget.tick(1000);
        }
        assert_eq!(drain(&budget, 1000), 10);
    }
}
