//! The bus between the rooms of all instances: publish and subscribe of Redis.
//!
//! One node of the cluster is enough: the nodes pass what is published on to one another.
//! Each instance has two connections to the node of its choice, as one that is subscribed
//! cannot publish. It hears itself: a heartbeat that goes out over the one connection has to
//! come in over the other. When none does, or a connection ends, the next node has its turn.
//!
//! Messages are lost while there is no node, and while a node is not yet known to be gone:
//! rooms promise no more than that of what is sent now, all who can be reached get it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, PubSub, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::envelope::{decode, encode};
use super::{Message, RoomName, Shared};
use crate::cache::RedisSettings;
use crate::causes::chain;
use crate::metrics::RoomMetrics;

/// What channels of rooms begin with. The number changes with the envelope.
const ROOM_PREFIX: &str = "fastnext:1:room:";

/// What channels of heartbeats begin with.
const HEARTBEAT_PREFIX: &str = "fastnext:1:heartbeat:";

/// From one heartbeat to the next.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// How long a node may be silent until it counts as gone.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a node may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// From the end of one connection to the next, at first and at most.
const CONNECT_INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Messages that wait to be published: with the largest, 16 MiB.
pub(super) const QUEUE: usize = 256;

/// Messages that are published in one go.
const BATCH: usize = 64;

/// A message on its way to the other instances.
pub(super) type Outgoing = (RoomName, Message);

/// Carries messages between the rooms of this instance and those of the others.
pub(super) struct Bus {
    nodes: Vec<Client>,
    /// Who we are.
    instance: u128,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Outgoing>,
    metrics: RoomMetrics,
}

/// Why a node is left.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the connection failed")]
    Failed(#[from] RedisError),
    #[error("the connection ended")]
    Ended,
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
    #[error("no answer in {ANSWER_TIMEOUT:?}")]
    TooLate(#[from] tokio::time::error::Elapsed),
}

impl Bus {
    /// A bus over the nodes that `settings` name, not connected yet.
    pub(super) fn new(
        settings: &RedisSettings,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Outgoing>,
        metrics: RoomMetrics,
    ) -> Result<Self, RedisError> {
        let nodes = settings.nodes.iter().map(|node| {
            let address = ConnectionAddr::Tcp(node.name.clone(), node.port);
            let mut info = address.into_connection_info()?;
            if let Some(password) = &settings.password {
                let redis = info.redis_settings().clone().set_password(password.expose());
                info = info.set_redis_settings(redis);
            }
            Client::open(info)
        });
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok(Self { nodes, instance: fastrand::u128(..), shared, queue, metrics })
    }

    /// Goes from node to node, for ever.
    pub(super) async fn run(mut self) {
        let mut interval = CONNECT_INTERVAL.0;
        // Not all instances at the same node.
        let first = fastrand::usize(..self.nodes.len().max(1));
        for node in (0..self.nodes.len()).cycle().skip(first) {
            let lost = match self.connect(node).await {
                Ok(connection) => self.serve(connection).await,
                Err(error) => error,
            };
            self.drop_what_waits();
            self.shared.set_none_heard();
            // Said once: not for every node that is tried in vain.
            if self.metrics.bus_up.get() == 0 {
                tracing::debug!(error = chain(&lost), "no room bus");
                interval = (interval * 2).min(CONNECT_INTERVAL.1);
            } else {
                self.metrics.bus_up.set(0);
                tracing::warn!(
                    error = chain(&lost),
                    "lost the room bus; rooms are of this instance"
                );
                interval = CONNECT_INTERVAL.0;
            }
            sleep(interval.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    async fn connect(&self, node: usize) -> Result<(PubSub, MultiplexedConnection), Lost> {
        let client = &self.nodes[node];
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let connecting = async {
            let publisher = client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut subscriber = client.get_async_pubsub().await?;
            subscriber.subscribe(self.heartbeat_channel()).await?;
            Ok::<_, RedisError>((subscriber, publisher))
        };
        Ok(timeout(ANSWER_TIMEOUT, connecting).await??)
    }

    /// Until the node is lost.
    async fn serve(&mut self, connection: (PubSub, MultiplexedConnection)) -> Lost {
        let (subscriber, publisher) = connection;
        let (sink, stream) = subscriber.split();
        let Self { instance, shared, queue, metrics, .. } = self;
        let last_heard = Mutex::new(Instant::now());
        let in_transit = AtomicU64::new(0);
        let channel = format!("{HEARTBEAT_PREFIX}{instance:032x}");
        let lost = tokio::select! {
            lost = listen(stream, *instance, &channel, shared, metrics, &last_heard) => lost,
            lost = follow(sink, shared) => lost,
            lost = publish(publisher.clone(), *instance, queue, metrics, &in_transit) => lost,
            lost = beat(publisher, &channel, &last_heard) => lost,
        };
        metrics.dropped.inc_by(in_transit.load(Ordering::Relaxed));
        lost
    }

    fn heartbeat_channel(&self) -> String {
        format!("{HEARTBEAT_PREFIX}{:032x}", self.instance)
    }

    fn drop_what_waits(&mut self) {
        while self.queue.try_recv().is_ok() {
            self.metrics.dropped.inc();
        }
    }
}

/// Gives what comes from other instances to the members here.
async fn listen(
    mut stream: PubSubStream,
    instance: u128,
    heartbeat_channel: &str,
    shared: &Shared,
    metrics: &RoomMetrics,
    last_heard: &Mutex<Instant>,
) -> Lost {
    while let Some(received) = stream.next().await {
        let channel = received.get_channel_name();
        if channel == heartbeat_channel {
            *last_heard.lock() = Instant::now();
            if metrics.bus_up.get() == 0 {
                metrics.bus_up.set(1);
                tracing::info!("connected to the room bus");
            }
            continue;
        }
        let room = channel.strip_prefix(ROOM_PREFIX).and_then(RoomName::parse);
        let envelope = decode(received.get_payload_bytes());
        if let (Some(room), Some(envelope)) = (room, envelope)
            && envelope.sender != instance
        {
            metrics.received.inc();
            shared.deliver(&room, envelope.message);
        }
    }
    Lost::Ended
}

/// Is subscribed to the rooms that have members here, and to no others.
async fn follow(mut sink: PubSubSink, shared: &Shared) -> Lost {
    let mut heard = HashSet::new();
    loop {
        if let Err(lost) = subscribe_to(&mut sink, shared.names(), &mut heard).await {
            return lost;
        }
        shared.set_heard(&heard);
        shared.changed.notified().await;
    }
}

async fn subscribe_to(
    sink: &mut PubSubSink,
    wanted: HashSet<RoomName>,
    heard: &mut HashSet<RoomName>,
) -> Result<(), Lost> {
    let channels = |rooms: &[RoomName]| -> Vec<String> { rooms.iter().map(channel).collect() };
    let missing: Vec<RoomName> = wanted.difference(heard).cloned().collect();
    if !missing.is_empty() {
        timeout(ANSWER_TIMEOUT, sink.subscribe(channels(&missing))).await??;
        heard.extend(missing);
    }
    let left: Vec<RoomName> = heard.difference(&wanted).cloned().collect();
    if !left.is_empty() {
        timeout(ANSWER_TIMEOUT, sink.unsubscribe(channels(&left))).await??;
        heard.retain(|room| wanted.contains(room));
    }
    Ok(())
}

/// Publishes what members here send.
async fn publish(
    mut publisher: MultiplexedConnection,
    instance: u128,
    queue: &mut mpsc::Receiver<Outgoing>,
    metrics: &RoomMetrics,
    in_transit: &AtomicU64,
) -> Lost {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let count = batch.len() as u64;
        in_transit.store(count, Ordering::Relaxed);
        let mut pipeline = redis::pipe();
        for (room, message) in batch.drain(..) {
            let envelope = encode(instance, &message);
            pipeline.cmd("PUBLISH").arg(channel(&room)).arg(envelope).ignore();
        }
        if let Err(error) = pipeline.query_async::<()>(&mut publisher).await {
            return error.into();
        }
        metrics.published.inc_by(count);
        in_transit.store(0, Ordering::Relaxed);
    }
    // The queue has ended: there are no rooms any more.
    Lost::Ended
}

/// Sends heartbeats, and notices when none comes back.
async fn beat(
    mut publisher: MultiplexedConnection,
    channel: &str,
    last_heard: &Mutex<Instant>,
) -> Lost {
    loop {
        let mut heartbeat = redis::cmd("PUBLISH");
        heartbeat.arg(channel).arg("");
        if let Err(error) = heartbeat.query_async::<()>(&mut publisher).await {
            return error.into();
        }
        sleep(HEARTBEAT_INTERVAL).await;
        if last_heard.lock().elapsed() > SILENCE {
            return Lost::Silent;
        }
    }
}

fn channel(room: &RoomName) -> String {
    format!("{ROOM_PREFIX}{}", room.as_str())
}
