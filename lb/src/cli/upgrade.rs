//! `lb upgrade`: have a running process hand over to a new one, and say how it went.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{BROKEN, print};

/// Between two looks at the pid file.
const LOOK: Duration = Duration::from_millis(20);

/// A pid file as it is at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PidFile {
    pid: i32,
    /// Another each time that it is written.
    inode: u64,
}

impl PidFile {
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("{} cannot be read: {error}", path.display());
        let inode = fs::metadata(path).map_err(failed)?.ino();
        let text = fs::read_to_string(path).map_err(failed)?;
        let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| format!("{} holds no process id", path.display()))?;
        Ok(Self { pid, inode })
    }
}

pub(super) fn upgrade(path: &Path, patience: Duration) -> ExitCode {
    match hand_over(path, patience) {
        Ok((old, new)) => {
            let line = format!("process {old} has handed over to process {new}");
            print([line], ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("lb: {error}");
            ExitCode::from(BROKEN)
        }
    }
}

fn hand_over(path: &Path, patience: Duration) -> Result<(i32, i32), String> {
    let before = PidFile::read(path)?;
    let old = before.pid;
    if old == 1 {
        return Err(
            "process 1 cannot hand over: the container ends with it; replace the container instead"
                .into(),
        );
    }
    if !is_lb(old) {
        return Err(format!(
            "process {old}, of {}, does not look like \"lb run\"; it was left alone",
            path.display()
        ));
    }
    kill(Pid::from_raw(old), Signal::SIGUSR2)
        .map_err(|error| format!("process {old} cannot be told: {error}"))?;
    let until = Instant::now() + patience;
    loop {
        // Err: it is being replaced.
        match PidFile::read(path) {
            Ok(now) if now.pid != old => return Ok((old, now.pid)),
            Ok(now) if now.inode != before.inode => {
                return Err(format!(
                    "process {old} has not handed over and goes on; its log says why"
                ));
            }
            Ok(_) | Err(_) => {}
        }
        if kill(Pid::from_raw(old), None) == Err(Errno::ESRCH) {
            return Err(format!("process {old} ended, and no other has taken over"));
        }
        if Instant::now() >= until {
            return Err(format!(
                "process {old} has not handed over within {} s; its log says more",
                patience.as_secs()
            ));
        }
        std::thread::sleep(LOOK);
    }
}

/// A pid file outlives a process that is killed, and its number may be another
/// program's by now, which SIGUSR2 would end.
fn is_lb(pid: i32) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    line.split(|byte| *byte == 0).nth(1).is_some_and(|word| word == b"run")
}
