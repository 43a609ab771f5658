//! The sections about the process itself.

use std::net::SocketAddr;
use std::time::Duration;

use super::context::{Context, at};
use crate::config::{self, Defaults, LogFormat, Workers};
use crate::snapshot::{AccessLog, HeadLimits, Process};

/// The version of the contract that this program reads.
const VERSION: u32 = 1;

pub(super) fn check_version(version: u32, context: &mut Context<'_>) {
    if version != VERSION {
        context.error(
            at!["version"],
            format!("version {version} is not known; this program reads version 1"),
        );
    }
}

pub(super) fn process(
    workers: &Option<Workers>,
    status: &Option<config::Status>,
    access_log: &Option<config::AccessLog>,
    shutdown: &Option<config::Shutdown>,
    context: &mut Context<'_>,
) -> Process {
    let workers = match workers {
        Some(Workers::Count(count)) => usize::from(*count),
        Some(Workers::Word(_)) | None => {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    };
    let default_status = SocketAddr::from(([127, 0, 0, 1], 9900));
    let status = match status {
        None => default_status,
        Some(config::Status { address }) => address.parse().unwrap_or_else(|_| {
            context.error(
                at!["status", "address"],
                format!("\"{address}\" is not IP:PORT; write for instance 127.0.0.1:9900"),
            );
            default_status
        }),
    };
    let (path, format) = match access_log {
        None => (None, None),
        Some(config::AccessLog { path, format }) => (path.as_deref(), *format),
    };
    let access_log = AccessLog {
        path: path.filter(|path| *path != "-").map(|path| context.file(path)),
        format: format.unwrap_or(LogFormat::Json),
    };
    let (delay, drain) = match shutdown {
        None => (None, None),
        Some(config::Shutdown { delay, drain_timeout }) => (*delay, *drain_timeout),
    };
    Process {
        workers,
        status,
        access_log,
        shutdown_delay: delay.map_or(Duration::ZERO, |span| span.duration()),
        drain_timeout: drain.map_or(Duration::from_secs(30), |span| span.duration()),
    }
}

pub(super) fn head_limits(defaults: Option<&Defaults>) -> HeadLimits {
    let limits = defaults.and_then(|defaults| defaults.limits.clone()).unwrap_or_default();
    HeadLimits {
        header_size: limits.header_size.map_or(32 << 10, |size| size.bytes() as usize),
        headers: limits.headers.map_or(100, usize::from),
        uri: limits.uri.map_or(8 << 10, |size| size.bytes() as usize),
    }
}
