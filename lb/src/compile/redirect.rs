//! Redirects, checked.

use http::StatusCode;

use super::context::Context;
use crate::config::{self, Listener, Path, RedirectScheme};
use crate::policy::{Conditions, PathMatch, Redirect};
use crate::values::{BindAddress, HostPattern};

/// Compiles the redirect at `at`.
pub(super) fn compile(
    written: &config::Redirect,
    at: &Path,
    context: &mut Context<'_>,
) -> Option<Redirect> {
    let config::Redirect { scheme, host, port, path, status } = written;
    let mut sound = true;
    if let Some(host) = host
        && !matches!(host.parse(), Ok(HostPattern::Exact(_)))
    {
        context.error(
            at.join("host"),
            format!("\"{host}\" is not a host name; the port goes under \"port\""),
        );
        sound = false;
    }
    if let Some(path) = path
        && (!path.starts_with('/')
            || path.parse::<http::uri::PathAndQuery>().is_err()
            || path.contains('?'))
    {
        context.error(
            at.join("path"),
            format!("\"{path}\" is not a path; it starts with \"/\" and has no query"),
        );
        sound = false;
    }
    let status = status.unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&status) {
        context.error(
            at.join("status"),
            format!("{status} is not a redirect; write 301, 302, 303, 307 or 308"),
        );
        sound = false;
    }
    if scheme.is_none() && host.is_none() && port.is_none() && path.is_none() {
        context
            .missing(at.clone(), "a redirect without scheme, host, port or path points at itself");
        sound = false;
    }
    sound.then(|| Redirect {
        https: scheme.map(|scheme| scheme == RedirectScheme::Https),
        host: host.as_ref().map(|host| host.to_ascii_lowercase()),
        port: *port,
        path: path.clone(),
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND),
    })
}

/// The listener on which whoever follows the redirect comes straight back to
/// it, if there is one. Sound, not complete: what is reported is a loop.
pub(super) fn loops_on<'l>(
    redirect: &Redirect,
    matching: &PathMatch,
    conditions: &Conditions,
    listeners: impl IntoIterator<Item = (&'l str, &'l Listener)>,
) -> Option<&'l str> {
    let Redirect { https, host, port, path, status: _ } = redirect;
    let same_path = match path {
        None => true,
        Some(path) => *matching == PathMatch::Exact(path.clone()),
    };
    // Another host is another place, or this one by a name that differs.
    if host.is_some() || !same_path || !conditions.is_empty() {
        return None;
    }
    let leads_back = |listener: &Listener| {
        let tls = listener.tls.is_some();
        let standard = if tls { 443 } else { 80 };
        let target = match (port, https) {
            (Some(port), _) => Some(*port),
            (None, Some(_)) => Some(standard),
            // The port that the client used.
            (None, None) => None,
        };
        let same_port = target.is_none_or(|target| {
            let bound = |bind: &BindAddress| {
                matches!(bind, BindAddress::Tcp(address) if address.port() == target)
            };
            listener.bind.iter().any(bound)
        });
        https.is_none_or(|https| https == tls) && same_port
    };
    listeners.into_iter().find(|(_, listener)| leads_back(listener)).map(|(name, _)| name)
}
