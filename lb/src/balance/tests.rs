//! Who is picked.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const ALL: [Algorithm; 4] =
    [Algorithm::LeastConnections, Algorithm::RoundRobin, Algorithm::Random, Algorithm::Hash];

struct Endpoint {
    weight: u32,
    in_flight: AtomicU32,
    turn: Turn,
}

impl Slot for Endpoint {
    fn weight(&self, _now: Instant) -> u32 {
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

fn picker(algorithm: Algorithm, slots: &[Endpoint]) -> Picker {
    let names: Vec<String> = (0..slots.len()).map(|index| index.to_string()).collect();
    algorithm.picker(names.iter().map(|name| &**name).zip(slots.iter().map(|slot| slot.weight)))
}

fn sequence(picker: &Picker, slots: &[Endpoint], count: usize) -> Vec<usize> {
    (0..count).map(|_| picker.pick(slots, |_, _| true, 0, 0, Instant::now()).unwrap()).collect()
}

#[test]
fn round_robin_is_smooth_and_weighted() {
    // nginx's own example for 5:1:1.
    let slots = endpoints(&[5, 1, 1]);
    assert_eq!(sequence(&picker(Algorithm::RoundRobin, &slots), &slots, 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn sequential_requests_spread_evenly_under_least_connections() {
    let slots = endpoints(&[1, 1, 1]);
    let picks = sequence(&picker(Algorithm::LeastConnections, &slots), &slots, 300);
    for index in 0..3 {
        assert_eq!(picks.iter().filter(|pick| **pick == index).count(), 100);
    }
}

#[test]
fn least_connections_follows_load_by_weight() {
    let slots = endpoints(&[1, 2, 1]);
    let picker = picker(Algorithm::LeastConnections, &slots);
    for _ in 0..400 {
        let pick = picker.pick(&slots, |_, _| true, 0, 0, Instant::now()).unwrap();
        slots[pick].in_flight.fetch_add(1, Ordering::Relaxed);
    }
    let in_flight: Vec<u32> = slots.iter().map(Slot::in_flight).collect();
    assert_eq!(in_flight, [100, 200, 100]);
}

#[test]
fn the_busy_endpoint_is_left_alone() {
    let slots = endpoints(&[1, 1, 1]);
    slots[1].in_flight.store(10, Ordering::Relaxed);
    let picks = sequence(&picker(Algorithm::LeastConnections, &slots), &slots, 100);
    assert!(!picks.contains(&1));
}

#[test]
fn random_keeps_to_weights() {
    let slots = endpoints(&[1, 2, 1]);
    let picker = picker(Algorithm::Random, &slots);
    let mut counts = [0; 3];
    for step in 0..4000u64 {
        let random = step.wrapping_mul(u64::MAX / 4000);
        counts[picker.pick(&slots, |_, _| true, random, 0, Instant::now()).unwrap()] += 1;
    }
    assert!((counts[0] - 1000i32).abs() <= 2, "{counts:?}");
    assert!((counts[1] - 2000i32).abs() <= 2, "{counts:?}");
}

#[test]
fn nobody_available_is_none_and_one_is_that_one() {
    for (count, one) in [(2, 1), (1000, 731)] {
        let slots = endpoints(&vec![1; count]);
        for algorithm in ALL {
            let picker = picker(algorithm, &slots);
            assert_eq!(picker.by_sample, count > MANY);
            assert_eq!(picker.pick(&slots, |_, _| false, 7, 7, Instant::now()), None);
            let only = |index: usize, _: &Endpoint| index == one;
            for random in [0, 7, u64::MAX] {
                assert_eq!(picker.pick(&slots, only, random, 7, Instant::now()), Some(one));
            }
        }
    }
}

#[test]
fn turns_survive_contention() {
    let slots = endpoints(&[1, 2, 1]);
    let picker = picker(Algorithm::RoundRobin, &slots);
    let counts: Vec<AtomicU32> = (0..3).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    let pick = picker.pick(&slots, |_, _| true, 0, 0, Instant::now()).unwrap();
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

/// Picks `count` times among many, by chance; how often each was.
fn counts_of(
    algorithm: Algorithm,
    slots: &[Endpoint],
    count: usize,
    available: impl Fn(usize) -> bool,
    keep: bool,
) -> Vec<u32> {
    let picker = picker(algorithm, slots);
    let mut counts = vec![0; slots.len()];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..count {
        let pick = picker
            .pick(slots, |index, _| available(index), random.u64(..), 0, Instant::now())
            .unwrap();
        counts[pick] += 1;
        if keep {
            slots[pick].in_flight.fetch_add(1, Ordering::Relaxed);
        }
    }
    counts
}

#[test]
fn among_many_all_have_their_share() {
    for count in [MANY + 1, 1000, 1024] {
        for algorithm in [Algorithm::LeastConnections, Algorithm::RoundRobin] {
            let slots = endpoints(&vec![1; count]);
            let counts = counts_of(algorithm, &slots, 200 * count, |_| true, false);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least >= 180 && *most <= 220, "{count} {algorithm:?}: {least} to {most}");
        }
    }
    // By chance it is Poisson's: five deviations of the square root of 200.
    let slots = endpoints(&vec![1; 1000]);
    let counts = counts_of(Algorithm::Random, &slots, 200_000, |_| true, false);
    assert!(counts.iter().all(|count| count.abs_diff(200) < 75), "{counts:?}");
}

#[test]
fn among_many_the_busy_are_left_alone() {
    let slots = endpoints(&vec![1; 1000]);
    let counts = counts_of(Algorithm::LeastConnections, &slots, 50_000, |_| true, true);
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 4, "of 50 each: {least} to {most}");
    slots[3].in_flight.store(1000, Ordering::Relaxed);
    assert_eq!(counts_of(Algorithm::LeastConnections, &slots, 10_000, |_| true, false)[3], 0);
}

#[test]
fn a_sample_has_nobody_twice() {
    let mut random = fastrand::Rng::with_seed(7);
    for count in [65, 72, 96, 100, 120, 210, 1000] {
        let slots = endpoints(&vec![1; count]);
        for _ in 0..200 {
            let (sample, found) = sample(&slots, |_, _| true, random.u64(..));
            let mut distinct = sample[..found].to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), SAMPLE, "of {count}");
        }
    }
}

/// Too few to draw from: all are looked at, and the best of them is taken.
#[test]
fn among_many_the_few_that_are_left_are_all_compared() {
    let slots = endpoints(&vec![1; 1000]);
    for index in 0..10 {
        slots[index * 100].in_flight.store(index as u32, Ordering::Relaxed);
    }
    let left = |index: usize| index.is_multiple_of(100);
    let counts = counts_of(Algorithm::LeastConnections, &slots, 1000, left, false);
    assert_eq!(counts[0], 1000);
}

/// As after the loss of a zone: those that are left lie together, or beside a gap.
#[test]
fn among_many_gaps_do_not_matter() {
    let left = |index: usize| (100..400).contains(&index) || index == 999;
    let slots = endpoints(&vec![1; 1000]);
    let counts = counts_of(Algorithm::RoundRobin, &slots, 301 * 200, left, false);
    for (index, count) in counts.iter().enumerate() {
        let expected = if left(index) { 200 } else { 0 };
        assert!(count.abs_diff(expected) <= 40, "{index}: {count}");
    }
}

/// Where weights differ all are looked at: whoever has half of all weight is to have
/// half of all requests.
#[test]
fn among_many_weights_hold_exactly() {
    let mut weights = vec![1; 1000];
    weights[500] = 999;
    let slots = endpoints(&weights);
    let counts = counts_of(Algorithm::RoundRobin, &slots, 2 * 1998, |_| true, false);
    assert_eq!(counts[500], 1998);
}
