//! The lb under test: started, told to reload, replaced, stopped.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::process::{GLANCE, Heir, Process, until};
use crate::setup::Setup;
use crate::status::Status;

/// Builds that are not optimised, on a busy machine, need some.
const START: Duration = Duration::from_secs(60);

/// What lb says to a signal that this version has no use for.
const NOTHING_YET: &str = "this signal does nothing yet";

/// A running lb.
#[derive(Debug)]
pub(crate) struct Lb {
    pub(crate) setup: Setup,
    process: Process,
    /// Those that were handed the sockets, the latest last.
    heirs: Vec<Heir>,
}

impl Lb {
    /// Starts it, and waits until it is ready. `max_files` is its hard limit on
    /// descriptors.
    pub(crate) async fn start(
        program: &Path,
        setup: Setup,
        max_files: Option<u32>,
    ) -> io::Result<Self> {
        fs::write(setup.file(), setup.text())?;
        let mut command = match max_files {
            None => Command::new(program),
            // The shell can set the limit of what replaces it.
            Some(count) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &count.to_string()]);
                shell.arg(program);
                shell
            }
        };
        command
            .args(["run", "--config"])
            .arg(setup.file())
            .arg("--pid-file")
            .arg(setup.pid_file())
            .env("RUST_LOG", "info");
        let process = Process::start(&mut command, &setup.log())?;
        let mut lb = Self { setup, process, heirs: Vec::new() };
        lb.wait_until_ready().await?;
        Ok(lb)
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let mut status = Status::new(self.setup.status);
        let deadline = Instant::now() + START;
        while !status.is_ready().await {
            if let Some(end) = self.process.ended()? {
                return Err(io::Error::other(format!("lb ended: {end}; see its log")));
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other("lb does not get ready"));
            }
            sleep(GLANCE).await;
        }
        Ok(())
    }

    /// The process that accepts now.
    pub(crate) fn pid(&self) -> Pid {
        self.heirs.last().map_or_else(|| self.process.pid(), Heir::pid)
    }

    /// Whether the process that accepts now is still there.
    pub(crate) fn is_running(&mut self) -> io::Result<bool> {
        match self.heirs.last_mut() {
            Some(heir) => Ok(!heir.has_ended()),
            None => Ok(self.process.ended()?.is_none()),
        }
    }

    /// What the process said; all of them write to one file.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.process.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has said that this version does not know `signal`.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        let name = signal.as_str();
        self.log().lines().any(|line| line.contains(NOTHING_YET) && line.contains(name))
    }

    /// How often it has said that it took an endpoint out.
    pub(crate) fn times_taken_out(&self) -> usize {
        self.log().matches("endpoint taken out").count()
    }

    /// Writes a configuration of another generation, and SIGHUP.
    pub(crate) fn reload(&mut self, generation: u32) -> io::Result<()> {
        self.setup.generation = generation;
        // Whole, or not at all: as an operator should.
        let new = self.setup.file().with_extension("new");
        fs::write(&new, self.setup.text())?;
        fs::rename(&new, self.setup.file())?;
        Ok(kill(self.pid(), Signal::SIGHUP)?)
    }

    /// SIGUSR2, and waits for the pid file to name another process. Returns
    /// whether one came.
    pub(crate) async fn hand_over(&mut self, longest: Duration) -> io::Result<bool> {
        let old = self.pid();
        kill(old, Signal::SIGUSR2)?;
        let file = self.setup.pid_file();
        let new = until(longest, || {
            if self.ignores(Signal::SIGUSR2) {
                return Some(None);
            }
            let pid = read_pid(&file).filter(|pid| *pid != old)?;
            Some(Some(pid))
        })
        .await
        .flatten();
        if let Some(pid) = new {
            self.heirs.push(Heir::new(pid));
        }
        Ok(new.is_some())
    }

    /// How many of those that gave their sockets away are still there.
    pub(crate) fn predecessors(&mut self) -> io::Result<usize> {
        let Some((_, old)) = self.heirs.split_last_mut() else { return Ok(0) };
        let first = usize::from(self.process.ended()?.is_none());
        Ok(first + old.iter_mut().map(Heir::has_ended).filter(|over| !over).count())
    }

    /// SIGTERM, and waits for the end of the process that accepts now. Returns
    /// whether it came in time.
    pub(crate) async fn stop(&mut self, longest: Duration) -> io::Result<bool> {
        if !self.is_running()? {
            return Ok(true);
        }
        kill(self.pid(), Signal::SIGTERM)?;
        let deadline = Instant::now() + longest;
        while self.is_running()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(GLANCE).await;
        }
        Ok(true)
    }
}

fn read_pid(file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(file).ok()?;
    Some(Pid::from_raw(text.trim().parse().ok()?))
}
