//! Binding.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::policy::ListenerId;
use crate::snapshot::Listener;
use crate::values::BindAddress;

/// Connections that the kernel holds until we accept them, for each socket;
/// it may cap this at net.core.somaxconn (nginx: `backlog`, 511).
const BACKLOG: i32 = 4096;

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{listener}\" cannot bind {address}: {error}")]
pub struct BindError {
    listener: String,
    address: String,
    error: io::Error,
}

/// One bound address: a socket for each worker.
#[derive(Debug)]
pub struct Sockets {
    /// Whose address it is.
    pub listener: ListenerId,
    /// The address, with the port that the system chose for port 0.
    pub address: BindAddress,
    /// One for each worker.
    pub per_worker: Vec<Bound>,
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
    /// TCP.
    Tcp(TcpListener),
    /// A Unix stream socket.
    Unix(UnixListener),
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Accepted {
    /// TCP, and who is there.
    Tcp(TcpStream, SocketAddr),
    /// Unix.
    Unix(UnixStream),
}

/// Binds every address of a listener once for each worker.
pub fn bind(
    id: ListenerId,
    listener: &Listener,
    workers: usize,
) -> Result<Vec<Sockets>, BindError> {
    listener
        .bind
        .iter()
        .map(|address| {
            bind_address(id, address, workers.max(1)).map_err(|error| BindError {
                listener: listener.name.to_string(),
                address: address.to_string(),
                error,
            })
        })
        .collect()
}

fn bind_address(
    listener: ListenerId,
    address: &BindAddress,
    workers: usize,
) -> io::Result<Sockets> {
    match address {
        BindAddress::Tcp(wanted) => {
            let first = bind_tcp(*wanted, Share::After)?;
            let actual = first.local_addr()?;
            let mut per_worker = vec![Bound::Tcp(first)];
            for _ in 1..workers {
                per_worker.push(Bound::Tcp(bind_tcp(actual, Share::Before)?));
            }
            Ok(Sockets { listener, address: BindAddress::Tcp(actual), per_worker })
        }
        BindAddress::Unix(path) => {
            let first = bind_unix(path)?;
            let mut per_worker = Vec::with_capacity(workers);
            for _ in 1..workers {
                per_worker.push(Bound::Unix(first.try_clone()?));
            }
            per_worker.push(Bound::Unix(first));
            Ok(Sockets { listener, address: address.clone(), per_worker })
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

fn bind_tcp(address: SocketAddr, share: Share) -> io::Result<std::net::TcpListener> {
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
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a path. A socket file that nobody listens on is left over from a
/// process that died, and is replaced.
fn bind_unix(path: &Path) -> io::Result<StdUnixListener> {
    let listener = match StdUnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    StdUnixListener::bind(path)?
                }
                _ => return Err(error),
            }
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Bound {
    /// Enters the current runtime.
    pub fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => Socket::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener) => Socket::Unix(UnixListener::from_std(listener)?),
        })
    }
}

impl Socket {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A response goes out when it is written, not when the last
                // one was acknowledged. Failure costs latency, nothing else.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, peer))
            }
            Self::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }
}
