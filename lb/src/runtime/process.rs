//! From a snapshot to a serving process, and to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::signals::{Signals, Wish};
use super::worker::{self, Stop, WorkerSockets};
use super::{certificates, descriptors};
use crate::admin::{StatusError, bind_status, serve_status};
use crate::engine::lane::Pools;
use crate::engine::{Live, Shared};
use crate::listener::{self, BindError, Gate, ListenerShare, Room};
use crate::observe::{AccessLog, AccessLogError, Metrics, SnapshotGauges, SnapshotSource};
use crate::policy::ListenerId;
use crate::snapshot::Snapshot;
use crate::upstream::Checker;

/// The process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The status server's address is taken or not ours.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The access log cannot be opened.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// Threads, runtimes or signals cannot be had.
    #[error("the process cannot start: {0}")]
    System(#[from] io::Error),
}

/// Serves until told to stop. Must be called on the main thread, outside any
/// runtime. `started` runs when every socket is bound and every worker runs.
pub fn run(snapshot: Snapshot, started: impl FnOnce() -> io::Result<()>) -> Result<(), StartError> {
    let snapshot = Arc::new(snapshot);
    let process = snapshot.process.clone();

    let files = descriptors::raise_limit();
    let room = descriptors::room(process.max_connections, files);
    tracing::info!(max_connections = room, open_files = files, "limits");
    let room = Arc::new(Room::new(room));

    // Everything that can fail for the operator's reasons comes first.
    let mut workers: Vec<WorkerSockets> =
        (0..process.workers).map(|_| WorkerSockets { sockets: Vec::new() }).collect();
    for (index, listener) in snapshot.listeners.iter().enumerate() {
        let id = ListenerId(index as u32);
        for sockets in listener::bind(id, listener, process.workers)? {
            tracing::info!(listener = %listener.name, address = %sockets.address, "listening");
            for (worker, socket) in workers.iter_mut().zip(sockets.per_worker) {
                worker.sockets.push((id, socket));
            }
        }
    }
    let status = bind_status(process.status)?;
    let status_address = status.local_addr()?;
    let metrics = Metrics::default();
    let access_log = AccessLog::open(&process.access_log, metrics.access_log_dropped.clone())?;
    let live = Live::new(Arc::clone(&snapshot), &metrics);
    let shared = Arc::new(Shared::new(live, metrics, access_log));
    let source: Arc<dyn SnapshotSource> = Arc::clone(&shared) as _;
    match SnapshotGauges::new(source) {
        Ok(gauges) => shared.metrics.register(Box::new(gauges)),
        Err(error) => tracing::error!(%error, "endpoint gauges are missing"),
    }

    let shares: Arc<[ListenerShare]> = snapshot
        .listeners
        .iter()
        .map(|listener| ListenerShare {
            gate: Arc::new(Gate::new(
                Arc::clone(&room),
                descriptors::for_clients(files),
                &listener.connections.limits,
            )),
            closings: Arc::new(shared.metrics.closings(&listener.name)),
        })
        .collect();

    let (stop, stop_watch) = watch::channel(Stop::No);
    let (shutdown, shutdown_watch) = watch::channel(false);
    let count = workers.len();
    let pools = Arc::new(Pools::new(count));
    let threads = workers
        .into_iter()
        .enumerate()
        .map(|(index, sockets)| {
            worker::spawn(
                index,
                Arc::clone(&pools),
                sockets,
                Arc::clone(&shares),
                Arc::clone(&shared),
                stop_watch.clone(),
                shutdown_watch.clone(),
            )
        })
        .collect::<io::Result<Vec<_>>>()?;

    // The workers' copies are the ones whose end is waited for.
    drop((stop_watch, shutdown_watch));

    // Checks, status and signals have a runtime of their own: however busy the
    // workers are, the process still answers and still hears.
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    control.block_on(async {
        let mut signals = Signals::listen()?;
        let _checker = Checker::start(&snapshot.upstreams);
        let _certificates = certificates::watch(&snapshot, &shared.metrics);
        tokio::spawn(serve_status(status, Arc::clone(&shared)));
        tracing::info!(workers = count, status = %status_address, "serving");
        started()?;
        serve_until_stopped(&mut signals, &shared, &stop, &shutdown, &process).await;
        io::Result::Ok(())
    })?;
    control.shutdown_timeout(Duration::from_millis(100));
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    shared.access_log.flush();
    tracing::info!("stopped");
    Ok(())
}

async fn serve_until_stopped(
    signals: &mut Signals,
    shared: &Shared,
    stop: &watch::Sender<Stop>,
    shutdown: &watch::Sender<bool>,
    process: &crate::snapshot::Process,
) {
    // What comes next while draining: the end of the delay, then of the drain.
    let mut stage: Option<(Stop, Instant)> = None;
    loop {
        let alarm = stage.map(|(_, at)| at);
        let wish = tokio::select! {
            wish = signals.next() => wish,
            () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                if let Some((Stop::Drain, _)) = stage {
                    tracing::info!(drain_timeout = ?process.drain_timeout, "draining: no new connections");
                    let _ = shutdown.send(true);
                    let _ = stop.send(Stop::Drain);
                    stage = Some((Stop::Now, Instant::now() + process.drain_timeout));
                    continue;
                }
                let open: i64 = shared
                    .live()
                    .snapshot
                    .listeners
                    .iter()
                    .map(|listener| shared.metrics.listener(&listener.name).1.get())
                    .sum();
                tracing::warn!(connections = open, "the drain timeout is over; what is still open is cut");
                Wish::Stop
            }
            // Every worker is gone: nothing is open any more.
            () = stop.closed() => return,
        };
        match wish {
            Wish::Reopen => shared.access_log.reopen(),
            Wish::Ignored(signal) => tracing::warn!(signal, "this signal does nothing yet"),
            Wish::Drain if stage.is_none() => {
                tracing::info!(delay = ?process.shutdown_delay, "stopping");
                shared.drain();
                stage = Some((Stop::Drain, Instant::now() + process.shutdown_delay));
            }
            Wish::Drain => {}
            Wish::Stop => {
                shared.drain();
                let _ = shutdown.send(true);
                let _ = stop.send(Stop::Now);
                return;
            }
        }
    }
}
