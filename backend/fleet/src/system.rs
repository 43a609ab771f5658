//! The whole system on one machine, at fixed ports: what `make fleet` starts and stops.

mod apps;
mod up;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Doing, Error, Result};
use crate::process::{Farewell, Identity};
use crate::redis::NODES;
use crate::{postgres, redis};
pub use up::{Options, Outcome, up};

const REPLICAS: usize = 2;
const BACKENDS: u16 = 3;
const FRONTENDS: u16 = 2;

const POSTGRES_PORT: u16 = 15_432;
const REDIS_PORT: u16 = 17_001;
const BACKEND_PORT: u16 = 8_001;
const FRONTEND_PORT: u16 = 3_001;

// As in config/fleet.yaml.
const HTTP_PORT: u16 = 8_080;
const HTTPS_PORT: u16 = 8_443;
const STATUS_PORT: u16 = 9_900;
const ADMIN_PORT: u16 = 9_901;

/// Who signs in to the API as an administrator.
pub const ADMIN_EMAIL: &str = "admin@example.com";

/// `lb` and the backends finish what they are at for ten seconds, as they are told; a second
/// signal would cut that short.
const DRAIN: Farewell =
    Farewell { signal: Signal::SIGTERM, again: false, longest: Duration::from_secs(15) };

/// One process of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Postgres(postgres::Server),
    Redis(usize),
    Backend(u16),
    Frontend(u16),
    Lb,
}

impl Part {
    /// All, in the order in which they are started.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Postgres(postgres::Server::Primary)];
        all.extend((1..=REPLICAS).map(|number| Self::Postgres(postgres::Server::Replica(number))));
        all.extend((1..=NODES).map(Self::Redis));
        all.extend((1..=BACKENDS).map(Self::Backend));
        all.extend((1..=FRONTENDS).map(Self::Frontend));
        all.push(Self::Lb);
        all
    }

    /// Whether it keeps data, as opposed to what is built here.
    fn is_server(self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Redis(_))
    }

    fn ports(self) -> Vec<u16> {
        match self {
            Self::Postgres(postgres::Server::Primary) => vec![POSTGRES_PORT],
            Self::Postgres(postgres::Server::Replica(number)) => {
                vec![POSTGRES_PORT + u16::try_from(number).unwrap_or(0)]
            }
            Self::Redis(node) => {
                let port = redis_port(node);
                vec![port, port + redis::TO_BUS]
            }
            Self::Backend(number) => vec![BACKEND_PORT + number - 1],
            Self::Frontend(number) => vec![FRONTEND_PORT + number - 1],
            Self::Lb => vec![HTTPS_PORT, HTTP_PORT, STATUS_PORT, ADMIN_PORT],
        }
    }

    /// Where people and programs ask it.
    fn port(self) -> u16 {
        self.ports()[0]
    }

    /// The order in which parts are stopped: who asks others goes before those.
    fn turn(self) -> u8 {
        match self {
            Self::Lb => 0,
            Self::Backend(_) | Self::Frontend(_) => 1,
            Self::Redis(_) => 2,
            Self::Postgres(postgres::Server::Replica(_)) => 3,
            Self::Postgres(postgres::Server::Primary) => 4,
        }
    }

    /// What asks it to end, and how long that may take.
    fn farewell(self) -> Farewell {
        match self {
            Self::Postgres(_) => postgres::FAREWELL,
            Self::Redis(_) => redis::FAREWELL,
            Self::Backend(_) | Self::Frontend(_) | Self::Lb => DRAIN,
        }
    }

    fn pid_file(self, directory: &Path) -> PathBuf {
        directory.join("pids").join(format!("{self}.pid"))
    }

    /// The process, if it runs. A pid file of a process that is over, or of one before the
    /// machine was started anew, names none.
    fn running(self, directory: &Path) -> Option<Identity> {
        Identity::read(&self.pid_file(directory)).filter(Identity::is_running)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(server) => server.fmt(f),
            Self::Redis(node) => write!(f, "redis-{node}"),
            Self::Backend(number) => write!(f, "backend-{number}"),
            Self::Frontend(number) => write!(f, "frontend-{number}"),
            Self::Lb => f.write_str("lb"),
        }
    }
}

fn redis_port(node: usize) -> u16 {
    REDIS_PORT + u16::try_from(node - 1).unwrap_or(0)
}

/// One at a time starts or stops: held as long as the file is open, and by no other process
/// that is started meanwhile. Beside the directory, which may be no more than a link.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.with_extension("lock");
    let doing = || format!("cannot lock {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).doing(doing)?;
    let file = File::options().create(true).append(true).open(&path).doing(doing)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy),
        Err(TryLockError::Error(error)) => Err(error).doing(doing),
    }
}

/// Stops what `directory` says runs, and nothing else: every pid file is held against the
/// process's time of start. Gives the names of what was stopped.
pub fn stop(directory: &Path) -> Result<Vec<String>> {
    let _lock = lock(directory)?;
    let mut stopped = Vec::new();
    for turn in 0..=4 {
        let running: Vec<(Part, Identity)> = Part::all()
            .into_iter()
            .filter(|part| part.turn() == turn)
            .filter_map(|part| Some((part, part.running(directory)?)))
            .collect();
        // Those of one turn at the same time.
        std::thread::scope(|scope| {
            let ends: Vec<_> = running
                .iter()
                .map(|(part, identity)| {
                    let farewell = part.farewell();
                    scope.spawn(move || identity.stop(farewell))
                })
                .collect();
            ends.into_iter().try_for_each(|end| end.join().unwrap_or(Ok(())))
        })?;
        stopped.extend(running.iter().map(|(part, _)| part.to_string()));
    }
    for part in Part::all() {
        let file = part.pid_file(directory);
        if file.exists() {
            fs::remove_file(&file).doing(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(stopped)
}

/// A line of what [`status`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The part's name.
    pub name: String,
    /// Its ports on 127.0.0.1.
    pub ports: Vec<u16>,
    /// Its process, if it runs.
    pub pid: Option<u32>,
}

/// What runs and what does not, in the order in which it is started.
pub fn status(directory: &Path) -> Vec<Status> {
    Part::all()
        .into_iter()
        .map(|part| Status {
            name: part.to_string(),
            ports: part.ports(),
            pid: part.running(directory).map(|identity| identity.pid),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_ports_are_all_different() {
        let all = Part::all();
        assert_eq!(all.len(), 3 + 6 + 3 + 2 + 1);
        let names: HashSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all.len());
        let ports: Vec<u16> = all.iter().flat_map(|part| part.ports()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
    }

    #[test]
    fn one_at_a_time_starts_or_stops() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("fleet");
        let held = lock(&state).unwrap();
        assert!(matches!(stop(&state), Err(Error::Busy)));
        drop(held);
        stop(&state).unwrap();
    }

    #[test]
    fn a_stale_pid_file_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("pids")).unwrap();
        let file = Part::Lb.pid_file(directory.path());
        // Our own id, as if we had got it from another that is gone: SIGTERM would end us.
        fs::write(&file, format!("{} 1 somebody-else\n", std::process::id())).unwrap();
        assert_eq!(stop(directory.path()).unwrap(), Vec::<String>::new());
        assert!(!file.exists());
    }
}
