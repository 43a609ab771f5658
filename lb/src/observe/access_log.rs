//! The access log, off the path of requests.
//!
//! A worker formats lines into a buffer of its own; a full buffer, or a tenth
//! of a second, hands it to one writer thread through a bounded queue. When
//! the disk is slow or full the queue fills, whole buffers are dropped and
//! their lines counted: a request never waits for its log line.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use nix::fcntl::OFlag;
use parking_lot::Mutex;
use prometheus::IntCounter;

use super::{AccessRecord, combined, json};
use crate::config::LogFormat;
use crate::snapshot;

/// A buffer is handed over when it is this full.
const BUFFER: usize = 32 * 1024;

/// Buffers in the queue: 8 MiB of log at most wait for the disk.
const QUEUE: usize = 256;

/// Buffers that are kept to be filled again.
const SPARES: usize = 16;

/// How long a line may stay in a worker's buffer.
const LINGER: Duration = Duration::from_millis(100);

/// Where access lines go. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    format: Arc<AtomicU8>,
    queue: SyncSender<Message>,
    /// Buffers that were written, to be filled again.
    spares: Arc<Mutex<Vec<Vec<u8>>>>,
    dropped: IntCounter,
}

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the access log {path} cannot be opened: {error}")]
pub struct AccessLogError {
    path: String,
    error: io::Error,
}

enum Message {
    Lines { bytes: Vec<u8>, count: u64 },
    Reopen,
    Switch(Option<PathBuf>, Output),
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    count: u64,
    timer_runs: bool,
}

thread_local! {
    static PENDING: RefCell<Pending> = RefCell::default();
}

impl AccessLog {
    /// Opens the log and starts its writer thread. `dropped` counts lines that
    /// were not written.
    pub fn open(
        settings: &snapshot::AccessLog,
        dropped: IntCounter,
    ) -> Result<Self, AccessLogError> {
        let output = Output::open_as_set(settings)?;
        let snapshot::AccessLog { path, format } = settings.clone();
        let (queue, messages) = sync_channel(QUEUE);
        let counter = dropped.clone();
        let spares = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let written = Arc::clone(&spares);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                let spares = written;
                Writer { path, output, spares, dropped: counter, complained: false }.run(&messages)
            })
            .map_err(|error| AccessLogError { path: "writer thread".to_owned(), error })?;
        Ok(Self { format: Arc::new(AtomicU8::new(format as u8)), queue, spares, dropped })
    }

    /// Adds a line. Called on a worker's thread; never blocks.
    pub fn write(&self, record: &AccessRecord<'_>) {
        PENDING.with_borrow_mut(|pending| {
            match self.format.load(Ordering::Relaxed) == LogFormat::Combined as u8 {
                false => json::write(record, &mut pending.bytes),
                true => combined::write(record, &mut pending.bytes),
            }
            pending.bytes.push(b'\n');
            pending.count += 1;
            if pending.bytes.len() >= BUFFER {
                self.hand_over(pending);
            } else if !pending.timer_runs
                // Err: the worker ends, and hands over what it has.
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                pending.timer_runs = true;
                let log = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(LINGER).await;
                    log.flush_worker();
                });
            }
        });
    }

    /// Hands over what this worker still holds. Called on its thread.
    pub fn flush_worker(&self) {
        PENDING.with_borrow_mut(|pending| {
            pending.timer_runs = false;
            self.hand_over(pending);
        });
    }

    /// Opens another file, for [`switch`](Self::switch).
    pub fn prepare(settings: &snapshot::AccessLog) -> Result<Prepared, AccessLogError> {
        let output = Output::open_as_set(settings)?;
        Ok(Prepared { settings: settings.clone(), output })
    }

    /// Goes on in another file, in its format.
    pub fn switch(&self, to: Prepared) {
        let Prepared { settings, output } = to;
        self.format.store(settings.format as u8, Ordering::Relaxed);
        // A full queue means that the disk hangs.
        if self.queue.try_send(Message::Switch(settings.path, output)).is_err() {
            tracing::error!("the access log hangs; it stays in the old file");
        }
    }

    /// Opens the file again, after something moved it away (SIGUSR1).
    pub fn reopen(&self) {
        // A full queue means that the disk hangs; the signal can be sent again.
        let _ = self.queue.try_send(Message::Reopen);
    }

    /// Waits until everything handed over so far is written, within bounds.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(2));
        }
    }

    fn hand_over(&self, pending: &mut Pending) {
        if pending.bytes.is_empty() {
            return;
        }
        let spare = self.spares.lock().pop();
        let spare = spare.unwrap_or_else(|| Vec::with_capacity(BUFFER + 1024));
        let bytes = std::mem::replace(&mut pending.bytes, spare);
        let count = std::mem::take(&mut pending.count);
        match self.queue.try_send(Message::Lines { bytes, count }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.inc_by(count)
            }
        }
    }
}

struct Writer {
    path: Option<PathBuf>,
    output: Output,
    spares: Arc<Mutex<Vec<Vec<u8>>>>,
    dropped: IntCounter,
    /// Whether the current trouble has been logged.
    complained: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Lines { bytes, count } => {
                    self.write(&bytes, count);
                    self.spare(bytes);
                }
                Message::Reopen => match Output::open(self.path.as_ref()) {
                    Ok(output) => {
                        self.output = output;
                        tracing::info!("access log opened again");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the access log cannot be opened again; the old file stays in use")
                    }
                },
                Message::Switch(path, output) => (self.path, self.output) = (path, output),
                Message::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }
}

impl Writer {
    fn write(&mut self, bytes: &[u8], count: u64) {
        match self.output.write_all(bytes) {
            Ok(()) => self.complained = false,
            Err(error) => {
                self.dropped.inc_by(count);
                if !self.complained {
                    self.complained = true;
                    tracing::error!(%error, "the access log cannot be written; lines are dropped and counted");
                }
            }
        }
    }

    fn spare(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut spares = self.spares.lock();
        if spares.len() < SPARES && bytes.capacity() <= 2 * BUFFER {
            spares.push(bytes);
        }
    }
}

enum Output {
    Standard(io::Stdout),
    File(File),
}

/// Another file, open already.
pub struct Prepared {
    settings: snapshot::AccessLog,
    output: Output,
}

impl Output {
    fn open_as_set(settings: &snapshot::AccessLog) -> Result<Self, AccessLogError> {
        let path = settings.path.as_ref();
        Self::open(path).map_err(|error| AccessLogError {
            path: path.map_or("-".into(), |path| path.display().to_string()),
            error,
        })
    }

    fn open(path: Option<&PathBuf>) -> io::Result<Self> {
        match path {
            None => Ok(Self::Standard(io::stdout())),
            // A pipe that nobody reads is an error, and one whose reader is slow loses
            // lines: neither is waited for.
            Some(path) => OpenOptions::new()
                .create(true)
                .append(true)
                .custom_flags(OFlag::O_NONBLOCK.bits())
                .open(path)
                .map(Self::File),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Standard(output) => {
                let mut output = output.lock();
                output.write_all(bytes)?;
                output.flush()
            }
            Self::File(file) => file.write_all(bytes),
        }
    }
}
