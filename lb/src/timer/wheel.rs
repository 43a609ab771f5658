//! A timing wheel: which alarms are due at a tick. No clock, no task.
//!
//! One turn of buckets, a tick each. An alarm stands in the bucket of its tick,
//! or, further away than a turn, in the last one, from where it moves on. An
//! alarm that is put off stays where it is until its bucket comes up: of the
//! many requests of a connection each puts it off and none moves it.

use std::task::Waker;

/// Buckets: a turn is half a minute.
const BUCKETS: u64 = 8192;
const BITS: u64 = u64::BITS as u64;

const NONE: u32 = u32::MAX;

/// The alarms of a thread.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Slot>,
    free: u32,
    /// The first slot in each bucket.
    heads: Box<[u32]>,
    /// Which buckets hold any.
    occupied: Box<[u64]>,
    /// Ticks up to this one were dealt with.
    turned: u64,
}

#[derive(Debug)]
struct Slot {
    /// When it is due; `u64::MAX` while it is not set.
    at: u64,
    /// The tick whose bucket it stands in.
    filed: Option<u64>,
    waker: Option<Waker>,
    /// Neighbours in the bucket; of a free slot, the next free one.
    before: u32,
    after: u32,
}

const UNSET: u64 = u64::MAX;

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            heads: vec![NONE; BUCKETS as usize].into(),
            occupied: vec![0; (BUCKETS / BITS) as usize].into(),
            turned: 0,
        }
    }

    /// A slot for an alarm.
    pub(super) fn add(&mut self) -> u32 {
        let slot = Slot { at: UNSET, filed: None, waker: None, before: NONE, after: NONE };
        if self.free == NONE {
            self.slots.push(slot);
            return (self.slots.len() - 1) as u32;
        }
        let index = self.free;
        self.free = self.slots[index as usize].after;
        self.slots[index as usize] = slot;
        index
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.unfile(index);
        let slot = &mut self.slots[index as usize];
        (slot.at, slot.waker, slot.after) = (UNSET, None, self.free);
        self.free = index;
    }

    /// Sets the alarm; whether it is due earlier than it was looked for.
    pub(super) fn set(&mut self, index: u32, tick: u64) -> bool {
        let slot = &mut self.slots[index as usize];
        slot.at = tick;
        if slot.filed.is_some_and(|filed| filed <= tick) {
            return false;
        }
        self.unfile(index);
        self.file(index);
        true
    }

    pub(super) fn clear(&mut self, index: u32) {
        // It leaves its bucket when that comes up.
        self.slots[index as usize].at = UNSET;
    }

    /// Has `waker` woken. The tick for which the alarm had to be filed again, if it
    /// had to: it has woken its task before, and is waited for still.
    pub(super) fn wake(&mut self, index: u32, waker: &Waker) -> Option<u64> {
        let slot = &mut self.slots[index as usize];
        match &mut slot.waker {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
        if slot.filed.is_some() || slot.at == UNSET {
            return None;
        }
        let at = slot.at;
        self.file(index);
        Some(at)
    }

    /// Deals with every tick up to `now`: whom to wake.
    pub(super) fn turn(&mut self, now: u64) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(tick) = self.next().filter(|tick| *tick <= now) {
            self.turned = tick;
            let mut index = self.take_bucket(tick % BUCKETS);
            while index != NONE {
                let slot = &mut self.slots[index as usize];
                let after = slot.after;
                (slot.filed, slot.before, slot.after) = (None, NONE, NONE);
                if slot.at <= tick {
                    due.extend(slot.waker.clone());
                } else if slot.at != UNSET {
                    self.file(index);
                }
                index = after;
            }
        }
        self.turned = self.turned.max(now);
        due
    }

    /// The tick that has to be dealt with next.
    pub(super) fn next(&self) -> Option<u64> {
        let start = self.turned % BUCKETS;
        let words = self.occupied.len() as u64;
        // The word of the first bucket is looked at twice: from it on, and up to it.
        for step in 0..=words {
            let word = (start / BITS + step) % words;
            let mask = match step {
                0 => u64::MAX << (start % BITS),
                step if step == words => !(u64::MAX << (start % BITS)),
                _ => u64::MAX,
            };
            let found = self.occupied[word as usize] & mask;
            if found != 0 {
                let bucket = word * BITS + u64::from(found.trailing_zeros());
                return Some(self.turned + (bucket + BUCKETS - start) % BUCKETS);
            }
        }
        None
    }

    /// The wakers of all alarms.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.slots.iter().filter_map(|slot| slot.waker.clone()).collect()
    }

    fn file(&mut self, index: u32) {
        let at = self.slots[index as usize].at;
        // Not the bucket that was just dealt with: its turn is a whole one away.
        let tick = at.clamp(self.turned + 1, self.turned + BUCKETS - 1);
        let bucket = tick % BUCKETS;
        let head = std::mem::replace(&mut self.heads[bucket as usize], index);
        if head != NONE {
            self.slots[head as usize].before = index;
        }
        let slot = &mut self.slots[index as usize];
        (slot.filed, slot.before, slot.after) = (Some(tick), NONE, head);
        self.occupied[(bucket / BITS) as usize] |= 1 << (bucket % BITS);
    }

    fn unfile(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(tick) = slot.filed.take() else { return };
        let (before, after) = (slot.before, slot.after);
        if after != NONE {
            self.slots[after as usize].before = before;
        }
        if before != NONE {
            self.slots[before as usize].after = after;
            return;
        }
        let bucket = tick % BUCKETS;
        self.heads[bucket as usize] = after;
        if after == NONE {
            self.occupied[(bucket / BITS) as usize] &= !(1 << (bucket % BITS));
        }
    }

    fn take_bucket(&mut self, bucket: u64) -> u32 {
        self.occupied[(bucket / BITS) as usize] &= !(1 << (bucket % BITS));
        std::mem::replace(&mut self.heads[bucket as usize], NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_is_looked_at_once_and_filed_again() {
        let mut wheel = Wheel::new();
        let alarm = wheel.add();
        assert!(wheel.set(alarm, 10));
        assert!(!wheel.set(alarm, 50));
        assert_eq!(wheel.next(), Some(10));
        wheel.turn(10);
        assert_eq!(wheel.next(), Some(50));
        assert!(wheel.set(alarm, 20));
        assert_eq!(wheel.next(), Some(20));
    }

    #[test]
    fn an_alarm_that_woke_its_task_is_filed_again_if_it_is_waited_for() {
        let mut wheel = Wheel::new();
        let alarm = wheel.add();
        wheel.set(alarm, 10);
        wheel.wake(alarm, Waker::noop());
        assert_eq!(wheel.turn(10).len(), 1);
        assert_eq!(wheel.next(), None);
        wheel.wake(alarm, Waker::noop());
        assert_eq!(wheel.next(), Some(11));
    }

    #[test]
    fn slots_are_used_again_and_buckets_emptied() {
        let mut wheel = Wheel::new();
        let alarms: Vec<u32> = (0..100).map(|_| wheel.add()).collect();
        for (tick, alarm) in alarms.iter().enumerate() {
            wheel.set(*alarm, tick as u64 % 7 + 1);
        }
        alarms.iter().for_each(|alarm| wheel.remove(*alarm));
        assert_eq!(wheel.next(), None);
        for _ in 0..100 {
            wheel.add();
        }
        assert_eq!(wheel.slots.len(), 100);
    }

    #[test]
    fn the_far_future_comes_in_turns() {
        let mut wheel = Wheel::new();
        let alarm = wheel.add();
        wheel.set(alarm, 3 * BUCKETS + 5);
        let mut looked = 0;
        let mut at = 0;
        while let Some(next) = wheel.next() {
            looked += 1;
            at = next;
            wheel.turn(next);
        }
        assert_eq!(at, 3 * BUCKETS + 5);
        assert!(looked < 6, "{looked}");
    }
}
