//! Rooms of several instances, and the nodes that carry their messages.

use std::time::{Duration, Instant};

use backend::metrics::Metrics;
use backend::rooms::{Membership, Message, Received, RoomName, Rooms};
use fleet::redis::{NODES, RedisCluster, Reply};

use crate::support::{cluster, eventually, settings};

/// A bus notices within three seconds that its node is gone, and then connects again; on a
/// machine with much else to do.
const RECOVERY: Duration = Duration::from_secs(10);

struct Instance {
    rooms: Rooms,
    metrics: Metrics,
}

impl Instance {
    fn start(cluster: &RedisCluster) -> Self {
        let metrics = Metrics::new("one", true).unwrap();
        let rooms = Rooms::shared(&settings(cluster), metrics.room_messages.clone()).unwrap();
        Self { rooms, metrics }
    }

    async fn connect(cluster: &RedisCluster) -> Self {
        let instance = Self::start(cluster);
        instance.wait_until(true).await;
        instance
    }

    fn is_up(&self) -> bool {
        self.metrics.room_messages.bus_up.get() == 1
    }

    async fn wait_until(&self, is_up: bool) {
        eventually("the bus", async || (self.is_up() == is_up).then_some(())).await;
    }

    async fn join(&self, room: &str) -> Membership {
        self.rooms.join(RoomName::parse(room).unwrap()).await.unwrap()
    }
}

fn text(text: impl ToString) -> Message {
    Message::Text(text.to_string().into())
}

async fn next(member: &mut Membership) -> Message {
    let received = tokio::time::timeout(RECOVERY, member.receive()).await;
    match received.expect("a message in time") {
        Received::Message(message) => message,
        Received::Missed(count) => panic!("missed {count}"),
    }
}

/// The node that an instance of these has its bus at.
fn node_of_a_bus(cluster: &RedisCluster) -> usize {
    let is_one = |&node: &usize| {
        let channels = ["PUBSUB", "CHANNELS", "fastnext:1:heartbeat:*"];
        cluster
            .ask(node, &channels)
            .is_ok_and(|reply| matches!(reply, Reply::Array(all) if !all.is_empty()))
    };
    (1..=NODES).find(is_one).expect("a node with a bus")
}

/// Says something at each instance until the other hears it.
async fn until_they_hear_each_other(one: &mut Membership, two: &mut Membership) {
    let start = Instant::now();
    let mut number = 0;
    for _ in 0..2 {
        loop {
            assert!(start.elapsed() < RECOVERY, "they do not hear each other");
            number += 1;
            let message = text(format!("again {number}"));
            one.send(message.clone());
            let hears = async { while next(two).await != message {} };
            if tokio::time::timeout(Duration::from_millis(100), hears).await.is_ok() {
                break;
            }
        }
        std::mem::swap(one, two);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_shared_by_all_instances() {
    let cluster = cluster();
    let one = Instance::connect(&cluster).await;
    let two = Instance::connect(&cluster).await;

    // Right after joining, again and again.
    for number in 0..50 {
        let room = format!("room-{number}");
        let mut here = one.join(&room).await;
        let mut there = two.join(&room).await;
        here.send(text(number));
        assert_eq!(next(&mut there).await, text(number));
        assert_eq!(next(&mut here).await, text(number));
    }

    let mut here = one.join("lobby").await;
    let mut beside = one.join("lobby").await;
    let mut there = two.join("lobby").await;
    let mut elsewhere = two.join("attic").await;
    for message in [
        text("Grüße"),
        text(""),
        Message::Binary(vec![0, 255].into()),
        Message::Binary(vec![7; 64 * 1024].into()),
    ] {
        here.send(message.clone());
        // To everybody once, in this order: an echo would come before the next.
        for member in [&mut here, &mut beside, &mut there] {
            assert_eq!(next(member).await, message);
        }
    }
    there.send(text("back"));
    for member in [&mut here, &mut beside, &mut there] {
        assert_eq!(next(member).await, text("back"));
    }
    let sender = one.join("attic").await;
    sender.send(text("up here"));
    assert_eq!(next(&mut elsewhere).await, text("up here"));

    // All of a flood in order, as long as it is read.
    for number in 0..2_000 {
        here.send(text(number));
        assert_eq!(next(&mut here).await, text(number));
        assert_eq!(next(&mut there).await, text(number));
        assert_eq!(next(&mut beside).await, text(number));
    }
    assert_eq!(one.metrics.room_messages.dropped.get(), 0);
    assert!(one.metrics.room_messages.published.get() > 2_000);
    assert!(two.metrics.room_messages.received.get() > 2_000);

    // Who has no members hears nothing.
    let subscribers = |room: &str| -> i64 {
        let channel = format!("fastnext:1:room:{room}");
        let nodes = 1..=NODES;
        let count = nodes.map(|node| match cluster.ask(node, &["PUBSUB", "NUMSUB", &channel]) {
            Ok(Reply::Array(parts)) => match parts[1] {
                Reply::Integer(count) => count,
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        count.sum()
    };
    assert_eq!(subscribers("lobby"), 2);
    drop(there);
    eventually("the room is left", async || (subscribers("lobby") == 1).then_some(())).await;
    drop((here, beside));
    eventually("the room is left", async || (subscribers("lobby") == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_or_dies_is_left() {
    let mut cluster = cluster();
    let one = Instance::connect(&cluster).await;
    let two = Instance::connect(&cluster).await;
    let (mut here, mut there) = (one.join("lobby").await, two.join("lobby").await);
    until_they_hear_each_other(&mut here, &mut there).await;

    let hung = node_of_a_bus(&cluster);
    cluster.pause(hung).unwrap();
    let start = Instant::now();
    eventually("it is noticed", async || (!one.is_up() || !two.is_up()).then_some(())).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    until_they_hear_each_other(&mut here, &mut there).await;
    cluster.resume(hung).unwrap();
    cluster.wait_until_whole().unwrap();
    until_they_hear_each_other(&mut here, &mut there).await;

    let dead = node_of_a_bus(&cluster);
    cluster.kill(dead).unwrap();
    until_they_hear_each_other(&mut here, &mut there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_node_rooms_are_of_their_instance() {
    let mut cluster = cluster();
    cluster.stop_all().unwrap();
    let one = Instance::start(&cluster);
    let two = Instance::start(&cluster);
    let start = Instant::now();
    let (mut here, mut there) = (one.join("lobby").await, two.join("lobby").await);
    assert!(start.elapsed() < Duration::from_millis(500), "nobody waits for what is not there");
    here.send(text("hello"));
    assert_eq!(next(&mut here).await, text("hello"));
    assert_eq!(one.metrics.room_messages.dropped.get(), 1);

    for node in 1..=NODES {
        cluster.restart(node).unwrap();
    }
    cluster.wait_until_whole().unwrap();
    one.wait_until(true).await;
    two.wait_until(true).await;
    // Rooms that were there before the bus are subscribed to.
    until_they_hear_each_other(&mut here, &mut there).await;
}
