//! Processes: started by us, or by another run of us and known by their pid files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::user::{User, command};
use crate::{spawn, wait};

/// How long the kernel may take to end what got SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Between two requests to end.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Whose life a server shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Ours: it is stopped when it is dropped, and by the kernel should we be killed.
    Ours,
    /// Its own: once [left](Process::leave) it stays, without a terminal, until it is stopped.
    ItsOwn,
}

/// How a process is asked to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farewell {
    /// What asks it.
    pub(crate) signal: Signal,
    /// Whether it may refuse, so that it is asked again every second. Others take a second
    /// signal for hurry.
    pub(crate) again: bool,
    /// How long it may take until it is killed.
    pub(crate) longest: Duration,
}

/// What is run, and how.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// `None`: as ourselves.
    pub(crate) user: Option<User>,
    pub(crate) log: PathBuf,
    pub(crate) pid_file: PathBuf,
    pub(crate) lifetime: Lifetime,
    /// What the kernel sends should we be killed: the quickest end that leaves nothing behind.
    pub(crate) death: &'static str,
}

impl Program {
    /// Starts it, both outputs appended to its log, and writes its pid file.
    pub(crate) fn start(&self) -> Result<Process> {
        let doing = || format!("cannot start {}", self.name);
        let log = File::options().create(true).append(true).open(&self.log).doing(doing)?;
        let errors = log.try_clone().doing(doing)?;
        let mut run = match self.lifetime {
            Lifetime::Ours => command(self.user.as_ref(), Some(self.death), self.path.as_os_str()),
            Lifetime::ItsOwn => {
                // A session of its own: no terminal, and nothing that hangs up with one.
                let inner = command(self.user.as_ref(), None, self.path.as_os_str());
                let mut outer = std::process::Command::new("setsid");
                outer.arg(inner.get_program()).args(inner.get_args());
                outer
            }
        };
        run.args(&self.arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        run.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.lifetime == Lifetime::Ours {
            // Ctrl-C is for us alone: we stop the others in our order.
            run.process_group(0);
        }
        let child = spawn::spawn(run).doing(doing)?;
        let mut process = Process {
            name: self.name.clone(),
            // setsid and setpriv become the program: the id stays.
            identity: Identity::of(child.id()).doing(doing)?,
            child: Some(child),
            stays: false,
        };
        if let Err(error) = process.identity.write(&self.pid_file) {
            process.kill_tree();
            return Err(error);
        }
        Ok(process)
    }

    /// The error for when it ended too early: with the end of its log.
    pub(crate) fn ended(&self) -> Error {
        Error::Ended { name: self.name.clone(), log: self.log.clone(), tail: tail(&self.log) }
    }
}

/// A process that can be told from a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// When it started, in ticks since the start of the machine.
    started: u64,
    /// Which start of the machine.
    boot: String,
}

impl Identity {
    fn of(pid: u32) -> std::io::Result<Self> {
        let stat = Stat::read(pid).ok_or_else(|| std::io::Error::other("it is gone"))?;
        Ok(Self { pid, started: stat.started, boot: boot()? })
    }

    fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, format!("{} {} {}\n", self.pid, self.started, self.boot))
            .doing(|| format!("cannot write {}", path.display()))
    }

    /// What a pid file says, if it says anything.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok().filter(|&pid| pid > 1)?,
            started: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
        })
    }

    /// Whether this very process runs still. A zombie does not.
    pub(crate) fn is_running(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && !stat.is_over)
            && boot().is_ok_and(|boot| boot == self.boot)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        match kill(as_pid(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).doing(|| format!("cannot send {signal} to {}", self.pid)),
        }
    }

    /// Kills it and its children, which may have sessions of their own.
    fn kill_tree(&self) {
        // Stopped first: it forks no more while its children are counted.
        let _ = self.signal(Signal::SIGSTOP);
        let mut all = children_of(self.pid);
        all.push(self.clone());
        for one in &all {
            let _ = one.signal(Signal::SIGKILL);
        }
        wait::for_end(AFTER_KILL, || !all.iter().any(Self::is_running));
    }

    /// Asks it to end, and kills it with its children when it has not in time.
    pub(crate) fn stop(&self, farewell: Farewell) -> Result<()> {
        let deadline = Instant::now() + farewell.longest;
        self.signal(farewell.signal)?;
        // One that was halted hears it only then.
        self.signal(Signal::SIGCONT)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let patience = if farewell.again { left.min(ASK_AGAIN) } else { left };
            if wait::for_end(patience, || !self.is_running()) {
                return Ok(());
            }
            if farewell.again {
                self.signal(farewell.signal)?;
            }
        }
        self.kill_tree();
        Ok(())
    }
}

/// A server process that we started.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    identity: Identity,
    child: Option<Child>,
    stays: bool,
}

impl Process {
    /// Takes over what another run of us left running, if it does still.
    pub(crate) fn adopt(name: &str, pid_file: &Path) -> Option<Self> {
        let identity = Identity::read(pid_file).filter(Identity::is_running)?;
        Some(Self { name: name.to_owned(), identity, child: None, stays: true })
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.reap();
        self.identity.is_running()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.identity.pid
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.identity.signal(signal)
    }

    pub(crate) fn stop(&mut self, farewell: Farewell) -> Result<()> {
        let result = self.identity.stop(farewell);
        self.reap();
        result
    }

    /// SIGKILL for it and its children; returns when all are gone.
    pub(crate) fn kill_tree(&mut self) {
        self.identity.kill_tree();
        self.reap();
    }

    /// Lets it run when this is dropped.
    pub(crate) fn leave(&mut self) {
        self.stays = true;
    }

    /// Stops it when it is dropped before it was left.
    pub(crate) fn stop_unless_left(&mut self, farewell: Farewell) {
        if !self.stays {
            let _ = self.stop(farewell);
        }
    }

    fn reap(&mut self) {
        if !self.identity.is_running()
            && let Some(mut child) = self.child.take()
        {
            // It is over: this takes note, and waits for nothing.
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.stays && self.is_running() {
            self.kill_tree();
        }
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.identity.pid)
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    started: u64,
    is_over: bool,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; state is the third field (man 5 proc).
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Self {
            // The first thread may be over before the others, which hold sockets still.
            is_over: match *fields.first()? {
                "Z" => threads <= 1,
                state => state == "X",
            },
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

fn children_of(parent: u32) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| Stat::read(pid).is_some_and(|stat| stat.parent == parent))
        .filter_map(|pid| Identity::of(pid).ok())
        .collect()
}

/// The name of this start of the machine.
fn boot() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Our own id and when we started: names directories whose owner can be asked after.
pub(crate) fn ourselves() -> Result<(u32, u64)> {
    let identity = Identity::of(std::process::id()).doing(|| "cannot read /proc".to_owned())?;
    Ok((identity.pid, identity.started))
}

/// Whether the process of that id that started then still runs.
pub(crate) fn runs(pid: u32, started: u64) -> bool {
    Stat::read(pid).is_some_and(|stat| stat.started == started)
}

/// Whether a process is over and its parent has not taken note yet.
pub(crate) fn is_zombie(pid: u32) -> bool {
    Stat::read(pid).is_some_and(|stat| stat.is_over)
}

fn as_pid(id: u32) -> Pid {
    // The kernel's are 22 bits long.
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    const MOST: u64 = 2_000;
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(MOST)));
        let _ = file.take(MOST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_of_another_life_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let ours = Identity::of(std::process::id()).unwrap();
        ours.write(&path).unwrap();
        assert_eq!(Identity::read(&path), Some(ours.clone()));
        assert!(ours.is_running());

        let reused = Identity { started: ours.started + 1, ..ours.clone() };
        assert!(!reused.is_running());
        let before_reboot = Identity { boot: "another".to_owned(), ..ours };
        assert!(!before_reboot.is_running());
    }

    #[test]
    fn a_broken_pid_file_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        for text in ["", "12", "0 1 boot", "-1 1 boot", "1 1 boot", "x y z"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Identity::read(&path), None, "{text:?}");
        }
    }
}
