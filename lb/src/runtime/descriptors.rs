//! Descriptors: how many there are, and how many connections they carry.

use std::os::fd::RawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::snapshot::{Listeners, Process};

/// What is not for connections: logs, checks, names, the status
/// server, and the eventfds of the workers.
const RESERVE: u64 = 128;

/// What a listening socket takes for each worker: our copy, the worker's, and one that
/// it can give up when they run out.
const EACH_SOCKET: u64 = 3;

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
pub(super) fn room(process: &Process, listeners: &Listeners, files: u64) -> usize {
    let configured = process.max_connections;
    let addresses: usize = listeners.iter().map(|listener| listener.bind.len()).sum();
    let taken = RESERVE + (addresses * process.workers) as u64 * EACH_SOCKET;
    // Each may need a connection to an endpoint beside its own.
    let fits = (files.saturating_sub(taken) / 2).max(1);
    let Some(configured) = configured else { return usize::try_from(fits).unwrap_or(usize::MAX) };
    if u64::from(configured) > files.saturating_sub(taken) {
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

    fn room_of(top: &str, files: u64) -> usize {
        let yaml = format!(
            r#"
version: 1
workers: 2
{top}
listeners: {{ http: {{ bind: ["127.0.0.1:80", "127.0.0.1:81"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "127.0.0.1:1" }}] }} }}
virtual_hosts: [{{ hosts: ["*"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}]
"#
        );
        let registry = crate::snapshot::Registry::default();
        let directory = std::path::Path::new(".");
        let compiled = crate::compile::compile_text(&yaml, directory, &|_| None, &registry);
        let snapshot = compiled.snapshot.unwrap();
        room(&snapshot.process, &snapshot.listeners, files)
    }

    #[test]
    fn a_connection_has_room_for_its_endpoint() {
        // Two addresses, two workers.
        assert_eq!(room_of("", 1024), (1024 - 128 - 12) / 2);
        assert_eq!(room_of("", 10), 1);
        assert_eq!(room_of("max_connections: 7", 1024), 7);
    }
}
