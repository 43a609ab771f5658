//! How names are resolved. Nothing is resolved here.

use std::time::Duration;

use super::context::{Context, at};
use crate::config::Dns;
use crate::upstream::DnsSettings;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests may wait so long for the first look-up.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn settings(written: Option<&Dns>, context: &mut Context<'_>) -> DnsSettings {
    let (servers, timeout) = match written {
        None => (None, None),
        Some(Dns { servers, timeout }) => (servers.as_deref(), *timeout),
    };
    if servers.is_some_and(<[_]>::is_empty) {
        context.missing(
            at!["dns", "servers"],
            "name at least one server, or leave the key out for those of /etc/resolv.conf",
        );
    }
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, |span| span.duration());
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
        context.error(at!["dns", "timeout"], "must be longer than 0s and at most 1m");
    }
    DnsSettings {
        servers: servers.unwrap_or_default().iter().map(|server| server.socket()).collect(),
        timeout,
    }
}
