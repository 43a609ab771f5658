//! From a snapshot to a serving process, and to its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::config_file::ConfigFile;
use super::control::{Control, Parts};
use super::handover::{Attempt, Inheritance};
use super::servers::Servers;
use super::serving::Serving;
use super::shares::Limits;
use super::signals::Signals;
use super::sockets::SocketSet;
use super::worker::Worker;
use super::{descriptors, pid_file};
use crate::admin::{Desk, StatusError};
use crate::engine::lane::Pools;
use crate::engine::{Live, Shared};
use crate::listener::{BindError, Room};
use crate::observe::{
    AccessLog, AccessLogError, Metrics, ServiceGauges, SnapshotGauges, SnapshotSource,
};
use crate::snapshot::{Registry, Snapshot};

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

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file, which was compiled already.
    pub config: PathBuf,
    /// What it was before that.
    file: ConfigFile,
    /// Where the process id is written while serving.
    pub pid_file: Option<PathBuf>,
}

impl Options {
    /// To be made before the file is compiled: it may change from then on.
    pub fn new(config: PathBuf, pid_file: Option<PathBuf>) -> Self {
        Self { file: ConfigFile::new(config.clone()), config, pid_file }
    }

    /// The file, as it was before it was compiled.
    pub(super) fn file(&self) -> ConfigFile {
        self.file.clone()
    }
}

/// Serves until told to stop. Must be called on the main thread, outside any
/// runtime. What `snapshot` shares with later ones is found in `registry`.
pub fn run(
    snapshot: Snapshot,
    registry: Arc<Registry>,
    options: &Options,
) -> Result<(), StartError> {
    let snapshot = Arc::new(snapshot);
    let process = &snapshot.process;

    let files = descriptors::raise_limit();
    let room = descriptors::room(process, &snapshot.listeners, files);
    tracing::info!(max_connections = room, open_files = files, "limits");
    let limits =
        Limits { room: Arc::new(Room::new(room)), descriptors: descriptors::for_clients(files) };

    // Everything that can fail for the operator's reasons comes first.
    let attempt = Attempt::at_start()?;
    let inheritance = Inheritance::take()?;
    let mut sockets = SocketSet::new(process.workers, inheritance.listeners);
    let prepared = sockets.prepare(&snapshot.listeners)?;
    for address in sockets.left_over() {
        tracing::warn!(
            address,
            "a socket that this process was given is no listener's; it is closed"
        );
    }
    let servers = Servers::default();
    let server_sockets = servers.prepare_with(process, inheritance.servers)?;
    let metrics = Metrics::default();
    let access_log = AccessLog::open(&process.access_log, metrics.access_log_dropped.clone())?;
    let live = Live::new(Arc::clone(&snapshot), &metrics);
    let shared = Arc::new(Shared::new(live, metrics, access_log));
    let source: Arc<dyn SnapshotSource> = Arc::clone(&shared) as _;
    match SnapshotGauges::new(Arc::clone(&source)) {
        Ok(gauges) => shared.metrics.register(Box::new(gauges)),
        Err(error) => tracing::error!(%error, "endpoint gauges are missing"),
    }
    match ServiceGauges::new(source) {
        Ok(gauges) => shared.metrics.register(Box::new(gauges)),
        Err(error) => tracing::error!(%error, "gauges of Services are missing"),
    }
    let pools = Arc::new(Pools::new(process.workers));
    let workers = (0..process.workers)
        .map(|index| Worker::spawn(index, Arc::clone(&pools), Arc::clone(&shared)))
        .collect::<io::Result<Vec<_>>>()?;
    // It lives for as long as it is live, and no longer.
    drop(snapshot);
    let (desk, requests) = Desk::new();
    let parts = Parts {
        config: options.config.clone(),
        registry,
        shared: Arc::clone(&shared),
        workers,
        sockets,
        desk: Arc::new(desk),
        servers,
        files,
        limits,
    };

    // Checks, status and signals have a runtime of their own: however busy the
    // workers are, the process still answers and still hears.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let control = runtime.block_on(async {
        let signals = Signals::listen()?;
        let control = Control::start(parts, prepared, server_sockets);
        let mut serving = Serving::new(control, signals, requests, options.clone(), attempt);
        if serving.begin(inheritance.testator).await? {
            serving.run().await;
        } else {
            serving.stop();
        }
        io::Result::Ok(serving.into_control())
    });
    let control = control.inspect_err(|_| pid_file::remove(options.pid_file.as_deref()))?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    for worker in control.workers {
        if !worker.join() {
            tracing::error!("a worker panicked");
        }
    }
    shared.access_log.flush();
    pid_file::remove(options.pid_file.as_deref());
    tracing::info!("stopped");
    Ok(())
}
