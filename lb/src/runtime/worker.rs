//! Workers: one thread each, one runtime each, nothing shared on the hot path.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::pingora::server::ShutdownWatch;
use tokio::sync::{mpsc, watch};

use crate::engine::lane::Pools;
use crate::engine::{Engine, Shared};
use crate::listener::{AcceptContext, ListenerShare, Socket, accept};
use crate::policy::ListenerId;
use crate::timer;

/// What one worker accepts on.
pub(super) struct WorkerSockets {
    pub(super) sockets: Vec<(ListenerId, crate::listener::Bound)>,
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Serving.
    No,
    /// No new connections; open ones finish.
    Drain,
    /// Now.
    Now,
}

/// Starts a worker.
pub(super) fn spawn(
    index: usize,
    pools: Arc<Pools>,
    sockets: WorkerSockets,
    shares: Arc<[ListenerShare]>,
    shared: Arc<Shared>,
    stop: watch::Receiver<Stop>,
    shutdown: ShutdownWatch,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        runtime.block_on(work(index, pools, sockets, &shares, &shared, stop, shutdown));
        // What is still open after the drain is cut here, and some of it has a line to
        // write.
        runtime.shutdown_background();
        shared.access_log.flush_worker();
    })
}

async fn work(
    index: usize,
    pools: Arc<Pools>,
    sockets: WorkerSockets,
    shares: &[ListenerShare],
    shared: &Arc<Shared>,
    mut stop: watch::Receiver<Stop>,
    shutdown: ShutdownWatch,
) {
    let engine = Arc::new(Engine::new(Arc::clone(shared), Arc::clone(&pools), index));
    let sweeping = Arc::clone(&engine);
    tokio::spawn(async move { sweeping.lane.sweep().await });
    let (alive, mut all_closed) = mpsc::channel::<()>(1);
    let snapshot = Arc::clone(&shared.live().snapshot);
    for (id, bound) in sockets.sockets {
        let socket: Socket = match bound.into_socket() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "a socket cannot enter its worker");
                continue;
            }
        };
        let listener = &snapshot.listeners[id.0 as usize];
        let context = AcceptContext::new(
            id,
            listener,
            &shares[id.0 as usize],
            Arc::clone(&engine),
            &shared.metrics,
            shutdown.clone(),
            alive.clone(),
        );
        tokio::spawn(accept(socket, Arc::new(context)));
    }
    drop(alive);

    // Err: the process's main thread is gone, and with it every reason to go on.
    let _ = stop.wait_for(|stop| *stop != Stop::No).await;
    // What is idle has only its alarm.
    timer::wake_all();
    tokio::select! {
        // None: the last connection has ended.
        _ = all_closed.recv() => {}
        _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
    }
    // While there is a runtime that they belong to.
    pools.clear(index);
}
