//! From a snapshot to a serving process, and to its end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::config_file::{self, ConfigFile};
use super::control::{self, Control, Parts};
use super::descriptors;
use super::reload::{Trigger, reload};
use super::servers::Servers;
use super::shares::Limits;
use super::signals::{Signals, Wish};
use super::sockets::SocketSet;
use super::worker::Worker;
use crate::admin::{Desk, ReloadReport, ReloadRequests, StatusError};
use crate::engine::lane::Pools;
use crate::engine::{Live, Shared};
use crate::listener::{BindError, Room};
use crate::observe::{AccessLog, AccessLogError, Metrics, SnapshotGauges, SnapshotSource};
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
    /// Where the process id is written while serving.
    pub pid_file: Option<PathBuf>,
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
    let room = descriptors::room(process.max_connections, files);
    tracing::info!(max_connections = room, open_files = files, "limits");
    let limits =
        Limits { room: Arc::new(Room::new(room)), descriptors: descriptors::for_clients(files) };

    // Everything that can fail for the operator's reasons comes first.
    let mut sockets = SocketSet::new(process.workers, Vec::new());
    let prepared = sockets.prepare(&snapshot.listeners)?;
    let servers = Servers::default();
    let server_sockets = servers.prepare(process)?;
    let metrics = Metrics::default();
    let access_log = AccessLog::open(&process.access_log, metrics.access_log_dropped.clone())?;
    let live = Live::new(Arc::clone(&snapshot), &metrics);
    let shared = Arc::new(Shared::new(live, metrics, access_log));
    let source: Arc<dyn SnapshotSource> = Arc::clone(&shared) as _;
    match SnapshotGauges::new(source) {
        Ok(gauges) => shared.metrics.register(Box::new(gauges)),
        Err(error) => tracing::error!(%error, "endpoint gauges are missing"),
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
        let control = Control::start(parts, prepared, server_sockets)?;
        let status = control.servers.status_address();
        let status = status.map_or_else(String::new, |address| address.to_string());
        tracing::info!(workers = control.workers.len(), %status, "serving");
        write_pid_file(options)?;
        let mut serving = Serving { control, signals, requests, stage: Stage::Serving };
        serving.run().await;
        io::Result::Ok(serving.control)
    })?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    for worker in control.workers {
        if !worker.join() {
            tracing::error!("a worker panicked");
        }
    }
    shared.access_log.flush();
    remove_pid_file(options);
    tracing::info!("stopped");
    Ok(())
}

fn write_pid_file(options: &Options) -> io::Result<()> {
    let Some(path) = &options.pid_file else { return Ok(()) };
    std::fs::write(path, format!("{}\n", std::process::id())).map_err(|error| {
        let text = format!("the pid file {} cannot be written: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

fn remove_pid_file(options: &Options) {
    let Some(path) = &options.pid_file else { return };
    // Another process may have written its own there in the meantime.
    let ours = std::process::id().to_string();
    if std::fs::read_to_string(path).is_ok_and(|pid| pid.trim() == ours) {
        // Err: it is gone already.
        let _ = std::fs::remove_file(path);
    }
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Serving.
    Serving,
    /// /readyz is 503, and connections are accepted until then.
    Delay(Instant),
    /// Nothing is accepted; what is open has time until then.
    Drain(Instant),
}

/// What comes in while the process runs.
enum Event {
    Wish(Wish),
    Admin(oneshot::Sender<Arc<ReloadReport>>),
    /// The current stage is over.
    StageOver,
    /// Look for what is overdue.
    Look,
    /// Look at the configuration file.
    LookAtFile,
    /// No worker is left.
    Ended,
}

/// The process, serving.
struct Serving {
    control: Control,
    signals: Signals,
    requests: ReloadRequests,
    stage: Stage,
}

impl Serving {
    async fn run(&mut self) {
        let mut looks = interval(control::LOOK);
        let mut file_looks = interval(config_file::LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        file_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut file = ConfigFile::new(self.control.config.clone());
        loop {
            let alarm = match self.stage {
                Stage::Serving => None,
                Stage::Delay(at) | Stage::Drain(at) => Some(at),
            };
            let event = tokio::select! {
                wish = self.signals.next() => Event::Wish(wish),
                Some(answer) = self.requests.recv() => Event::Admin(answer),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => Event::StageOver,
                _ = looks.tick() => Event::Look,
                _ = file_looks.tick() => Event::LookAtFile,
                () = self.control.ended() => Event::Ended,
            };
            match event {
                Event::Ended => return,
                Event::Look => self.control.cut_overdue(std::time::Instant::now()),
                Event::LookAtFile => {
                    let watched = self.control.snapshot().process.watch;
                    if file.has_changed() && watched {
                        self.reload(&mut file, Trigger::File).await;
                    }
                }
                Event::Admin(answer) => {
                    if let Some(report) = self.reload(&mut file, Trigger::Admin).await {
                        // Err: whoever asked has left.
                        let _ = answer.send(report);
                    }
                }
                Event::StageOver => {
                    if self.go_on() {
                        return;
                    }
                }
                Event::Wish(wish) => match wish {
                    Wish::Reopen => self.control.shared.access_log.reopen(),
                    Wish::Reload => {
                        self.reload(&mut file, Trigger::Signal).await;
                    }
                    Wish::Ignored(signal) => tracing::warn!(signal, "this signal does nothing yet"),
                    Wish::Drain => self.begin_to_stop(),
                    Wish::Stop => {
                        self.control.stop();
                        return;
                    }
                },
            }
        }
    }

    async fn reload(
        &mut self,
        file: &mut ConfigFile,
        trigger: Trigger,
    ) -> Option<Arc<ReloadReport>> {
        if !matches!(self.stage, Stage::Serving) {
            tracing::warn!("the process is stopping; the configuration is not read again");
            return None;
        }
        file.loading();
        Some(reload(&mut self.control, trigger).await)
    }

    fn begin_to_stop(&mut self) {
        if matches!(self.stage, Stage::Serving) {
            let delay = self.control.snapshot().process.shutdown_delay;
            tracing::info!(?delay, "stopping");
            self.control.shared.drain();
            self.stage = Stage::Delay(Instant::now() + delay);
        }
    }

    /// The stage is over. Whether all is.
    fn go_on(&mut self) -> bool {
        match self.stage {
            Stage::Serving => false,
            Stage::Delay(_) => {
                let drain_timeout = self.control.snapshot().process.drain_timeout;
                tracing::info!(?drain_timeout, "draining: no new connections");
                self.control.drain(false);
                self.stage = Stage::Drain(Instant::now() + drain_timeout);
                false
            }
            Stage::Drain(_) => {
                let connections = self.control.open();
                tracing::warn!(connections, "the drain timeout is over; what is still open is cut");
                self.control.stop();
                true
            }
        }
    }
}
