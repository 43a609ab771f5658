//! Broadcast rooms: what one member sends, all members of this process get.
//!
//! Everything is bounded: the rooms, and what each keeps for members that
//! read slowly. Such a member misses messages and is told how many; nobody
//! waits for it.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

/// Rooms at once. Together with [`BACKLOG`] and messages of 64 KiB this bounds
/// the memory of all rooms to 512 MiB, should every one be full of them.
const MAX_ROOMS: usize = 256;

/// Messages that a room keeps for its slowest member.
const BACKLOG: usize = 32;

/// The longest name of a room.
const MAX_NAME_LENGTH: usize = 64;

/// Name of a room: 1 to 64 characters out of `A-Z a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Parses `text`; `None` if it is not a name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = (1..=MAX_NAME_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        is_name.then(|| Self(text.into()))
    }
}

/// All rooms. Clones share them.
#[derive(Debug)]
pub struct Rooms<M> {
    senders: Arc<Mutex<HashMap<RoomName, broadcast::Sender<M>>>>,
}

/// There are as many rooms as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are too many rooms")]
pub struct TooManyRooms;

impl<M: Clone> Rooms<M> {
    /// No rooms.
    pub fn new() -> Self {
        Self { senders: Arc::default() }
    }

    /// Joins a room, which is made if there is none of this name.
    ///
    /// # Errors
    /// If it would be one room too many.
    pub fn join(&self, name: RoomName) -> Result<Membership<M>, TooManyRooms> {
        let mut senders = self.senders.lock();
        let count = senders.len();
        let sender = match senders.entry(name.clone()) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(_) if count >= MAX_ROOMS => return Err(TooManyRooms),
            hash_map::Entry::Vacant(entry) => entry.insert(broadcast::Sender::new(BACKLOG)),
        };
        Ok(Membership {
            receiver: Some(sender.subscribe()),
            sender: sender.clone(),
            name,
            rooms: self.clone(),
        })
    }

    /// Rooms now.
    pub fn count(&self) -> usize {
        self.senders.lock().len()
    }
}

impl<M: Clone> Default for Rooms<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Rooms<M> {
    fn clone(&self) -> Self {
        Self { senders: Arc::clone(&self.senders) }
    }
}

/// One member's place in a room, left by dropping it. The last one to leave
/// takes the room away.
#[derive(Debug)]
pub struct Membership<M> {
    /// `None` only while being dropped.
    receiver: Option<broadcast::Receiver<M>>,
    sender: broadcast::Sender<M>,
    name: RoomName,
    rooms: Rooms<M>,
}

/// What a member gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<M> {
    /// A message.
    Message(M),
    /// So many messages are gone that this member was too slow for.
    Missed(u64),
}

impl<M: Clone> Membership<M> {
    /// Sends to all members, the sender too.
    pub fn send(&self, message: M) {
        // Fails only without any receiver, and we hold one.
        let _ = self.sender.send(message);
    }

    /// What comes next. Cancel-safe.
    pub async fn receive(&mut self) -> Received<M> {
        if let Some(receiver) = &mut self.receiver {
            match receiver.recv().await {
                Ok(message) => return Received::Message(message),
                Err(broadcast::error::RecvError::Lagged(count)) => return Received::Missed(count),
                Err(broadcast::error::RecvError::Closed) => {}
            }
        }
        // Not reached: `self` holds both a receiver and a sender.
        std::future::pending().await
    }
}

impl<M> Drop for Membership<M> {
    fn drop(&mut self) {
        // Under the lock that `join` takes: nobody joins a room that goes.
        let mut senders = self.rooms.senders.lock();
        self.receiver = None;
        if self.sender.receiver_count() == 0 {
            senders.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RoomName {
        RoomName::parse(text).unwrap()
    }

    #[test]
    fn names_are_bounded() {
        assert!(RoomName::parse("Room_1-a").is_some());
        assert!(RoomName::parse(&"r".repeat(64)).is_some());
        for text in ["", "a b", "a/b", "é", &"r".repeat(65)] {
            assert!(RoomName::parse(text).is_none(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_message_reaches_all_members_of_its_room_only() {
        let rooms = Rooms::new();
        let mut one = rooms.join(name("a")).unwrap();
        let mut two = rooms.join(name("a")).unwrap();
        let mut other = rooms.join(name("b")).unwrap();

        one.send("hello");
        other.send("elsewhere");
        assert_eq!(one.receive().await, Received::Message("hello"));
        assert_eq!(two.receive().await, Received::Message("hello"));
        assert_eq!(other.receive().await, Received::Message("elsewhere"));
    }

    #[tokio::test]
    async fn a_slow_member_is_told_what_it_missed() {
        let rooms = Rooms::new();
        let mut member = rooms.join(name("a")).unwrap();
        for number in 0..BACKLOG + 3 {
            member.send(number);
        }
        assert_eq!(member.receive().await, Received::Missed(3));
        assert_eq!(member.receive().await, Received::Message(3));
    }

    #[test]
    fn the_last_member_takes_the_room_away() {
        let rooms = Rooms::<()>::new();
        let one = rooms.join(name("a")).unwrap();
        let two = rooms.join(name("a")).unwrap();
        drop(one);
        assert_eq!(rooms.count(), 1);
        drop(two);
        assert_eq!(rooms.count(), 0);
    }

    #[test]
    fn the_number_of_rooms_is_bounded() {
        let rooms = Rooms::<()>::new();
        let members: Vec<_> =
            (0..MAX_ROOMS).map(|index| rooms.join(name(&index.to_string())).unwrap()).collect();
        assert_eq!(rooms.join(name("more")).unwrap_err(), TooManyRooms);
        assert!(rooms.join(name("0")).is_ok(), "joining a room that is there still works");

        drop(members);
        assert!(rooms.join(name("more")).is_ok());
    }
}
