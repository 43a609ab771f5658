//! The sections about the process itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::context::{Context, at};
use crate::config::{self, Defaults, LogFormat, MaxConnections, Workers};
use crate::snapshot::{AccessLog, HeadLimits, Process};
use crate::values::BindAddress;

/// The version of the contract that this program reads.
const VERSION: u32 = 1;

/// Loopback only: metrics say a lot about a fleet.
const DEFAULT_STATUS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// The largest head that can be allowed: what Pingora reads of one at most.
const LARGEST_HEAD: u64 = 1 << 20;

pub(super) fn check_version(version: u32, context: &mut Context<'_>) {
    if version != VERSION {
        context.error(
            at!["version"],
            format!("version {version} is not known; this program reads version 1"),
        );
    }
}

/// The sections about the process, as they were written.
pub(super) struct Written<'w> {
    pub(super) workers: &'w Option<Workers>,
    pub(super) max_connections: &'w Option<MaxConnections>,
    pub(super) status: &'w Option<config::Status>,
    pub(super) admin: &'w Option<config::Admin>,
    pub(super) reload: &'w Option<config::Reload>,
    pub(super) access_log: &'w Option<config::AccessLog>,
    pub(super) shutdown: &'w Option<config::Shutdown>,
}

pub(super) fn process(written: &Written<'_>, context: &mut Context<'_>) -> Process {
    let Written { workers, max_connections, status, admin, reload, access_log, shutdown } = written;
    let workers = match workers {
        Some(Workers::Count(count)) => usize::from(*count),
        Some(Workers::Word(_)) | None => {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    };
    let status = match status {
        Some(config::Status { address: Some(address) }) => address.socket(),
        Some(config::Status { address: None }) | None => DEFAULT_STATUS,
    };
    if let Some(config::AccessLog { path: Some(path), .. }) = access_log
        && path.is_empty()
    {
        context.error(
            at!["access_log", "path"],
            "the name of the file is empty; \"-\" is standard output",
        );
    }
    let (path, format) = match access_log {
        None => (None, None),
        Some(config::AccessLog { path, format }) => (path.as_deref(), *format),
    };
    let access_log = AccessLog {
        path: path.filter(|path| *path != "-").map(|path| context.file(path)),
        format: format.unwrap_or(LogFormat::Json),
    };
    let (delay, drain, handover) = match shutdown {
        None => (None, None, None),
        Some(config::Shutdown { delay, drain_timeout, handover_timeout }) => {
            (*delay, *drain_timeout, *handover_timeout)
        }
    };
    context.positive(at!["shutdown", "handover_timeout"], handover, "must be longer than 0s");
    let admin = admin.as_ref().map(|config::Admin { address }| address.clone());
    if let Some(address) = &admin {
        check_admin(address, status, context);
    }
    Process {
        workers,
        max_connections: match max_connections {
            Some(MaxConnections::Count(count)) => Some(*count),
            Some(MaxConnections::Word(_)) | None => None,
        },
        status,
        admin,
        watch: reload.as_ref().and_then(|config::Reload { watch }| *watch).unwrap_or(false),
        access_log,
        shutdown_delay: delay.map_or(Duration::ZERO, |span| span.duration()),
        drain_timeout: drain.map_or(Duration::from_secs(30), |span| span.duration()),
        handover_timeout: handover.map_or(Duration::from_secs(60), |span| span.duration()),
    }
}

/// Whoever reaches the admin server operates the process.
fn check_admin(address: &BindAddress, status: SocketAddr, context: &mut Context<'_>) {
    if let BindAddress::Tcp(tcp) = address
        && !tcp.ip().is_loopback()
    {
        context.error(
            at!["admin", "address"],
            format!(
                "{address} is no loopback address; use 127.0.0.1:PORT, [::1]:PORT or unix:/path"
            ),
        );
    }
    if address.overlaps(&BindAddress::Tcp(status)) {
        context.error(at!["admin", "address"], format!("{address} is the status server's"));
    }
}

pub(super) fn head_limits(defaults: Option<&Defaults>, context: &mut Context<'_>) -> HeadLimits {
    let limits = defaults.and_then(|defaults| defaults.limits.clone()).unwrap_or_default();
    for (key, size) in [("header_size", limits.header_size), ("uri", limits.uri)] {
        if size.is_some_and(|size| !(1..=LARGEST_HEAD).contains(&size.bytes())) {
            context.error(at!["defaults", "limits", key], "must be from 1B to 1MiB");
        }
    }
    HeadLimits {
        header_size: limits.header_size.map_or(32 << 10, |size| size.bytes() as usize),
        headers: limits.headers.map_or(100, usize::from),
        uri: limits.uri.map_or(8 << 10, |size| size.bytes() as usize),
    }
}
