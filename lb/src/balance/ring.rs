//! A hash ring (ketama): the same key to the same endpoint, and only the keys
//! of an endpoint that leaves move.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Points per endpoint of average weight. 160 is ketama's and nginx's figure;
/// shares stay within some ten per cent of their weights.
const POINTS: u64 = 160;

/// So far is looked before it is asked whether anybody is available at all: a thousand
/// endpoints have 160 000 points.
const NEAR: usize = 4 * POINTS as usize;

/// Points on a circle of 64 bits, in order.
#[derive(Debug)]
pub(super) struct Ring {
    points: Vec<(u64, u32)>,
    endpoints: usize,
}

impl Ring {
    /// A ring over endpoints, each with its stable name and its weight. The
    /// same list gives the same ring in every process.
    pub(super) fn new<'e>(endpoints: impl Iterator<Item = (&'e str, u32)> + Clone) -> Self {
        let count = endpoints.clone().count() as u64;
        let total: u64 = endpoints.clone().map(|(_, weight)| u64::from(weight)).sum();
        let mut points = Vec::new();
        for (index, (name, weight)) in endpoints.enumerate() {
            let share = (POINTS * u64::from(weight) * count).div_ceil(total.max(1)).max(1);
            for point in 0..share {
                let mut hasher = SipHasher13::new();
                hasher.write(name.as_bytes());
                hasher.write_u64(point);
                points.push((hasher.finish(), index as u32));
            }
        }
        points.sort_unstable();
        Self { points, endpoints: count as usize }
    }

    /// The first available endpoint at or after `key`, around the circle.
    pub(super) fn find(&self, key: u64, available: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        let mut walk = after.iter().chain(before).map(|(_, index)| *index as usize);
        if let Some(near) = walk.by_ref().take(NEAR).find(|index| available(*index)) {
            return Some(near);
        }
        if !(0..self.endpoints).any(&available) {
            return None;
        }
        walk.find(|index| available(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> impl Iterator<Item = u64> {
        (0..20_000u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn shares_follow_weights() {
        let ring = Ring::new([("a", 1), ("b", 2), ("c", 1)].into_iter());
        let mut counts = [0u32; 3];
        keys().for_each(|key| counts[ring.find(key, |_| true).unwrap()] += 1);
        for (count, expected) in counts.iter().zip([5_000u32, 10_000, 5_000]) {
            assert!(count.abs_diff(expected) < expected / 5, "{counts:?}");
        }
    }

    #[test]
    fn only_the_keys_of_a_lost_endpoint_move() {
        let ring = Ring::new([("a", 1), ("b", 1), ("c", 1)].into_iter());
        for key in keys() {
            let with = ring.find(key, |_| true).unwrap();
            let without = ring.find(key, |index| index != 1).unwrap();
            assert!(with == 1 || with == without);
            assert_ne!(without, 1);
        }
    }

    #[test]
    fn an_added_endpoint_takes_only_its_share() {
        let three = Ring::new([("a", 1), ("b", 1), ("c", 1)].into_iter());
        let four = Ring::new([("a", 1), ("b", 1), ("c", 1), ("d", 1)].into_iter());
        let moved =
            keys().filter(|key| three.find(*key, |_| true) != four.find(*key, |_| true)).count();
        assert!((3_500..6_500).contains(&moved), "{moved}");
    }
}
