//! The thread that polls a [`Reloader`]: when inotify says that something has
//! happened beside its files, and every now and then in any case, since inotify
//! sees neither network file systems nor directories that are swapped as such.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::reload::{ReloadOutcome, Reloader};

/// Changes come in flocks, certificate and key at least. However long a flock
/// lasts, it is not waited for beyond so many times the quiet time.
const LONGEST_FLOCK: u32 = 10;

/// When files are looked at.
#[derive(Debug, Clone, Copy)]
pub struct WatchTimes {
    /// How long it has to be quiet after a change.
    pub quiet: Duration,
    /// How often without any sign of a change.
    pub interval: Duration,
}

impl Default for WatchTimes {
    /// 200 ms, enough for one program to write two files; and 10 s.
    fn default() -> Self {
        Self { quiet: Duration::from_millis(200), interval: Duration::from_secs(10) }
    }
}

/// Files that are watched for as long as this is there.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
    trouble: Option<notify::Error>,
}

impl Watch {
    /// Why changes are only seen at intervals, at least in some directories:
    /// inotify cannot be had. Worth one line in the log.
    pub fn trouble(&self) -> Option<&notify::Error> {
        self.trouble.as_ref()
    }
}

impl Drop for Watch {
    /// Stops the thread and waits for it: once this has returned, nothing of it
    /// is put anywhere.
    fn drop(&mut self) {
        // Err: it has ended already.
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take()
            // The last owner could be what the thread itself calls.
            && thread.thread().id() != std::thread::current().id()
        {
            // Err: what it called has panicked, which is on standard error.
            let _ = thread.join();
        }
    }
}

/// Starts a thread that polls `reloader` and tells `report` of what came of it,
/// whenever there is something to tell. Fails only if there can be no thread.
pub fn watch(
    reloader: Reloader,
    times: WatchTimes,
    report: impl FnMut(Vec<ReloadOutcome>) + Send + 'static,
) -> io::Result<Watch> {
    let (signals, received) = channel();
    let mut directories = Directories::new(signals.clone());
    let trouble = directories.follow(&reloader);
    let poller = Poller { reloader, directories, times, received, report };
    let thread =
        std::thread::Builder::new().name("certificates".to_owned()).spawn(move || poller.run())?;
    Ok(Watch { signals, thread: Some(thread), trouble })
}

enum Signal {
    Changed,
    Stop,
}

struct Poller<R> {
    reloader: Reloader,
    directories: Directories,
    times: WatchTimes,
    received: Receiver<Signal>,
    report: R,
}

impl<R: FnMut(Vec<ReloadOutcome>)> Poller<R> {
    fn run(mut self) {
        loop {
            // At once, too: files may have changed since they were loaded.
            let outcomes = self.reloader.poll();
            if !outcomes.is_empty() {
                (self.report)(outcomes);
            }
            // Links may lead elsewhere now. Trouble has been told, or it is a
            // directory that is gone, and the interval sees to it.
            let _ = self.directories.follow(&self.reloader);
            match self.received.recv_timeout(self.times.interval) {
                Ok(Signal::Changed) => {
                    if self.settle().is_break() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until nothing has changed for a while.
    fn settle(&self) -> std::ops::ControlFlow<()> {
        let begun = Instant::now();
        while begun.elapsed() < self.times.quiet * LONGEST_FLOCK {
            match self.received.recv_timeout(self.times.quiet) {
                Ok(Signal::Changed) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return std::ops::ControlFlow::Break(());
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// What inotify looks at.
struct Directories {
    watcher: notify::Result<RecommendedWatcher>,
    /// With what tells one directory from the next of the same name.
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
}

impl Directories {
    fn new(signals: Sender<Signal>) -> Self {
        let watcher = RecommendedWatcher::new(
            move |event: notify::Result<notify::Event>| {
                if event.as_ref().map_or(true, |event| is_change(event.kind)) {
                    // Err: the thread has ended, and this watcher with it.
                    let _ = signals.send(Signal::Changed);
                }
            },
            notify::Config::default(),
        );
        Self { watcher, watched: BTreeMap::new() }
    }

    /// Watches the directories of `reloader` and no others. Returns the last
    /// thing that went wrong.
    fn follow(&mut self, reloader: &Reloader) -> Option<notify::Error> {
        let wanted = reloader.directories();
        let watcher = match &mut self.watcher {
            Ok(watcher) => watcher,
            Err(error) => return Some(std::mem::replace(error, notify::Error::generic("told"))),
        };
        let wanted: BTreeMap<_, _> =
            wanted.into_iter().map(|path| (path.clone(), inode(&path))).collect();
        for (path, inode) in &self.watched {
            if wanted.get(path) != Some(inode) {
                // Err: it does not exist any more, nor does its watch.
                let _ = watcher.unwatch(path);
            }
        }
        let mut trouble = None;
        for path in wanted.keys() {
            // Every time, since a new directory can have the number of the old;
            // to watch the same one again changes nothing.
            if let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive) {
                trouble = Some(error);
            }
        }
        self.watched = wanted;
        trouble
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Reading is none: we would wake ourselves.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
