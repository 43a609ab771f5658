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
            if !pool.get(&key)?.iter().all(|kept| kept.connection.is_movable()) {
                return None;
            }
            let taken = take_from(&mut pool, key, now)?;
            drop(pool);
            // Err: it cannot be moved; it is closed.
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
        if connection.open.endpoint().is_retired() {
            return;
        }
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
                list.retain_mut(|kept| {
                    kept.until > now
                        && !kept.connection.open.endpoint().is_retired()
                        && kept.connection.is_quiet()
                });
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::connection::{Open, Socket, Stream};
    use super::*;
    use crate::compile::compile_text;
    use crate::snapshot::Registry;

    /// An upstream that keeps two idle connections, and what it is connected to.
    async fn upstream() -> (Arc<Upstream>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let yaml = format!(
            r#"
version: 1
listeners: {{ http: {{ bind: ["127.0.0.1:80"] }} }}
upstreams:
  api:
    endpoints: [{{ address: "{}" }}]
    keepalive: {{ max_idle: 2, idle_timeout: 60s }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#,
            listener.local_addr().unwrap()
        );
        let compiled = compile_text(&yaml, Path::new("."), &|_| None, &Registry::default());
        (Arc::clone(&compiled.snapshot.unwrap().upstreams[0]), listener)
    }

    async fn connect(upstream: &Upstream, listener: &TcpListener) -> (Connection, TcpStream) {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (other_end, _) = listener.accept().await.unwrap();
        let open = Open::new(&upstream.members().endpoints[0].state);
        (Connection { stream: Stream::Clear(Socket::Tcp(stream)), tag: 0, open }, other_end)
    }

    fn port(connection: &Connection) -> SocketAddr {
        match &connection.stream {
            Stream::Clear(Socket::Tcp(stream)) => stream.local_addr().unwrap(),
            _ => unreachable!(),
        }
    }

    #[tokio::test]
    async fn the_last_comes_first_and_siblings_lend_theirs() {
        let (upstream, listener) = upstream().await;
        let pools = Pools::new(3);
        let now = Instant::now();
        let key = Key::new(&upstream.members().endpoints[0].state, 0);
        assert!(pools.take(0, key, now).is_none());
        let (first, _first) = connect(&upstream, &listener).await;
        let (second, _second) = connect(&upstream, &listener).await;
        let ports = (port(&first), port(&second));
        pools.keep(1, first, &upstream, now);
        pools.keep(1, second, &upstream, now);
        assert_eq!(port(&pools.take(1, key, now).unwrap()), ports.1);
        let mut lent = pools.take(2, key, now).unwrap();
        assert_eq!(port(&lent), ports.0);
        // It works where it is now.
        lent.stream.write_all(b"x").await.unwrap();
        assert!(pools.take(1, key, now).is_none());
        assert!(pools.take(1, Key::new(&upstream.members().endpoints[0].state, 7), now).is_none());
    }

    #[tokio::test]
    async fn max_idle_is_over_all_workers_and_the_oldest_goes() {
        let (upstream, listener) = upstream().await;
        let pools = Pools::new(2);
        let now = Instant::now();
        let mut ends = Vec::new();
        let mut ports = Vec::new();
        for worker in [0, 1, 1] {
            let (connection, end) = connect(&upstream, &listener).await;
            ends.push(end);
            ports.push(port(&connection));
            pools.keep(worker, connection, &upstream, now);
        }
        assert_eq!(upstream.shared.idle_connections(), 2);
        assert_eq!(upstream.members().endpoints[0].state.connections(), 2);
        let key = Key::new(&upstream.members().endpoints[0].state, 0);
        let left: Vec<SocketAddr> =
            std::iter::from_fn(|| pools.take(0, key, now)).map(|kept| port(&kept)).collect();
        assert_eq!(left, [ports[0], ports[2]], "the older of the full worker's went");
        assert_eq!(upstream.shared.idle_connections(), 0);
        assert_eq!(upstream.members().endpoints[0].state.connections(), 0);
    }

    #[tokio::test]
    async fn what_was_closed_or_spoken_to_or_is_too_old_is_not_used() {
        let (upstream, listener) = upstream().await;
        let pools = Pools::new(1);
        let now = Instant::now();
        let key = Key::new(&upstream.members().endpoints[0].state, 0);
        for said in [None, Some(&b"HTTP/1.1 408 Request Timeout\r\n\r\n"[..])] {
            let (connection, mut end) = connect(&upstream, &listener).await;
            pools.keep(0, connection, &upstream, now);
            match said {
                Some(said) => end.write_all(said).await.unwrap(),
                None => end.shutdown().await.unwrap(),
            }
            // The runtime hears of it.
            let patience = Instant::now() + Duration::from_secs(10);
            while !pools.workers[0]
                .lock()
                .values_mut()
                .flatten()
                .all(|kept| !kept.connection.is_quiet())
            {
                assert!(Instant::now() < patience);
                tokio::task::yield_now().await;
            }
            assert!(pools.take(0, key, now).is_none());
        }
        let (connection, _end) = connect(&upstream, &listener).await;
        pools.keep(0, connection, &upstream, now);
        assert!(pools.take(0, key, now + Duration::from_secs(61)).is_none());
        assert_eq!(upstream.members().endpoints[0].state.connections(), 0);
    }
}
