//! Descriptors: how many there are, and how many connections they carry.

use std::os::fd::RawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What is not for connections: listeners, logs, checks, names, the status
/// server, and the eventfds of the workers.
const RESERVE: u64 = 128;

/// What is left of [`RESERVE`] when connections have taken more than they
/// should: the status server must answer, logs must open again, and exchanges
/// that were let in must find an endpoint.
const KEPT: u64 = 32;

/// Raises the limit on open files as far as the process may (nginx:
/// `worker_rlimit_nofile`), and gives what it is then.
pub(super) fn raise_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// How many connections from clients are let in.
pub(super) fn room(configured: Option<u32>, files: u64) -> usize {
    // Each may need a connection to an endpoint beside its own.
    let fits = (files.saturating_sub(RESERVE) / 2).max(1);
    let Some(configured) = configured else { return usize::try_from(fits).unwrap_or(usize::MAX) };
    if u64::from(configured) > files.saturating_sub(RESERVE) {
        tracing::warn!(
            max_connections = configured,
            open_files = files,
            "the limit on open files is too low for max_connections; raise it (ulimit -n, LimitNOFILE)"
        );
    }
    configured as usize
}

/// The number from which descriptors are not for clients.
pub(super) fn for_clients(files: u64) -> RawFd {
    RawFd::try_from(files - KEPT.min(files / 4)).unwrap_or(RawFd::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_not_for_clients() {
        assert_eq!(for_clients(1024), 992);
        assert_eq!(for_clients(64), 48);
        assert_eq!(for_clients(u64::MAX), RawFd::MAX);
    }

    #[test]
    fn a_connection_has_room_for_its_endpoint() {
        assert_eq!(room(None, 1024), 448);
        assert_eq!(room(None, 10), 1);
        assert_eq!(room(Some(7), 1024), 7);
    }
}
