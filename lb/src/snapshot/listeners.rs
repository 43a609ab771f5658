//! The listeners of a snapshot, and the numbers that connections know them by.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Listener;
use crate::policy::ListenerId;

/// The listeners of a snapshot, by [`ListenerId`].
///
/// A connection keeps its listener's number over many snapshots, so numbers do
/// not depend on which other listeners there are: some may be nobody's.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Option<Listener>>);

impl Listeners {
    /// The listener of this number. `None`: it is not in this snapshot.
    pub fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.0.get(id.0 as usize)?.as_ref()
    }

    /// All listeners.
    pub fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter().flatten()
    }

    /// The listener of this name.
    pub fn named(&self, name: &str) -> Option<&Listener> {
        self.iter().find(|listener| *listener.name == *name)
    }

    /// More than the largest number.
    pub fn bound(&self) -> usize {
        self.0.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<Listener> for Listeners {
    fn from_iter<I: IntoIterator<Item = Listener>>(listeners: I) -> Self {
        let mut slots = Vec::new();
        for listener in listeners {
            let index = listener.slot.id().0 as usize;
            if slots.len() <= index {
                slots.resize_with(index + 1, || None);
            }
            slots[index] = Some(listener);
        }
        Self(slots)
    }
}

/// Gives listeners their numbers. A name keeps its number for as long as a
/// snapshot or a connection uses it.
#[derive(Debug, Default)]
pub struct Slots(Mutex<HashMap<Arc<str>, Weak<Slot>>>);

/// The number of a listener; free for another when dropped.
#[derive(Debug)]
pub struct Slot(ListenerId);

impl Slot {
    /// The number.
    pub fn id(&self) -> ListenerId {
        self.0
    }
}

impl Slots {
    /// The number of the listener of this name: the one it has, or the lowest
    /// that is free.
    pub fn get(&self, name: &Arc<str>) -> Arc<Slot> {
        let mut slots = self.0.lock();
        if let Some(known) = slots.get(name).and_then(Weak::upgrade) {
            return known;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let taken: Vec<u32> =
            slots.values().filter_map(Weak::upgrade).map(|slot| slot.id().0).collect();
        let free = (0..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX);
        let slot = Arc::new(Slot(ListenerId(free)));
        slots.insert(Arc::clone(name), Arc::downgrade(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_free_one_is_used_again() {
        let slots = Slots::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| slots.get(&name.into()));
        assert_eq!([a.id().0, b.id().0, c.id().0], [0, 1, 2]);
        drop(b);
        assert_eq!(slots.get(&"c".into()).id().0, 2);
        assert_eq!(slots.get(&"d".into()).id().0, 1);
        drop(a);
    }
}
