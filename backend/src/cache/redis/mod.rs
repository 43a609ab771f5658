//! The cache in a Redis Cluster.
//!
//! A value is stored behind the 16 hexadecimal digits of its position: their order as text
//! is that of the numbers, and a script compares and writes in one step. Every operation
//! has one key, and so one node, and ends within [`OPERATION_TIMEOUT`].
//!
//! The process starts without the cluster and finds it when it comes.

mod circuit;
mod link;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Cache, CacheError, Entry};
use crate::causes::chain;
use crate::host::Host;
use crate::metrics::CacheMetrics;
use crate::secret::Secret;
use crate::store::Position;
use circuit::{Circuits, slot};
use link::{Link, Outcome};
use pulse::Pulse;

/// What any operation takes at most, redirects and repetitions included.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(500);

/// What our keys begin with. The number changes with the format of what is stored, so that
/// instances of two releases do not read each other's.
const PREFIX: &str = "fastnext:1:";

/// Digits of a position.
const POSITION_LENGTH: usize = 16;

/// How often the cluster is asked whether it is there, when nobody else does.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// From one look at a troubled cluster to the next, at least.
const TROUBLE_INTERVAL: Duration = Duration::from_millis(250);

/// From one attempt to connect to the next, at first and at most.
const CONNECT_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Writes ARGV[1] (position) and ARGV[2] (value) for ARGV[3] milliseconds, unless what is
/// there is newer; with ARGV[4] = "newer" only if it is older. What has no position, or is
/// no string, counts as nothing. It is read first: only the digits, not the whole value.
const WRITE: &str = "\
local held = redis.pcall('GETRANGE', KEYS[1], 0, 15)
if type(held) == 'string' and #held == 16 and not string.find(held, '[^0-9a-f]') then
  if held > ARGV[1] or (held == ARGV[1] and ARGV[4] == 'newer') then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1";

/// Where the Redis Cluster is.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Some of its nodes, at least one.
    pub nodes: Vec<Host>,
    /// The password of all nodes.
    pub password: Option<Secret<String>>,
}

/// A Redis Cluster.
pub struct RedisCache {
    inner: Arc<Inner>,
    watch: JoinHandle<()>,
}

struct Inner {
    link: Link,
    circuits: Circuits,
    pulse: Pulse,
    write: Script,
    metrics: CacheMetrics,
    /// Told when keys fail that did not before.
    trouble: Notify,
}

/// What may be replaced.
#[derive(Debug, Clone, Copy)]
enum Replace {
    Older,
    OlderOrSame,
}

impl RedisCache {
    /// The cluster that `settings` name. Connects in the background, for as long as this
    /// lives.
    ///
    /// # Errors
    /// If the settings are none that one could connect with.
    pub fn new(settings: &RedisSettings, metrics: CacheMetrics) -> Result<Self, CacheError> {
        let inner = Arc::new(Inner {
            link: Link::new(settings).map_err(failed)?,
            circuits: Circuits::new(),
            pulse: Pulse::new(),
            write: Script::new(WRITE),
            metrics,
            trouble: Notify::new(),
        });
        let watch = tokio::spawn(watch(Arc::clone(&inner)));
        Ok(Self { inner, watch })
    }
}

impl Drop for RedisCache {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn find(&self, key: &str) -> Result<Option<Entry>, CacheError> {
        let key = prefixed(key);
        let found: Option<Bytes> = self
            .inner
            .run(&key, async |connection| {
                let found = redis::cmd("GET").arg(&key).query_async(connection).await;
                match found {
                    Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                    found => found,
                }
            })
            .await?;
        Ok(found.and_then(|stored| decode(&stored)))
    }

    async fn fill(
        &self,
        key: &str,
        entry: Entry,
        time_to_live: Duration,
    ) -> Result<(), CacheError> {
        self.inner.write(key, &entry, time_to_live, Replace::Older).await
    }

    async fn replace(
        &self,
        key: &str,
        entry: Entry,
        time_to_live: Duration,
    ) -> Result<(), CacheError> {
        self.inner.write(key, &entry, time_to_live, Replace::OlderOrSame).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.inner.ping().await
    }
}

impl Inner {
    /// Does something with a key, unless its part of the cluster rests.
    async fn run<T>(
        &self,
        key: &str,
        operation: impl AsyncFnOnce(
            &mut redis::cluster_async::ClusterConnection,
        ) -> Result<T, RedisError>,
    ) -> Result<T, CacheError> {
        let Some(mut connection) = self.link.connection() else {
            return Err(Unavailable::NotConnected.into());
        };
        let Some(passage) = self.circuits.enter(slot(key.as_bytes())) else {
            return Err(Unavailable::Resting.into());
        };
        let started = Instant::now();
        // The library bounds what its nodes take, but not its own search for them.
        let result = timeout(OPERATION_TIMEOUT, operation(&mut connection)).await;
        self.metrics.answered(started.elapsed());
        match result {
            Ok(Ok(value)) => {
                passage.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => {
                self.note_failure(passage);
                Err(failed(error))
            }
            Err(_) => {
                self.note_failure(passage);
                Err(Unavailable::TooLate.into())
            }
        }
    }

    fn note_failure(&self, passage: circuit::Passage<'_>) {
        if passage.failed() {
            self.trouble.notify_one();
        }
    }

    async fn write(
        &self,
        key: &str,
        entry: &Entry,
        time_to_live: Duration,
        replace: Replace,
    ) -> Result<(), CacheError> {
        let key = prefixed(key);
        let millis = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            // Redis refuses it, and it is over already.
            return Ok(());
        }
        let position = encode(entry.position);
        let command = |name: &str, script: &str| -> Cmd {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(&key).arg(&position).arg(&*entry.value).arg(millis);
            command.arg(match replace {
                Replace::Older => "newer",
                Replace::OlderOrSame => "newer or same",
            });
            command
        };
        self.run(&key, async |connection| {
            let by_hash = command("EVALSHA", self.write.get_hash());
            let result: Result<(), RedisError> = execute(&by_hash, connection).await;
            match result {
                // With the text, on the node of the key only: the library's way to load a
                // script waits for all nodes, and fails if one is down.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    execute(&command("EVAL", WRITE), connection).await
                }
                result => result,
            }
        })
        .await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        let result = match self.link.connection() {
            Some(connection) => self.pulse.feel(&connection).await,
            None => Err(Unavailable::NotConnected),
        };
        self.metrics.set_up(result.is_ok());
        result.map_err(CacheError::from)
    }
}

/// Connects, and looks after the connection; for ever.
async fn watch(inner: Arc<Inner>) {
    loop {
        connect(&inner).await;
        look_after(&inner).await;
        inner.metrics.set_up(false);
        tracing::warn!("redis does not answer; going on without it");
    }
}

async fn connect(inner: &Inner) {
    let (mut interval, longest) = CONNECT_INTERVAL;
    let mut last_error = String::new();
    while let Err(error) = inner.link.connect().await {
        let error = chain(&error);
        // What is wrong is said once, not every two seconds.
        if error == last_error {
            tracing::debug!(error, "cannot connect to redis");
        } else {
            tracing::warn!(error, "cannot connect to redis");
            last_error = error;
        }
        // Not in step with the other instances.
        sleep(interval.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        interval = (interval * 2).min(longest);
    }
    tracing::info!("connected to redis");
    // Whether that is of any use.
    let _ = inner.ping().await;
}

/// Until the connection is lost.
async fn look_after(inner: &Inner) {
    loop {
        tokio::select! {
            () = sleep(WATCH_INTERVAL) => {}
            () = inner.trouble.notified() => {}
        }
        let is_up = inner.ping().await.is_ok();
        if is_up && inner.pulse.is_even() && !inner.circuits.is_any_open() {
            continue;
        }
        match inner.link.reconsider().await {
            Outcome::Same => tracing::debug!("parts of redis do not answer"),
            Outcome::Renewed => tracing::info!("the slots of redis have moved; connected again"),
            Outcome::Lost => return,
        }
        sleep(TROUBLE_INTERVAL).await;
    }
}

async fn execute<T: FromRedisValue>(
    command: &Cmd,
    connection: &mut redis::cluster_async::ClusterConnection,
) -> Result<T, RedisError> {
    command.query_async(connection).await
}

/// Why nothing was asked, or nothing answered.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Unavailable {
    #[error("not connected")]
    NotConnected,
    #[error("did not answer a moment ago; asked again soon")]
    Resting,
    #[error("did not answer in {OPERATION_TIMEOUT:?}")]
    TooLate,
    #[error("most of the cluster does not answer")]
    MostlyDown,
    #[error("a part of the cluster has not answered for too long")]
    PartlyDown,
}

impl From<Unavailable> for CacheError {
    fn from(error: Unavailable) -> Self {
        Self(error.into())
    }
}

fn failed(error: RedisError) -> CacheError {
    CacheError(error.into())
}

fn prefixed(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn encode(position: Position) -> String {
    format!("{:0POSITION_LENGTH$x}", position.bytes())
}

/// `None` if it is not of our making.
fn decode(stored: &Bytes) -> Option<Entry> {
    let digits = stored.get(..POSITION_LENGTH)?;
    if !digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let position = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let value = stored.slice(POSITION_LENGTH..);
    Some(Entry { position: Position::from_bytes(position), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_begins_with_its_position() {
        let position = Position::parse("16/B374D848").unwrap();
        let stored = Bytes::from(format!("{}{{}}", encode(position)));
        assert_eq!(stored, "00000016b374d848{}");
        assert_eq!(decode(&stored), Some(Entry { position, value: Bytes::from_static(b"{}") }));
    }

    #[test]
    fn the_order_of_positions_is_that_of_their_digits() {
        let texts =
            [0, 9, 10, 0xff, 0x100, u64::MAX].map(|bytes| encode(Position::from_bytes(bytes)));
        assert!(texts.is_sorted());
        assert!(texts.iter().all(|text| text.len() == POSITION_LENGTH));
    }

    #[test]
    fn what_is_not_of_our_making_is_nothing() {
        for stored in ["", "{}", "00000016b374d84", "00000016B374D848{}", "+0000016b374d848{}"] {
            assert_eq!(decode(&Bytes::from_static(stored.as_bytes())), None, "{stored}");
        }
    }
}
