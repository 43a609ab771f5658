//! The old process: it starts the new one, gives it the sockets, and waits.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::oneshot;

use super::VARIABLE;
use super::packet::{Channel, Packet, Purpose};
use crate::runtime::servers::Servers;
use crate::runtime::sockets::SocketSet;

/// How long a process that is prepared may take to accept.
const TO_OPEN: Duration = Duration::from_secs(10);

/// How long a process whose end of the channel is closed may take to end.
const TO_END: Duration = Duration::from_secs(1);

/// Why there was no hand-over. The old process goes on.
#[derive(Debug, thiserror::Error)]
pub(in crate::runtime) enum Refusal {
    /// Where process 1 ends, everything does.
    #[error(
        "process 1 cannot hand over: the container ends with it; replace the container instead"
    )]
    FirstProcess,
    /// There is no program to start.
    #[error("{program} cannot be started: {error}")]
    NotStarted { program: String, error: io::Error },
    /// It ended before it accepted.
    #[error("the new process ended before it was ready, with {0}; its log says why")]
    Ended(ExitStatus),
    /// It did not say in time that it is ready.
    #[error("the new process said nothing for {} s and was killed", .0.as_secs())]
    Silent(Duration),
    /// What it said, or what it was told, went wrong.
    #[error("the new process could not be talked to and was killed: {0}")]
    Broken(#[from] io::Error),
}

/// How this process was started, and so how the next one is.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Attempt {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Attempt {
    /// Must be asked when the process starts: a program that is replaced in the
    /// meantime has no name any more, and what is at its place is what is wanted.
    pub(in crate::runtime) fn at_start() -> io::Result<Self> {
        Ok(Self { program: program()?, arguments: std::env::args_os().skip(1).collect() })
    }
}

/// The program as it was called: a link is followed when it is called again.
fn program() -> io::Result<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = match called.components().count() {
        // Found by its name alone.
        1 if !called.is_absolute() && !called.starts_with(".") => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .map(|directory| directory.join(&called))
                .find(|program| program.is_file())
        }
        0 => None,
        _ => std::path::absolute(&called).ok().filter(|program| program.is_file()),
    };
    found.map_or_else(std::env::current_exe, Ok)
}

/// A socket on its way, and what it is for.
type Bequeathed = (Purpose, OwnedFd);

/// Begins to hand over. What comes of it is told later: the process id of a new
/// process that accepts. A dropped receiver gives up, and ends the new process.
pub(in crate::runtime) fn begin(
    attempt: &Attempt,
    sockets: &SocketSet,
    servers: &Servers,
    patience: Duration,
) -> Result<oneshot::Receiver<Result<u32, Refusal>>, Refusal> {
    if std::process::id() == 1 {
        return Err(Refusal::FirstProcess);
    }
    let bequeathed = gather(sockets, servers)?;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)?;
    let Attempt { program, arguments } = attempt;
    let child = Command::new(program)
        .args(arguments)
        .env(VARIABLE, std::process::id().to_string())
        .stdin(Stdio::from(theirs))
        .spawn()
        .map_err(|error| Refusal::NotStarted { program: program.display().to_string(), error })?;
    tracing::info!(
        pid = child.id(),
        program = %program.display(),
        sockets = bequeathed.len(),
        "handing over to a new process"
    );
    let (told, outcome) = oneshot::channel();
    let channel = Channel::new(ours);
    // A thread: what it does waits, and the process goes on meanwhile.
    std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
        let mut child = child;
        let result = converse(&channel, &bequeathed, patience, || told.is_closed());
        drop(channel);
        let result = result.map_err(|error| end(&mut child, error, patience)).map(|()| child.id());
        if let Err(Ok(_)) = told.send(result) {
            // Nobody counts on it any more.
            kill(&mut child);
        }
    })?;
    Ok(outcome)
}

fn gather(sockets: &SocketSet, servers: &Servers) -> io::Result<Vec<Bequeathed>> {
    let mut gathered = Vec::new();
    for (wanted, bound) in sockets.all() {
        let purpose = Purpose::Listener {
            address: wanted.address.to_string(),
            place: wanted.place.as_ref().map(|(name, index)| (name.to_string(), *index)),
        };
        gathered.push((purpose, bound.as_fd().try_clone_to_owned()?));
    }
    if let Some((written, socket)) = servers.status_socket() {
        let purpose = Purpose::Status { address: written.to_string() };
        gathered.push((purpose, socket.as_fd().try_clone_to_owned()?));
    }
    if let Some((written, socket)) = servers.admin_socket() {
        let purpose = Purpose::Admin { address: written.to_string() };
        gathered.push((purpose, socket.as_fd().try_clone_to_owned()?));
    }
    Ok(gathered)
}

fn converse(
    channel: &Channel,
    bequeathed: &[Bequeathed],
    patience: Duration,
    given_up: impl Fn() -> bool,
) -> io::Result<()> {
    channel.set_patience(patience)?;
    for (purpose, socket) in bequeathed {
        channel.send(&Packet::Socket(purpose.clone()), Some(socket.as_fd()))?;
    }
    channel.send(&Packet::End, None)?;
    channel.expect(&Packet::Prepared)?;
    if given_up() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    channel.send(&Packet::Go, None)?;
    channel.set_patience(TO_OPEN)?;
    channel.expect(&Packet::Open)
}

/// Ends a process that has not taken over, and says why it has not.
fn end(child: &mut Child, error: io::Error, patience: Duration) -> Refusal {
    if is_late(&error) {
        kill(child);
        return Refusal::Silent(patience);
    }
    // It may be about to end by itself, and how says more.
    let until = Instant::now() + TO_END;
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return Refusal::Ended(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(child);
    Refusal::Broken(error)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Err: it has ended already.
fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
