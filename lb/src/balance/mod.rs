//! Pickers: which of an upstream's endpoints takes the next exchange.
//!
//! Pure: candidates, chance and the key come in as arguments, and nothing is
//! allocated. What an endpoint is, whether it is healthy and what a lease is
//! are `upstream`'s business. Names neither Pingora nor tokio.

mod ring;
mod turns;

pub use ring::Ring;
pub use turns::Turn;

/// What a picker sees of an endpoint.
pub trait Slot {
    /// Its share of the load against the others, at least 1.
    fn weight(&self) -> u32;
    /// Exchanges in flight.
    fn in_flight(&self) -> u32;
    /// Its place in the smooth weighted round.
    fn turn(&self) -> &Turn;
}

/// What is configured of a picker: all of it that does not depend on who the
/// endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Fewest exchanges in flight by weight.
    LeastConnections,
    /// Smooth weighted turns.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// By a key, on a ring.
    Hash,
}

impl Algorithm {
    /// A picker among these endpoints, each with its stable name and its weight.
    pub fn picker<'e>(self, endpoints: impl Iterator<Item = (&'e str, u32)> + Clone) -> Picker {
        match self {
            Self::LeastConnections => Picker::LeastConnections,
            Self::RoundRobin => Picker::RoundRobin,
            Self::Random => Picker::Random,
            Self::Hash => Picker::Hash(Ring::new(endpoints)),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Debug, Default)]
pub enum Picker {
    #[default]
    /// Fewest exchanges in flight by weight; ties by turns.
    LeastConnections,
    /// Smooth weighted turns.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// By the key, on a ring.
    Hash(Ring),
}

impl Picker {
    /// The index of the endpoint to use, of those that are `available`.
    ///
    /// `random` is any 64 random bits; `key` is what `Hash` places, uniform
    /// over 64 bits.
    pub fn pick<S: Slot>(
        &self,
        slots: &[S],
        available: impl Fn(usize, &S) -> bool,
        random: u64,
        key: u64,
    ) -> Option<usize> {
        match self {
            Self::LeastConnections => least_connections(slots, available),
            Self::RoundRobin => turns::next(slots, available),
            Self::Random => weighted_random(slots, available, random),
            Self::Hash(ring) => {
                ring.find(key, |index| slots.get(index).is_some_and(|slot| available(index, slot)))
            }
        }
    }
}

fn least_connections<S: Slot>(slots: &[S], available: impl Fn(usize, &S) -> bool) -> Option<usize> {
    // Load is in_flight / weight; compared by cross-multiplication, as nginx does.
    let lighter = |a: (u64, u64), b: (u64, u64)| a.0 * b.1 < b.0 * a.1;
    let mut least: Option<(u64, u64)> = None;
    let mut first = None;
    let mut ties = 0;
    for (index, slot) in slots.iter().enumerate() {
        if !available(index, slot) {
            continue;
        }
        let load = (u64::from(slot.in_flight()), u64::from(slot.weight()));
        match least {
            Some(least) if lighter(least, load) => {}
            Some(known) if !lighter(load, known) => ties += 1,
            _ => {
                least = Some(load);
                first = Some(index);
                ties = 1;
            }
        }
    }
    let least = least?;
    if ties == 1 {
        return first;
    }
    // Counters move while we look: if nobody is level any more, the first
    // one found is as good.
    let level = |index: usize, slot: &S| {
        let load = (u64::from(slot.in_flight()), u64::from(slot.weight()));
        available(index, slot) && !lighter(load, least) && !lighter(least, load)
    };
    turns::next(slots, level).or(first)
}

fn weighted_random<S: Slot>(
    slots: &[S],
    available: impl Fn(usize, &S) -> bool,
    random: u64,
) -> Option<usize> {
    let of =
        |index: usize, slot: &S| if available(index, slot) { u64::from(slot.weight()) } else { 0 };
    let total: u64 = slots.iter().enumerate().map(|(index, slot)| of(index, slot)).sum();
    if total == 0 {
        return None;
    }
    // The high half of the product is uniform below `total`.
    let mut rest = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    for (index, slot) in slots.iter().enumerate() {
        let weight = of(index, slot);
        if rest < weight {
            return Some(index);
        }
        rest -= weight;
    }
    // Availability changed between the two walks.
    slots.iter().enumerate().find(|(index, slot)| available(*index, slot)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Endpoint {
        weight: u32,
        in_flight: AtomicU32,
        turn: Turn,
    }

    impl Slot for Endpoint {
        fn weight(&self) -> u32 {
            self.weight
        }
        fn in_flight(&self) -> u32 {
            self.in_flight.load(Ordering::Relaxed)
        }
        fn turn(&self) -> &Turn {
            &self.turn
        }
    }

    fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
        weights
            .iter()
            .map(|weight| Endpoint {
                weight: *weight,
                in_flight: AtomicU32::new(0),
                turn: Turn::default(),
            })
            .collect()
    }

    fn sequence(picker: &Picker, slots: &[Endpoint], count: usize) -> Vec<usize> {
        (0..count).map(|_| picker.pick(slots, |_, _| true, 0, 0).unwrap()).collect()
    }

    #[test]
    fn round_robin_is_smooth_and_weighted() {
        // nginx's own example for 5:1:1.
        let slots = endpoints(&[5, 1, 1]);
        assert_eq!(sequence(&Picker::RoundRobin, &slots, 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn sequential_requests_spread_evenly_under_least_connections() {
        let slots = endpoints(&[1, 1, 1]);
        let picks = sequence(&Picker::LeastConnections, &slots, 300);
        for index in 0..3 {
            assert_eq!(picks.iter().filter(|pick| **pick == index).count(), 100);
        }
    }

    #[test]
    fn least_connections_follows_load_by_weight() {
        let slots = endpoints(&[1, 2, 1]);
        for _ in 0..400 {
            let pick = Picker::LeastConnections.pick(&slots, |_, _| true, 0, 0).unwrap();
            slots[pick].in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let in_flight: Vec<u32> = slots.iter().map(Slot::in_flight).collect();
        assert_eq!(in_flight, [100, 200, 100]);
    }

    #[test]
    fn the_busy_endpoint_is_left_alone() {
        let slots = endpoints(&[1, 1, 1]);
        slots[1].in_flight.store(10, Ordering::Relaxed);
        let picks = sequence(&Picker::LeastConnections, &slots, 100);
        assert!(!picks.contains(&1));
    }

    #[test]
    fn random_keeps_to_weights() {
        let slots = endpoints(&[1, 2, 1]);
        let mut counts = [0; 3];
        for step in 0..4000u64 {
            let random = step.wrapping_mul(u64::MAX / 4000);
            counts[Picker::Random.pick(&slots, |_, _| true, random, 0).unwrap()] += 1;
        }
        assert!((counts[0] - 1000i32).abs() <= 2, "{counts:?}");
        assert!((counts[1] - 2000i32).abs() <= 2, "{counts:?}");
    }

    #[test]
    fn nobody_available_is_none_and_one_is_that_one() {
        let slots = endpoints(&[1, 1]);
        let ring = Ring::new([("a", 1), ("b", 1)].into_iter());
        for picker in
            [Picker::LeastConnections, Picker::RoundRobin, Picker::Random, Picker::Hash(ring)]
        {
            assert_eq!(picker.pick(&slots, |_, _| false, 7, 7), None);
            assert_eq!(picker.pick(&slots, |index, _| index == 1, 7, 7), Some(1));
        }
    }

    #[test]
    fn turns_survive_contention() {
        let slots = endpoints(&[1, 2, 1]);
        let counts: Vec<AtomicU32> = (0..3).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let pick = Picker::RoundRobin.pick(&slots, |_, _| true, 0, 0).unwrap();
                        counts[pick].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let counts: Vec<u32> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        for (count, expected) in counts.iter().zip([10_000u32, 20_000, 10_000]) {
            assert!(count.abs_diff(expected) < expected / 50, "{counts:?}");
        }
    }
}
