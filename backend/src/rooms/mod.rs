//! Broadcast rooms: what one member sends, all members get; those of this process at once,
//! those of the other instances over the bus, if there is one.
//!
//! Everything is bounded: the rooms, what each keeps for members that read slowly, and what
//! waits for the bus. Such a member misses messages and is told how many; nobody waits for
//! it, nor for the bus.

mod bus;
mod envelope;

use std::collections::{HashMap, HashSet, hash_map};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::cache::RedisSettings;
use crate::metrics::RoomMetrics;
use bus::{Bus, Outgoing, QUEUE};

/// Rooms at once. Together with [`BACKLOG`] and messages of 64 KiB this bounds
/// the memory of all rooms to 512 MiB, should every one be full of them.
const MAX_ROOMS: usize = 256;

/// Messages that a room keeps for its slowest member.
const BACKLOG: usize = 32;

/// The longest name of a room.
const MAX_NAME_LENGTH: usize = 64;

/// How long joining waits until the room's messages come from the other instances too.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

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

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is sent in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// All rooms. Clones share them.
#[derive(Debug, Clone)]
pub struct Rooms {
    shared: Arc<Shared>,
    /// Ends the bus with the last of the rooms' users.
    _bus: Option<Arc<AbortOnDrop>>,
}

#[derive(Debug)]
struct Shared {
    rooms: Mutex<HashMap<RoomName, Room>>,
    outbox: Option<Outbox>,
    /// Told when a room has come or gone.
    changed: Notify,
}

#[derive(Debug)]
struct Room {
    sender: broadcast::Sender<Message>,
    /// Whether messages come from the other instances.
    is_heard: watch::Sender<bool>,
}

/// The way to the other instances.
#[derive(Debug)]
struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    metrics: RoomMetrics,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// There are as many rooms as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are too many rooms")]
pub struct TooManyRooms;

/// There is no way to reach the other instances.
#[derive(Debug, thiserror::Error)]
#[error("rooms cannot be shared")]
pub struct BusError(#[source] Box<dyn Error + Send + Sync>);

impl Rooms {
    /// Rooms of this process alone.
    pub fn local() -> Self {
        Self { shared: Arc::new(Shared::new(None)), _bus: None }
    }

    /// Rooms that all instances with the same Redis Cluster share. While it is away, they
    /// are of this process alone.
    ///
    /// # Errors
    /// If the settings are none that one could connect with.
    pub fn shared(settings: &RedisSettings, metrics: RoomMetrics) -> Result<Self, BusError> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let outbox = Outbox { queue: sender, metrics: metrics.clone() };
        let shared = Arc::new(Shared::new(Some(outbox)));
        let bus = Bus::new(settings, Arc::clone(&shared), queue, metrics)
            .map_err(|error| BusError(error.into()))?;
        let bus = AbortOnDrop(tokio::spawn(bus.run()).abort_handle());
        Ok(Self { shared, _bus: Some(Arc::new(bus)) })
    }

    /// Joins a room, which is made if there is none of this name. Who has joined gets what
    /// is sent from then on, by members at other instances too; unless Redis takes more than
    /// a second to confirm that, or is away.
    ///
    /// # Errors
    /// If it would be one room too many.
    pub async fn join(&self, name: RoomName) -> Result<Membership, TooManyRooms> {
        let (membership, mut is_heard) = self.enter(name)?;
        if self.shared.outbox.as_ref().is_some_and(Outbox::is_up) {
            // Too late, or the bus is gone: a member of what there is.
            let _ = timeout(JOIN_TIMEOUT, is_heard.wait_for(|is_heard| *is_heard)).await;
        }
        Ok(membership)
    }

    fn enter(&self, name: RoomName) -> Result<(Membership, watch::Receiver<bool>), TooManyRooms> {
        let mut rooms = self.shared.rooms.lock();
        let count = rooms.len();
        let room = match rooms.entry(name.clone()) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(_) if count >= MAX_ROOMS => return Err(TooManyRooms),
            hash_map::Entry::Vacant(entry) => {
                self.shared.changed.notify_one();
                entry.insert(Room {
                    sender: broadcast::Sender::new(BACKLOG),
                    is_heard: watch::Sender::new(false),
                })
            }
        };
        let membership = Membership {
            receiver: Some(room.sender.subscribe()),
            sender: room.sender.clone(),
            name,
            rooms: self.clone(),
        };
        Ok((membership, room.is_heard.subscribe()))
    }

    /// Rooms now.
    pub fn count(&self) -> usize {
        self.shared.rooms.lock().len()
    }
}

impl Shared {
    fn new(outbox: Option<Outbox>) -> Self {
        Self { rooms: Mutex::default(), outbox, changed: Notify::new() }
    }

    /// The rooms that there are.
    fn names(&self) -> HashSet<RoomName> {
        self.rooms.lock().keys().cloned().collect()
    }

    /// Gives members here what came from another instance.
    fn deliver(&self, name: &RoomName, message: Message) {
        if let Some(room) = self.rooms.lock().get(name) {
            // Fails without any receiver: the last one is just leaving.
            let _ = room.sender.send(message);
        }
    }

    /// Messages of these rooms come from the other instances.
    fn set_heard(&self, names: &HashSet<RoomName>) {
        for (name, room) in &*self.rooms.lock() {
            room.is_heard.send_replace(names.contains(name));
        }
    }

    /// Messages come from the other instances for all rooms, or for none.
    fn set_none_heard(&self) {
        self.set_heard(&HashSet::new());
    }
}

impl Outbox {
    fn is_up(&self) -> bool {
        self.metrics.bus_up.get() != 0
    }

    /// Does not wait: what there is no room for is dropped.
    fn publish(&self, room: RoomName, message: Message) {
        if !self.is_up() || self.queue.try_send((room, message)).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

/// One member's place in a room, left by dropping it. The last one to leave
/// takes the room away.
#[derive(Debug)]
pub struct Membership {
    /// `None` only while being dropped.
    receiver: Option<broadcast::Receiver<Message>>,
    sender: broadcast::Sender<Message>,
    name: RoomName,
    rooms: Rooms,
}

/// What a member gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Message),
    /// So many messages are gone that this member was too slow for.
    Missed(u64),
}

impl Membership {
    /// Sends to all members, the sender too.
    pub fn send(&self, message: Message) {
        if let Some(outbox) = &self.rooms.shared.outbox {
            outbox.publish(self.name.clone(), message.clone());
        }
        // Fails only without any receiver, and we hold one.
        let _ = self.sender.send(message);
    }

    /// What comes next. Cancel-safe.
    pub async fn receive(&mut self) -> Received {
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

impl Drop for Membership {
    fn drop(&mut self) {
        // Under the lock that `join` takes: nobody joins a room that goes.
        let mut rooms = self.rooms.shared.rooms.lock();
        self.receiver = None;
        if self.sender.receiver_count() == 0 {
            rooms.remove(&self.name);
            self.rooms.shared.changed.notify_one();
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

    fn text(text: &str) -> Message {
        Message::Text(text.into())
    }

    #[tokio::test]
    async fn a_message_reaches_all_members_of_its_room_only() {
        let rooms = Rooms::local();
        let mut one = rooms.join(name("a")).await.unwrap();
        let mut two = rooms.join(name("a")).await.unwrap();
        let mut other = rooms.join(name("b")).await.unwrap();

        one.send(text("hello"));
        other.send(text("elsewhere"));
        assert_eq!(one.receive().await, Received::Message(text("hello")));
        assert_eq!(two.receive().await, Received::Message(text("hello")));
        assert_eq!(other.receive().await, Received::Message(text("elsewhere")));
    }

    #[tokio::test]
    async fn a_slow_member_is_told_what_it_missed() {
        let rooms = Rooms::local();
        let mut member = rooms.join(name("a")).await.unwrap();
        for number in 0..BACKLOG + 3 {
            member.send(text(&number.to_string()));
        }
        assert_eq!(member.receive().await, Received::Missed(3));
        assert_eq!(member.receive().await, Received::Message(text("3")));
    }

    #[tokio::test]
    async fn the_last_member_takes_the_room_away() {
        let rooms = Rooms::local();
        let one = rooms.join(name("a")).await.unwrap();
        let two = rooms.join(name("a")).await.unwrap();
        drop(one);
        assert_eq!(rooms.count(), 1);
        drop(two);
        assert_eq!(rooms.count(), 0);
    }

    #[tokio::test]
    async fn the_number_of_rooms_is_bounded() {
        let rooms = Rooms::local();
        let mut members = Vec::new();
        for index in 0..MAX_ROOMS {
            members.push(rooms.join(name(&index.to_string())).await.unwrap());
        }
        assert_eq!(rooms.join(name("more")).await.unwrap_err(), TooManyRooms);
        assert!(rooms.join(name("0")).await.is_ok(), "joining a room that is there still works");

        drop(members);
        assert!(rooms.join(name("more")).await.is_ok());
    }
}
