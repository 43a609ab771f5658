//! Binding.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

#[cfg(target_os = "linux")]
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::accept::Held;
use super::transport::Raw;
use crate::engine::Ends;
use crate::snapshot::{KeepaliveProbes, SocketOptions};
use crate::values::BindAddress;

/// As much may be unsent in the kernel: a response that a client does not take
/// waits with us, where it is seen, and not there (TCP_NOTSENT_LOWAT).
const UNSENT: u32 = 128 * 1024;

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{listener}\" cannot bind {address}: {error}")]
pub struct BindError {
    listener: String,
    address: String,
    error: io::Error,
}

impl BindError {
    /// Something else that binding takes could not be had.
    pub fn new(listener: &str, address: &BindAddress, error: io::Error) -> Self {
        Self { listener: listener.to_owned(), address: address.to_string(), error }
    }
}

/// One bound address.
#[derive(Debug)]
pub struct Sockets {
    /// The address, with the port that the system chose for port 0.
    pub address: BindAddress,
    /// One for each worker, or one for all.
    pub bound: Vec<Bound>,
}

/// A socket that is bound and not yet part of a runtime.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix stream socket.
    Unix(StdUnixListener),
}

/// A socket in a worker's runtime.
#[derive(Debug)]
pub enum Socket {
    /// TCP; and the end of every connection, where it is known.
    Tcp(TcpListener, Option<SocketAddr>),
    /// A Unix stream socket.
    Unix(UnixListener),
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Accepted {
    /// TCP, who is there, and what they have reached.
    Tcp { stream: TcpStream, peer: SocketAddr, local: Option<SocketAddr> },
    /// Unix.
    Unix(UnixStream),
}

/// Binds an address once for each worker. `beside`: another socket of this
/// process has the address, or a part of it, and is about to be closed.
pub fn bind(
    listener: &str,
    address: &BindAddress,
    workers: usize,
    options: &SocketOptions,
    beside: bool,
) -> Result<Sockets, BindError> {
    bind_address(address, workers.max(1), options, beside)
        .map_err(|error| BindError::new(listener, address, error))
}

fn bind_address(
    address: &BindAddress,
    workers: usize,
    options: &SocketOptions,
    beside: bool,
) -> io::Result<Sockets> {
    match address {
        BindAddress::Tcp(wanted) => {
            let share = if beside { Share::Before } else { Share::After };
            let first = bind_tcp(*wanted, share, options)?;
            let actual = first.local_addr()?;
            let mut bound = vec![Bound::Tcp(first)];
            for _ in 1..workers {
                bound.push(Bound::Tcp(bind_tcp(actual, Share::Before, options)?));
            }
            Ok(Sockets { address: BindAddress::Tcp(actual), bound })
        }
        BindAddress::Unix(path) => {
            let bound = vec![Bound::Unix(bind_unix(path, options)?)];
            Ok(Sockets { address: address.clone(), bound })
        }
    }
}

/// When a socket begins to share its address with those of other workers.
///
/// `SO_REUSEPORT` at the time of binding would also let it join the sockets of
/// another process of the same user, which then loses half of its connections
/// without a word: when a second balancer is started by mistake, and when the
/// system chooses the port. So the first socket binds alone, and only opens the
/// address to the others once it has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// The first socket of an address.
    After,
    /// The others.
    Before,
}

fn bind_tcp(
    address: SocketAddr,
    share: Share,
    options: &SocketOptions,
) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if share == Share::Before {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // "[::]:80" is IPv6 only, so that it can stand beside "0.0.0.0:80".
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    if share == Share::After {
        socket.set_reuse_port(true)?;
    }
    set_options(&socket, options)?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// What accepted connections inherit from the socket that accepts them: set
/// once here instead of on each.
fn set_options(socket: &RawSocket, options: &SocketOptions) -> io::Result<()> {
    // A response goes out when it is written, not when the last one was
    // acknowledged.
    socket.set_tcp_nodelay(true)?;
    // What is off is turned off: the socket may have had it.
    match options.keepalive {
        Some(KeepaliveProbes { idle, interval, count }) => {
            let probes = TcpKeepalive::new().with_time(idle).with_interval(interval);
            socket.set_tcp_keepalive(&probes.with_retries(count))?;
        }
        None => socket.set_keepalive(false)?,
    }
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(options.user_timeout)?;
        let wait = options.defer_accept.map_or(0, |wait| wait.as_secs());
        let seconds = i32::try_from(wait).unwrap_or(i32::MAX);
        nix::sys::socket::setsockopt(socket, DeferAccept, &seconds)?;
    }
    Ok(())
}

// Neither socket2 nor nix has it.
#[cfg(target_os = "linux")]
sockopt_impl!(
    /// TCP_DEFER_ACCEPT (tcp(7)), in seconds.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    i32
);

#[cfg(target_os = "linux")]
sockopt_impl!(
    /// TCP_INFO (tcp(7)): the beginning of `struct tcp_info`, as far as it is
    /// read. nix refuses an answer that is shorter than what was asked for, and
    /// libc's declaration is longer than that of many kernels.
    Info,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u64; 16]
);

/// How many bytes the peer has acknowledged (RFC 4898,
/// `tcpEStatsAppHCThruOctetsAcked`).
pub(super) fn acknowledged(stream: &TcpStream) -> Option<u64> {
    // tcpi_bytes_acked lies at byte 120, since Linux 4.1.
    #[cfg(target_os = "linux")]
    return nix::sys::socket::getsockopt(stream, Info).ok().map(|info| info[15]);
    #[cfg(not(target_os = "linux"))]
    None
}

/// Binds a path. A socket file that nobody listens on is left over from a
/// process that died, and is replaced.
fn bind_unix(path: &Path, options: &SocketOptions) -> io::Result<StdUnixListener> {
    let listener = match listen_unix(path, options) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            std::fs::remove_file(path)?;
            listen_unix(path, options)?
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Whether nobody listens at a path, and it is a socket at all: connecting to any
/// other file is refused as well.
fn is_left_over(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
    let refuses = || {
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        // Whoever listens may not accept in time.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    is_socket && refuses().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn listen_unix(path: &Path, options: &SocketOptions) -> io::Result<StdUnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Bound {
    /// The same socket once more: one queue, of which each connection goes to
    /// whoever is first.
    pub fn another(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Tells sockets apart; copies of one are the same.
    pub fn inode(&self) -> Option<u64> {
        nix::sys::stat::fstat(self).ok().map(|stat| stat.st_ino)
    }

    /// What it is bound to.
    pub fn address(&self) -> io::Result<BindAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(BindAddress::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(BindAddress::Unix(path.to_owned()))
            }
        }
    }

    /// Sets the options of a socket that is bound already. What it has accepted
    /// keeps those that it had.
    pub fn set_options(&self, options: &SocketOptions) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                let socket = SockRef::from(listener);
                set_options(&socket, options)?;
                // Again: it changes the backlog and nothing else.
                socket.listen(options.backlog)
            }
            Self::Unix(listener) => SockRef::from(listener).listen(options.backlog),
        }
    }

    /// Enters the current runtime.
    pub fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => {
                // Every connection's own end, unless it accepts for all addresses.
                let local = listener.local_addr().ok().filter(|end| !end.ip().is_unspecified());
                Socket::Tcp(TcpListener::from_std(listener)?, local)
            }
            Self::Unix(listener) => Socket::Unix(UnixListener::from_std(listener)?),
        })
    }
}

impl Socket {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, local) => {
                let (stream, peer) = listener.accept().await?;
                let local = local.or_else(|| stream.local_addr().ok());
                Ok(Accepted::Tcp { stream, peer, local })
            }
            Self::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }
}

impl Socket {
    /// A connection that waits now, whether or not the runtime knows of it yet.
    /// `WouldBlock` if there is none.
    pub(super) fn accept_now(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, local) => {
                let (socket, peer) = SockRef::from(listener).accept()?;
                socket.set_nonblocking(true)?;
                let stream = TcpStream::from_std(socket.into())?;
                let peer = peer.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
                let local = local.or_else(|| stream.local_addr().ok());
                Ok(Accepted::Tcp { stream, peer, local })
            }
            Self::Unix(listener) => {
                let (socket, _) = SockRef::from(listener).accept()?;
                socket.set_nonblocking(true)?;
                Ok(Accepted::Unix(UnixStream::from_std(socket.into())?))
            }
        }
    }
}

impl Accepted {
    /// A connection that was let in.
    pub(super) fn into_raw(self, held: Held) -> Raw {
        match self {
            Self::Tcp { stream, .. } => Raw::tcp(stream, held),
            Self::Unix(stream) => Raw::unix(stream, held),
        }
    }

    /// The number of its descriptor.
    pub(super) fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp { stream, .. } => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Both ends; the loopback address for the peer of a Unix socket.
    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::Tcp { peer, local, .. } => {
                Ends { peer: peer.ip().to_canonical(), peer_port: peer.port(), local: *local }
            }
            Self::Unix(_) => {
                Ends { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), peer_port: 0, local: None }
            }
        }
    }
}
