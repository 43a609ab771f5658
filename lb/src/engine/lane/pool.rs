//! Idle connections to endpoints.
//!
//! Each worker keeps its own and takes the one first that came last: what was
//! used a moment ago is least likely to be stale, and what is not needed ages
//! and goes. A worker that has none asks its siblings before it dials.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::connection::Connection;
use crate::upstream::{EndpointState, Idle, Upstream};

/// Between two looks at all idle connections of a worker.
const SWEEP: Duration = Duration::from_secs(1);

/// The idle connections of all workers.
#[derive(Debug)]
pub struct Pools {
    /// By worker. A lock is its worker's own but for the moments in which a
    /// sibling asks, and siblings do not wait for it.
    workers: Box<[Mutex<Pool>]>,
}

type Pool = HashMap<Key, Vec<Kept>, FixedState>;

/// Connections of one key are as good as each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The address of the endpoint's state, which every kept connection holds.
    endpoint: usize,
    /// 0, or a hash of what else makes connections differ: what was said in
    /// their PROXY header, the TLS that they speak.
    tag: u64,
}

impl Key {
    pub(super) fn new(endpoint: &Arc<EndpointState>, tag: u64) -> Self {
        Self { endpoint: Arc::as_ptr(endpoint).addr(), tag }
    }
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    until: Instant,
    /// Counts it against `max_idle`.
    _idle: Idle,
}

impl Pools {
    /// Pools for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// How many workers share them.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A connection that is still good, of this worker or of a sibling.
    pub(super) fn take(&self, worker: usize, key: Key, now: Instant) -> Option<Connection> {
        take_from(&mut self.workers[worker].lock(), key, now)
            .or_else(|| self.take_from_siblings(worker, key, now))
    }

    fn take_from_siblings(&self, worker: usize, key: Key, now: Instant) -> Option<Connection> {
        let count = self.workers.len();
        (1..count).find_map(|step| {
            let mut pool = self.workers[(worker + step) % count].try_lock()?;
            let taken = take_from(&mut pool, key, now)?;
            drop(pool);
            taken.adopt().ok()
        })
    }

    /// Keeps a connection that carried a response to its end, if there is room:
    /// `max_idle` of the upstream, over all workers. Otherwise one that was idle
    /// for longer goes, or this one.
    pub(super) fn keep(
        &self,
        worker: usize,
        connection: Connection,
        upstream: &Upstream,
        now: Instant,
    ) {
        let key = Key::new(connection.open.endpoint(), connection.tag);
        let Some(until) = now.checked_add(upstream.idle_timeout) else { return };
        let mut pool = self.workers[worker].lock();
        let idle = match upstream.shared.idle(upstream.max_idle) {
            Some(idle) => idle,
            None => {
                let Some(list) = pool.get_mut(&key).filter(|list| !list.is_empty()) else { return };
                list.remove(0)._idle
            }
        };
        pool.entry(key).or_default().push(Kept { connection, until, _idle: idle });
    }

    /// Closes the idle connections of a worker that are over their time, or that
    /// the endpoint has closed. Runs as long as the worker.
    pub async fn sweep(&self, worker: usize) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.workers[worker].lock().retain(|_, list| {
                list.retain_mut(|kept| kept.until > now && kept.connection.is_quiet());
                !list.is_empty()
            });
        }
    }

    /// Closes all idle connections of a worker, on its own thread.
    pub fn clear(&self, worker: usize) {
        let pool = std::mem::take(&mut *self.workers[worker].lock());
        drop(pool);
    }
}

fn take_from(pool: &mut Pool, key: Key, now: Instant) -> Option<Connection> {
    let list = pool.get_mut(&key)?;
    while let Some(mut kept) = list.pop() {
        if kept.until > now && kept.connection.is_quiet() {
            return Some(kept.connection);
        }
    }
    None
}
