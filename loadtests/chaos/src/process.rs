//! A child process that cannot outlive us: dropping it kills it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// Between two looks at something that no event tells of.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// A process that we started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for us alone: we stop the others in our order.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                let program = command.get_program().display();
                io::Error::new(error.kind(), format!("{program}: {error}"))
            })?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> Pid {
        as_pid(self.child.id())
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end; `None` if it has not ended when the time is over.
    pub(crate) async fn wait(&mut self, longest: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(GLANCE).await;
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that a child of ours started and left to us: since we are the
/// subreaper, its id stays its own until we have waited for it.
#[derive(Debug)]
pub(crate) struct Heir {
    pid: Pid,
    is_over: bool,
}

impl Heir {
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, is_over: false }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        if !self.is_over {
            self.is_over = match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => false,
                Ok(_) => true,
                // Still the child of somebody else: it is over when it is gone.
                Err(Errno::ECHILD) => kill(self.pid, None) == Err(Errno::ESRCH),
                Err(_) => true,
            };
        }
        self.is_over
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Orphans of our children become ours, so that none is lost.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// How many descriptors a process has open.
pub(crate) fn count_descriptors(pid: Pid) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

pub(crate) fn as_pid(id: u32) -> Pid {
    // The kernel's are 22 bits long.
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

/// Asks until the answer is there; `None` if that takes longer than `longest`.
pub(crate) async fn until<T>(longest: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(GLANCE).await;
    }
}

/// Kills and waits for every child that is left. Called last: whoever had
/// children of its own has ended them by then.
pub(crate) fn end_orphans() {
    // Those of the orphans become ours in turn.
    while let Some(pid) = a_child() {
        let _ = kill(pid, Signal::SIGKILL);
        if waitpid(pid, None).is_err() {
            return;
        }
    }
}

fn a_child() -> Option<Pid> {
    std::fs::read_dir("/proc/self/task").ok()?.find_map(|task| {
        let children = std::fs::read_to_string(task.ok()?.path().join("children")).ok()?;
        Some(Pid::from_raw(children.split_whitespace().next()?.parse().ok()?))
    })
}
