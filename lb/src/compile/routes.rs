//! Virtual hosts and routes: from names to ids, from layers to values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

use super::context::{Context, at};
use super::upstreams::parts;
use super::{headers, inherit, reach, table_builder};
use crate::config::{self, Config, OneOrMany, Path, RedirectScheme};
use crate::limit::ConcurrencyLimiter;
use crate::policy::{
    Charge, Concurrency, ConcurrencyId, Conditions, Forward, HostId, HostSpec, LimitId, ListenerId,
    PathMatch, Redirect, Route, RouteAction, Table, TableBuilder, TableError, UpstreamId,
};
use crate::request::normalise_path;
use crate::response::HeaderEdits;
use crate::snapshot::{Limit, Listener};
use crate::upstream::Upstream;
use crate::values::KeyPart;

/// What routes refer to.
struct Scope<'s> {
    config: &'s Config,
    listeners: &'s [Listener],
    upstreams: &'s [Arc<Upstream>],
    limits: &'s [Limit],
    used_upstreams: HashSet<usize>,
    used_limits: HashSet<usize>,
    concurrency: Vec<Arc<ConcurrencyLimiter>>,
}

pub(super) fn table(
    written: &[config::VirtualHost],
    config: &Config,
    listeners: &[Listener],
    upstreams: &[Arc<Upstream>],
    limits: &[Limit],
    context: &mut Context<'_>,
) -> (Table, Vec<Arc<ConcurrencyLimiter>>) {
    let mut builder = table_builder(listeners.len());
    let mut scope = Scope {
        config,
        listeners,
        upstreams,
        limits,
        used_upstreams: HashSet::new(),
        used_limits: HashSet::new(),
        concurrency: Vec::new(),
    };
    let mut used_listeners = HashSet::new();
    let mut first_written: HashMap<HostId, usize> = HashMap::new();
    for (index, host) in written.iter().enumerate() {
        virtual_host(
            index,
            host,
            &mut builder,
            &mut scope,
            &mut used_listeners,
            &mut first_written,
            context,
        );
    }
    warn_unused(&scope, &used_listeners, written, context);
    (builder.build(), scope.concurrency)
}

fn virtual_host(
    index: usize,
    written: &config::VirtualHost,
    builder: &mut TableBuilder,
    scope: &mut Scope<'_>,
    used_listeners: &mut HashSet<u32>,
    first_written: &mut HashMap<HostId, usize>,
    context: &mut Context<'_>,
) {
    let config::VirtualHost { hosts, listeners, request_headers, response_headers, routes } =
        written;
    let path = at!["virtual_hosts", index];
    let response_headers =
        headers::edits(response_headers.as_ref(), &path.join("response_headers"), context);
    let request_headers =
        headers::edits(request_headers.as_ref(), &path.join("request_headers"), context);
    if hosts.is_empty() {
        context.error(
            path.join("hosts"),
            "a virtual host needs at least one name; \"*\" takes all others",
        );
    }
    let name: Arc<str> = hosts.first().map_or_else(String::new, ToString::to_string).into();
    let host = builder.host(HostSpec { name, response_headers: response_headers.clone() });
    first_written.insert(host, index);

    for listener in served_on(listeners.as_deref(), &path, scope, context) {
        used_listeners.insert(listener.0);
        for (position, pattern) in hosts.iter().enumerate() {
            if let Err(TableError::DuplicateHost(first)) = builder.name(host, listener, pattern) {
                let listener = &scope.listeners[listener.0 as usize].name;
                let line = context.line(&at!["virtual_hosts", first_written[&first], "hosts"]);
                context.error(
                    path.join("hosts").join(position),
                    format!("\"{pattern}\" is already served on listener \"{listener}\", by the virtual host on line {line}"),
                );
            }
        }
    }
    if routes.is_empty() {
        context
            .warn(path.join("routes"), "this virtual host has no routes; every request gets 404");
    }
    let mut reachable = reach::Reachable::default();
    for (position, route) in routes.iter().enumerate() {
        let path = path.join("routes").join(position);
        let layers = HostLayers { request: &request_headers, response: &response_headers };
        let Some((matching, route)) = compile_route(route, host, layers, &path, scope, context)
        else {
            continue;
        };
        if let Some(reason) = reachable.add(position, &matching, &route.conditions) {
            let reason = match reason {
                reach::Hidden::By(first) => {
                    let line = context.line(&at!["virtual_hosts", index, "routes", first]);
                    format!(
                        "this route can never match: the route on line {line} takes everything it would"
                    )
                }
            };
            context.error(path.join("match"), reason);
        }
        builder.route(&matching, route);
    }
    if let Err(error) = builder.finish(host) {
        context.error(path.join("routes"), error.to_string());
    }
}

fn served_on(
    names: Option<&[String]>,
    path: &Path,
    scope: &Scope<'_>,
    context: &mut Context<'_>,
) -> Vec<ListenerId> {
    let Some(names) = names else {
        return (0..scope.listeners.len() as u32).map(ListenerId).collect();
    };
    if names.is_empty() {
        context.error(
            path.join("listeners"),
            "name at least one listener, or leave the key out for all",
        );
    }
    let mut found = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match scope.listeners.iter().position(|listener| *listener.name == **name) {
            Some(listener) => {
                let listener = ListenerId(listener as u32);
                if !found.contains(&listener) {
                    found.push(listener);
                }
            }
            None => {
                let known = scope.listeners.iter().map(|listener| &*listener.name);
                context.unknown_name(
                    path.join("listeners").join(index),
                    "listeners",
                    "listener",
                    name,
                    known,
                );
            }
        }
    }
    found
}

/// What a virtual host hands down to its routes.
#[derive(Clone, Copy)]
struct HostLayers<'h> {
    request: &'h HeaderEdits,
    response: &'h HeaderEdits,
}

fn compile_route(
    written: &config::Route,
    host: HostId,
    layers: HostLayers<'_>,
    path: &Path,
    scope: &mut Scope<'_>,
    context: &mut Context<'_>,
) -> Option<(PathMatch, Route)> {
    let config::Route {
        name,
        matches,
        upstream,
        redirect,
        rate_limits,
        max_concurrent,
        websocket,
        timeouts,
        retry,
        limits,
        access_log,
        request_headers,
        response_headers,
    } = written;

    let matching = path_match(matches, &path.join("match"), context);
    let conditions = conditions(matches, &path.join("match"), context);
    let own_request_headers =
        headers::edits(request_headers.as_ref(), &path.join("request_headers"), context);
    let own_response_headers =
        headers::edits(response_headers.as_ref(), &path.join("response_headers"), context);

    let action = match (upstream, redirect) {
        (Some(_), Some(_)) => {
            context.error(
                path.join("redirect"),
                "a route has either \"upstream\" or \"redirect\", not both",
            );
            None
        }
        (None, None) => {
            context.error(path.clone(), "a route needs \"upstream\" or \"redirect\"");
            None
        }
        (None, Some(redirect)) => {
            let forward_only = [
                ("websocket", websocket.is_some()),
                ("timeouts", timeouts.is_some()),
                ("retry", retry.is_some()),
                ("limits", limits.is_some()),
                ("request_headers", request_headers.is_some()),
            ];
            for (key, _) in forward_only.iter().filter(|(_, given)| *given) {
                context.error(
                    path.join(*key),
                    format!("{key} has no effect on a redirect; remove it"),
                );
            }
            compile_redirect(redirect, &path.join("redirect"), context).map(RouteAction::Redirect)
        }
        (Some(name), None) => {
            let upstream = scope.upstream(name, &path.join("upstream"), context);
            let of_upstream = scope.config.upstreams.get(name);
            let defaults = scope.config.defaults.as_ref();
            if websocket == &Some(true)
                && upstream.is_some_and(|id| scope.upstreams[id.index()].protocol.is_http2())
            {
                context.error(
                    path.join("websocket"),
                    format!("WebSocket upgrades need HTTP/1.1 to the endpoints, but upstream \"{name}\" speaks HTTP/2"),
                );
            }
            for (key, span) in timeouts.iter().flat_map(timeout_fields) {
                if span.is_some_and(|span| span.duration().is_zero()) {
                    context.error(path.join("timeouts").join(key), "must be longer than 0s");
                }
            }
            upstream.map(|upstream| {
                RouteAction::Forward(Forward {
                    upstream,
                    websocket: websocket.unwrap_or(false),
                    timeouts: inherit::timeouts(&[
                        timeouts.as_ref(),
                        of_upstream.and_then(|upstream| upstream.timeouts.as_ref()),
                        defaults.and_then(|defaults| defaults.timeouts.as_ref()),
                    ]),
                    retry: inherit::retry(&[
                        retry.as_ref(),
                        of_upstream.and_then(|upstream| upstream.retry.as_ref()),
                        defaults.and_then(|defaults| defaults.retry.as_ref()),
                    ]),
                    body_limit: inherit::body_limit(limits.as_ref(), defaults),
                    request_headers: layers.request.overlaid(&own_request_headers),
                })
            })
        }
    };
    if let Some(config::Retry { budget: Some(_), .. }) = retry {
        context.error(
            path.join("retry").join("budget"),
            "the retry budget belongs to the upstream or to defaults, not to a route",
        );
    }
    let charges = scope.charges(rate_limits, path, context);
    let concurrency = max_concurrent.as_ref().map(|limit| scope.concurrency(limit));

    let matching = matching?;
    let name = name.clone().unwrap_or_else(|| match &matching {
        PathMatch::Exact(path) => format!("= {path}"),
        PathMatch::Prefix(prefix) => prefix.clone(),
        PathMatch::Regex(pattern) => format!("~ {pattern}"),
    });
    let route = Route {
        name: name.into(),
        host,
        conditions: conditions?,
        action: action?,
        charges,
        concurrency,
        access_log: access_log.unwrap_or(true),
        response_headers: layers.response.overlaid(&own_response_headers),
    };
    Some((matching, route))
}

fn timeout_fields(timeouts: &config::Timeouts) -> [(&'static str, Option<crate::values::Span>); 4] {
    let config::Timeouts { connect, send, read, request } = timeouts;
    [("connect", *connect), ("send", *send), ("read", *read), ("request", *request)]
}

fn path_match(written: &config::Match, at: &Path, context: &mut Context<'_>) -> Option<PathMatch> {
    let given: Vec<(&str, &String)> = [
        ("path", &written.path),
        ("path_prefix", &written.path_prefix),
        ("path_regex", &written.path_regex),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value.as_ref()?)))
    .collect();
    let (key, value) = match given.as_slice() {
        [one] => *one,
        [] => {
            context.error(at.clone(), "a match needs \"path\", \"path_prefix\" or \"path_regex\"");
            return None;
        }
        [_, (second, _), ..] => {
            context.error(
                at.join(*second),
                "a match has only one of \"path\", \"path_prefix\" and \"path_regex\"",
            );
            return None;
        }
    };
    let at = at.join(key);
    if key == "path_regex" {
        return match PathMatch::check_regex(value) {
            Ok(()) => Some(PathMatch::Regex(value.clone())),
            Err(error) => {
                context.error(at, format!("the regular expression does not compile: {error}"));
                None
            }
        };
    }
    let never = if !value.starts_with('/') {
        Some("a path starts with \"/\"")
    } else if value.contains(['?', '#']) {
        Some("a path has no query; use \"query\" in the match, so this route can never match")
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(
            "write spaces and other scripts percent-encoded, as clients send them; this route can never match",
        )
    } else {
        None
    };
    if let Some(reason) = never {
        context.error(at, format!("\"{value}\": {reason}"));
        return None;
    }
    match normalise_path(value) {
        Ok(normal) => Some(match key {
            "path" => PathMatch::Exact(normal.path.into_owned()),
            _ => PathMatch::Prefix(normal.path.into_owned()),
        }),
        Err(error) => {
            context.error(at, format!("this route can never match: {error}"));
            None
        }
    }
}

fn conditions(written: &config::Match, at: &Path, context: &mut Context<'_>) -> Option<Conditions> {
    let mut sound = true;
    let mut methods = Vec::new();
    for (index, method) in written.methods.iter().flatten().enumerate() {
        let path = at.join("methods").join(index);
        if method.parse::<http::Method>().is_err() {
            context.error(path, format!("\"{method}\" is not a method"));
            sound = false;
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = method.to_ascii_uppercase();
            context.error(
                path,
                format!("methods are case-sensitive, so \"{method}\" can never match; did you mean \"{upper}\"?"),
            );
            sound = false;
        } else if !methods.contains(method) {
            methods.push(method.clone());
        }
    }
    if written.methods.as_ref().is_some_and(Vec::is_empty) {
        context.error(at.join("methods"), "name at least one method, or leave the key out for all");
        sound = false;
    }
    methods.sort();
    let mut headers: BTreeMap<String, (HeaderName, Vec<u8>)> = BTreeMap::new();
    for (name, value) in &written.headers {
        let path = at.join("headers").join(name.as_str());
        match (name.parse::<HeaderName>(), HeaderValue::try_from(value.as_str())) {
            (Ok(parsed), Ok(value)) => {
                let entry = (parsed.clone(), value.as_bytes().to_vec());
                if headers.insert(parsed.as_str().to_owned(), entry).is_some() {
                    context.error(
                        path,
                        format!("the header \"{name}\" is given twice; names are case-insensitive"),
                    );
                    sound = false;
                }
            }
            (Err(_), _) => {
                context.error(path, format!("\"{name}\" is not a header name"));
                sound = false;
            }
            (_, Err(_)) => {
                context.error(path, "no header can have this value");
                sound = false;
            }
        }
    }
    let query = written.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    sound.then(|| Conditions { methods, headers: headers.into_values().collect(), query })
}

fn compile_redirect(
    written: &config::Redirect,
    at: &Path,
    context: &mut Context<'_>,
) -> Option<Redirect> {
    let config::Redirect { scheme, host, port, path, status } = written;
    let mut sound = true;
    if let Some(host) = host
        && !matches!(host.parse(), Ok(crate::values::HostPattern::Exact(_)))
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
        context.error(at.clone(), "a redirect without scheme, host, port or path points at itself");
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

impl Scope<'_> {
    fn upstream(
        &mut self,
        name: &str,
        path: &Path,
        context: &mut Context<'_>,
    ) -> Option<UpstreamId> {
        match self.upstreams.iter().position(|upstream| *upstream.name == *name) {
            Some(index) => {
                self.used_upstreams.insert(index);
                Some(UpstreamId(index as u32))
            }
            None => {
                let known = self.upstreams.iter().map(|upstream| &*upstream.name);
                context.unknown_name(path.clone(), "upstreams", "upstream", name, known);
                None
            }
        }
    }

    fn charges(&mut self, names: &[String], path: &Path, context: &mut Context<'_>) -> Vec<Charge> {
        let mut charges: Vec<Charge> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let Some(position) = self.limits.iter().position(|limit| *limit.name == **name) else {
                let known = self.limits.iter().map(|limit| &*limit.name);
                let path = path.join("rate_limits").join(index);
                context.unknown_name(path, "rate_limits", "rate limit", name, known);
                continue;
            };
            self.used_limits.insert(position);
            let limit = LimitId(position as u32);
            if charges.iter().any(|charge| charge.limit == limit) {
                let path = path.join("rate_limits").join(index);
                context.error(path, format!("the rate limit \"{name}\" is named twice"));
                continue;
            }
            let written = self.config.rate_limits.get(name);
            charges.push(Charge {
                limit,
                key: key_or_client(written.and_then(|written| written.key.as_ref())),
                status: refusal(written.and_then(|written| written.status)),
            });
        }
        charges
    }

    fn concurrency(&mut self, written: &config::MaxConcurrent) -> Concurrency {
        let config::MaxConcurrent { key, limit, status } = written;
        let id = ConcurrencyId(self.concurrency.len() as u32);
        self.concurrency.push(Arc::default());
        Concurrency {
            id,
            key: key_or_client(key.as_ref()),
            limit: *limit,
            status: refusal(*status),
        }
    }
}

fn key_or_client(key: Option<&OneOrMany<KeyPart>>) -> Arc<[KeyPart]> {
    key.map_or_else(|| Arc::from([KeyPart::ClientIp]), parts)
}

fn refusal(status: Option<u16>) -> StatusCode {
    status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::TOO_MANY_REQUESTS)
}

fn warn_unused(
    scope: &Scope<'_>,
    used_listeners: &HashSet<u32>,
    hosts: &[config::VirtualHost],
    context: &mut Context<'_>,
) {
    for (index, upstream) in scope.upstreams.iter().enumerate() {
        if !scope.used_upstreams.contains(&index) {
            context.warn(
                at!["upstreams", &*upstream.name],
                format!("no route uses the upstream \"{}\"", upstream.name),
            );
        }
    }
    for (index, limit) in scope.limits.iter().enumerate() {
        if !scope.used_limits.contains(&index) {
            context.warn(
                at!["rate_limits", &*limit.name],
                format!("no route uses the rate limit \"{}\"", limit.name),
            );
        }
    }
    for (index, listener) in scope.listeners.iter().enumerate() {
        if !used_listeners.contains(&(index as u32)) {
            context.warn(
                at!["listeners", &*listener.name],
                format!("no virtual host is served on the listener \"{}\"", listener.name),
            );
        }
    }
    if hosts.is_empty() && !context.is_written("virtual_hosts") {
        context.warn(at![], "there are no virtual hosts; every request gets an error");
    }
}
