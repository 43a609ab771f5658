//! Pickers: which of an upstream's endpoints takes the next exchange.
//!
//! Pure: candidates, chance and the key come in as arguments, and nothing is
//! allocated. What an endpoint is, whether it is healthy and what a lease is
//! are `upstream`'s business. Names neither Pingora nor tokio.

mod ring;
#[cfg(test)]
mod tests;
mod turns;

use std::time::Instant;

use ring::Ring;
pub use turns::Turn;

/// What a picker sees of an endpoint.
pub trait Slot {
    /// Its share of the load against the others as of `now`, at least 1.
    fn weight(&self, now: Instant) -> u32;
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
        let mut weights = endpoints.clone().map(|(_, weight)| weight);
        let first = weights.next();
        Picker {
            // By chance all are alike only if their weights are.
            by_sample: endpoints.clone().count() > MANY
                && weights.all(|other| Some(other) == first),
            kind: match self {
                Self::LeastConnections => Kind::LeastConnections,
                Self::RoundRobin => Kind::RoundRobin,
                Self::Random => Kind::Random,
                Self::Hash => Kind::Hash(Ring::new(endpoints)),
            },
        }
    }
}

/// Among more endpoints than this, if their weights are the same, a picker chooses from a
/// sample: looking at each of a thousand for every request costs more than all the rest of
/// it. The best of 32 by chance is as good as the best of all, for all that a client can tell
/// (Mitzenmacher, "The Power of Two Choices", has it for two).
const MANY: usize = 64;

/// As many endpoints are in a sample.
const SAMPLE: usize = 32;

/// As many are looked at to find those that are available.
const LOOKS: usize = 4 * SAMPLE;

/// With fewer found, a sample says little, and all are looked at.
const ENOUGH: usize = 8;

/// How an endpoint is chosen.
#[derive(Debug, Default)]
pub struct Picker {
    kind: Kind,
    by_sample: bool,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    LeastConnections,
    RoundRobin,
    Random,
    Hash(Ring),
}

impl Picker {
    /// The index of the endpoint to use, of those that are `available`.
    ///
    /// `random` is any 64 random bits; `key` is what `Hash` places, uniform
    /// over 64 bits; `now` is what weights may depend on.
    pub fn pick<S: Slot>(
        &self,
        slots: &[S],
        available: impl Fn(usize, &S) -> bool,
        random: u64,
        key: u64,
        now: Instant,
    ) -> Option<usize> {
        if let Kind::Hash(ring) = &self.kind {
            return ring
                .find(key, |index| slots.get(index).is_some_and(|slot| available(index, slot)));
        }
        if self.by_sample {
            let (sample, count) = sample(slots, &available, random);
            if count >= ENOUGH {
                let found = sample[..count].iter().map(|index| (*index, &slots[*index]));
                // Other bits than those that the sample was drawn by.
                return self.choose(found, random.rotate_left(24), now);
            }
        }
        let all = slots.iter().enumerate();
        self.choose(all.filter(|(index, slot)| available(*index, slot)), random, now)
    }

    fn choose<'s, S: Slot + 's>(
        &self,
        candidates: impl Iterator<Item = (usize, &'s S)> + Clone,
        random: u64,
        now: Instant,
    ) -> Option<usize> {
        match &self.kind {
            Kind::LeastConnections => least_connections(candidates, now),
            Kind::RoundRobin => turns::next(candidates, now),
            Kind::Random | Kind::Hash(_) => weighted_random(candidates, random, now),
        }
    }
}

/// Endpoints that are available, each as likely as any other.
fn sample<S>(
    slots: &[S],
    available: impl Fn(usize, &S) -> bool,
    random: u64,
) -> ([usize; SAMPLE], usize) {
    let (mut sample, mut count) = ([0; SAMPLE], 0);
    let below = |bits: u64, most: usize| (((bits & 0xffff_ffff) * most as u64) >> 32) as usize;
    // By steps of any length, those that lie together are as seldom in one sample as
    // any others.
    let mut index = below(random >> 32, slots.len());
    let mut step = 1 + below(random, slots.len() - 1);
    while gcd(step, slots.len()) != 1 {
        // It would come back before it has seen all.
        step = 1 + step % (slots.len() - 1);
    }
    for _ in 0..LOOKS {
        if available(index, &slots[index]) {
            sample[count] = index;
            count += 1;
            if count == SAMPLE {
                break;
            }
        }
        index = (index + step) % slots.len();
    }
    (sample, count)
}

fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn least_connections<'s, S: Slot + 's>(
    candidates: impl Iterator<Item = (usize, &'s S)> + Clone,
    now: Instant,
) -> Option<usize> {
    // Load is in_flight / weight; compared by cross-multiplication, as nginx does.
    let lighter = |a: (u64, u64), b: (u64, u64)| a.0 * b.1 < b.0 * a.1;
    let mut least: Option<(u64, u64)> = None;
    let mut first = None;
    let mut ties = 0;
    for (index, slot) in candidates.clone() {
        let load = (u64::from(slot.in_flight()), u64::from(slot.weight(now)));
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
    let level = |(_, slot): &(usize, &S)| {
        let load = (u64::from(slot.in_flight()), u64::from(slot.weight(now)));
        !lighter(load, least) && !lighter(least, load)
    };
    turns::next(candidates.filter(level), now).or(first)
}

fn weighted_random<'s, S: Slot + 's>(
    candidates: impl Iterator<Item = (usize, &'s S)> + Clone,
    random: u64,
    now: Instant,
) -> Option<usize> {
    let weights = candidates.map(|(index, slot)| (index, u64::from(slot.weight(now))));
    let total: u64 = weights.clone().map(|(_, weight)| weight).sum();
    // The high half of the product is uniform below `total`.
    let mut rest = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    let mut last = None;
    for (index, weight) in weights {
        if rest < weight {
            return Some(index);
        }
        rest -= weight;
        last = Some(index);
    }
    // Availability changed between the two walks: anybody will do.
    last
}
