//! The status server and the admin server, from one snapshot to the next.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::StartError;
use crate::admin::{Desk, StatusContext, bind_status, serve_admin, serve_status};
use crate::engine::Shared;
use crate::listener::{Bound, bind};
use crate::snapshot::{Process, SocketOptions};
use crate::values::BindAddress;

/// For a server that few ask.
const OPTIONS: SocketOptions =
    SocketOptions { backlog: 128, keepalive: None, user_timeout: None, defer_accept: None };

/// The servers that run.
#[derive(Debug, Default)]
pub(super) struct Servers {
    status: Option<Running<SocketAddr, TcpListener>>,
    admin: Option<Running<BindAddress, Bound>>,
}

/// A server, what was written for its address, and a copy of its socket.
#[derive(Debug)]
struct Running<A, S> {
    written: A,
    socket: S,
    task: JoinHandle<()>,
}

/// Aborted, it closes the socket once its connections are done.
impl<A, S> Drop for Running<A, S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sockets for a snapshot that is not live yet.
#[derive(Debug)]
pub(super) struct Prepared {
    /// With a copy to serve at: nothing that can fail is left for later.
    status: Option<(SocketAddr, TcpListener, TcpListener)>,
    admin: Change<(BindAddress, Bound, Bound)>,
}

#[derive(Debug)]
enum Change<T> {
    None,
    Off,
    To(T),
}

/// Sockets that somebody else has bound.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) status: Option<(SocketAddr, TcpListener)>,
    pub(super) admin: Option<(BindAddress, Bound)>,
}

impl Servers {
    /// Binds what a process needs and is not there yet.
    pub(super) fn prepare(&self, process: &Process) -> Result<Prepared, StartError> {
        self.prepare_with(process, Inherited::default())
    }

    /// The same, with sockets that are there already.
    pub(super) fn prepare_with(
        &self,
        process: &Process,
        inherited: Inherited,
    ) -> Result<Prepared, StartError> {
        let status = match &self.status {
            Some(running) if running.written == process.status => None,
            _ => {
                let known = inherited.status.filter(|(written, _)| *written == process.status);
                let socket = match known {
                    Some((_, socket)) => socket,
                    None => bind_status(process.status)?,
                };
                let copy = socket.try_clone()?;
                Some((process.status, socket, copy))
            }
        };
        let admin = match (&process.admin, &self.admin) {
            (None, None) => Change::None,
            (None, Some(_)) => Change::Off,
            (Some(wanted), Some(running)) if running.written == *wanted => Change::None,
            (Some(wanted), _) => {
                let known = inherited.admin.filter(|(written, _)| written == wanted);
                let socket = match known {
                    Some((_, socket)) => socket,
                    None => bind_admin(wanted)?,
                };
                let copy = socket.another()?;
                Change::To((wanted.clone(), socket, copy))
            }
        };
        Ok(Prepared { status, admin })
    }

    /// Serves at these sockets. Inside a runtime.
    pub(super) fn commit(&mut self, prepared: Prepared, shared: &Arc<Shared>, desk: &Arc<Desk>) {
        let Prepared { status, admin } = prepared;
        if let Some((written, socket, copy)) = status {
            let context = StatusContext { shared: Arc::clone(shared), desk: Arc::clone(desk) };
            let task = tokio::spawn(async move {
                report("status", serve_status(copy, context).await);
            });
            self.status = Some(Running { written, socket, task });
        }
        match admin {
            Change::None => {}
            Change::Off => self.admin = None,
            Change::To((written, socket, copy)) => {
                if let Ok(address) = socket.address() {
                    tracing::info!(%address, "admin server");
                }
                let desk = Arc::clone(desk);
                let task = tokio::spawn(async move {
                    report("admin", serve_admin(copy, desk).await);
                });
                self.admin = Some(Running { written, socket, task });
            }
        }
    }

    /// Where the status server is.
    pub(super) fn status_address(&self) -> Option<SocketAddr> {
        self.status.as_ref()?.socket.local_addr().ok()
    }

    /// The sockets, with what was written for them.
    pub(super) fn status_socket(&self) -> Option<(SocketAddr, &TcpListener)> {
        self.status.as_ref().map(|running| (running.written, &running.socket))
    }

    /// The same of the admin server.
    pub(super) fn admin_socket(&self) -> Option<(&BindAddress, &Bound)> {
        self.admin.as_ref().map(|running| (&running.written, &running.socket))
    }

    /// Others serve at our sockets from now on.
    pub(super) fn close(&mut self) {
        (self.status, self.admin) = (None, None);
    }
}

fn bind_admin(address: &BindAddress) -> Result<Bound, StartError> {
    let mut sockets = bind("admin", address, 1, &OPTIONS, false)?;
    if let BindAddress::Unix(path) = address {
        // Whoever may open it operates the process.
        use std::os::unix::fs::PermissionsExt;
        let only_us = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, only_us)?;
    }
    sockets
        .bound
        .pop()
        .ok_or_else(|| StartError::System(std::io::ErrorKind::AddrNotAvailable.into()))
}

fn report(what: &str, ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the {what} server has ended");
    }
}
