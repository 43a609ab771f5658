//! What can go wrong while servers are started, asked and stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a server could not be started, asked or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that is needed is on this machine nowhere.
    #[error("{0} is not installed; scripts/bootstrap.sh test installs what is needed")]
    Missing(String),
    /// Somebody else listens there.
    #[error("port {0} is already in use (who: ss -ltnp 'sport = :{0}')")]
    PortInUse(u16),
    /// Every block of ports is taken.
    #[error("no {0} free ports side by side between 20000 and 27000")]
    NoPorts(usize),
    /// The system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The servers' user may not walk to their directories.
    #[error(
        "the user {user} may not enter {directory}; let others pass its parents (chmod o+x), or choose another place"
    )]
    Closed {
        /// Who has to enter.
        user: String,
        /// What cannot be entered.
        directory: PathBuf,
    },
    /// A server ended instead of getting ready.
    #[error("{name} ended while it started; {log} ends with:\n{tail}", log = log.display())]
    Ended {
        /// Which one.
        name: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Something did not come about in time.
    #[error("{what}: not within {longest:?}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// For how long.
        longest: Duration,
    },
    /// A program reported failure.
    #[error("{program}: {message}")]
    Failed {
        /// Which program.
        program: String,
        /// What it said.
        message: String,
    },
    /// Redis answered with an error, or with something else than asked for.
    #[error("redis-{node}: {message}")]
    Redis {
        /// The node's number, from 1.
        node: usize,
        /// What it said.
        message: String,
    },
    /// It would have to be stopped for that.
    #[error("it is running; stop it first (make fleet-stop)")]
    Running,
    /// Another run is starting or stopping it.
    #[error("another fleet is starting or stopping it")]
    Busy,
    /// A signal told us to stop.
    #[error("interrupted")]
    Interrupted,
    /// There is no server of that name or number.
    #[error("there is no {0}")]
    NoSuchServer(String),
}

/// Short for what most functions here give.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when an input or output failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::Io { doing: what(), source: errno.into() })
    }
}
