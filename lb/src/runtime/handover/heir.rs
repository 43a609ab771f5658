//! The new process: it takes the sockets, says that it is ready, and goes on.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::VARIABLE;
use super::packet::{Channel, Packet, Purpose};
use crate::listener::Bound;
use crate::runtime::servers;
use crate::runtime::sockets::{Inherited, Wanted};
use crate::values::BindAddress;

/// How long the old process may take for anything it says.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has a process that is to take over end with the one before, until that counts on
/// it: it holds the sockets, and nobody would be served at them. To be called first
/// thing. An error says that there is nobody to take over from.
pub fn follow_testator() -> io::Result<()> {
    let Some(testator) = std::env::var_os(VARIABLE) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    // It may have ended before it could be followed.
    if parent.as_deref() != testator.to_str() {
        return Err(io::Error::other("the process that was to be taken over from is gone"));
    }
    Ok(())
}

/// What a process was given when it was started.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Inheritance {
    pub(in crate::runtime) listeners: Vec<Inherited>,
    pub(in crate::runtime) servers: servers::Inherited,
    /// The process that this one takes over from.
    pub(in crate::runtime) testator: Option<Testator>,
}

/// The old process, which waits to be told.
#[derive(Debug)]
pub(in crate::runtime) struct Testator(Channel);

impl Inheritance {
    /// From the process before, from systemd (`sd_listen_fds(3)`), or nothing.
    pub(in crate::runtime) fn take() -> io::Result<Self> {
        if std::env::var_os(VARIABLE).is_some() {
            return Self::from_process();
        }
        Self::from_service_manager()
    }

    fn from_process() -> io::Result<Self> {
        let channel = Channel::new(io::stdin().as_fd().try_clone_to_owned()?);
        // Nobody reads it, and the channel is to end with this process's own copy.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        channel.set_patience(PATIENCE)?;
        let mut inheritance = Self::default();
        loop {
            match channel.receive()? {
                (Packet::Socket(purpose), Some(socket)) => inheritance.add(purpose, socket)?,
                (Packet::End, _) => break,
                (other, _) => return Err(invalid(&format!("{other:?}"))),
            }
        }
        inheritance.testator = Some(Testator(channel));
        Ok(inheritance)
    }

    fn add(&mut self, purpose: Purpose, socket: OwnedFd) -> io::Result<()> {
        let bind = |address: &str| address.parse::<BindAddress>().map_err(|_| invalid(address));
        match purpose {
            Purpose::Listener { address, place } => {
                let address = bind(&address)?;
                let bound = bound(&address, socket)?;
                let place = place.map(|(name, index)| (name.into(), index));
                let wanted = Some(Wanted { address, place });
                self.listeners.push(Inherited { wanted, bound });
            }
            Purpose::Status { address } => {
                let address: SocketAddr = address.parse().map_err(|_| invalid(&address))?;
                self.servers.status = Some((address, TcpListener::from(socket)));
            }
            Purpose::Admin { address } => {
                let address = bind(&address)?;
                let bound = bound(&address, socket)?;
                self.servers.admin = Some((address, bound));
            }
        }
        Ok(())
    }

    fn from_service_manager() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut inheritance = Self::default();
        for index in 0..given.len() {
            // Err: it is another kind of socket.
            let bound = match given.take_tcp_listener(index) {
                Ok(Some(listener)) => Bound::Tcp(listener),
                _ => match given.take_unix_listener(index) {
                    Ok(Some(listener)) => Bound::Unix(listener),
                    _ => {
                        tracing::warn!(
                            index,
                            "a socket of the service manager is none that accepts streams"
                        );
                        continue;
                    }
                },
            };
            // It is not to be found in a process that this one starts.
            rustix::io::fcntl_setfd(bound.as_fd(), rustix::io::FdFlags::CLOEXEC)?;
            match &bound {
                Bound::Tcp(listener) => listener.set_nonblocking(true)?,
                Bound::Unix(listener) => listener.set_nonblocking(true)?,
            }
            inheritance.listeners.push(Inherited { wanted: None, bound });
        }
        Ok(inheritance)
    }
}

fn bound(address: &BindAddress, socket: OwnedFd) -> io::Result<Bound> {
    let bound = match address {
        BindAddress::Tcp(_) => Bound::Tcp(TcpListener::from(socket)),
        BindAddress::Unix(_) => Bound::Unix(UnixListener::from(socket)),
    };
    // Whatever was sent, it has an address, or is no socket.
    bound.address()?;
    Ok(bound)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the old process sent {what}"))
}

impl Testator {
    /// This process could serve. Returns when the old one counts on it; an error
    /// says that it does not.
    pub(in crate::runtime) fn prepared(&self) -> io::Result<()> {
        self.0.send(&Packet::Prepared, None)?;
        self.0.expect(&Packet::Go)
    }

    /// From here on this process outlives the old one. On the main thread: the kernel
    /// keeps this for each thread.
    pub(in crate::runtime) fn outlive(&self) -> io::Result<()> {
        Ok(set_parent_process_death_signal(None)?)
    }

    /// This process accepts.
    pub(in crate::runtime) fn open(self) -> io::Result<()> {
        self.0.send(&Packet::Open, None)
    }
}
