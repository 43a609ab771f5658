//! Virtual hosts and routes: from names to ids, from layers to values.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Context, at};
use super::scope::Scope;
use super::upstreams::check_key;
use super::{headers, inherit, matches, reach, redirect, table_builder};
use crate::config::{self, Config, Path};
use crate::limit::ConcurrencyLimiter;
use crate::policy::{
    Forward, HostId, HostSpec, PathMatch, Route, RouteAction, Table, TableBuilder, TableError,
};
use crate::response::HeaderEdits;
use crate::snapshot::{Limit, Listeners, Registry};
use crate::upstream::Upstream;

pub(super) fn table(
    written: &[config::VirtualHost],
    config: &Config,
    listeners: &Listeners,
    upstreams: &[Arc<Upstream>],
    limits: &[Limit],
    registry: &Registry,
    context: &mut Context<'_>,
) -> (Table, Vec<Arc<ConcurrencyLimiter>>) {
    let mut builder = table_builder(listeners.bound(), registry.key_seed);
    let mut scope = Scope::new(config, listeners, upstreams, limits, registry);
    let mut first_written: HashMap<HostId, usize> = HashMap::new();
    for (index, host) in written.iter().enumerate() {
        virtual_host(index, host, &mut builder, &mut scope, &mut first_written, context);
    }
    if written.is_empty() && context.is_complete(&at!["virtual_hosts"]) {
        context
            .warn(at!["virtual_hosts"], "there are no virtual hosts; every request gets an error");
    }
    scope.warn_unused(context);
    (builder.build(), scope.into_counters())
}

fn virtual_host(
    index: usize,
    written: &config::VirtualHost,
    builder: &mut TableBuilder,
    scope: &mut Scope<'_>,
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
        context.missing(
            path.join("hosts"),
            "a virtual host needs at least one name; \"*\" takes all others",
        );
    }
    let name: Arc<str> = hosts.first().map_or_else(String::new, ToString::to_string).into();
    let host = builder
        .host(HostSpec { name: Arc::clone(&name), response_headers: response_headers.clone() });
    first_written.insert(host, index);

    let served = scope.served_on(listeners.as_deref(), &path, context);
    for &listener in &served {
        for (position, pattern) in hosts.iter().enumerate() {
            if let Err(TableError::DuplicateHost(first)) = builder.name(host, listener, pattern) {
                let listener = scope.listener_name(listener);
                let line = context.line(&at!["virtual_hosts", first_written[&first], "hosts"]);
                let message = if first == host {
                    format!("\"{pattern}\" is given twice in this virtual host")
                } else {
                    format!(
                        "\"{pattern}\" is already served on listener \"{listener}\", by the virtual host on line {line}"
                    )
                };
                context.error(path.join("hosts").join(position), message);
            }
        }
    }
    if routes.is_empty() && context.is_complete(&path.join("routes")) {
        context
            .warn(path.join("routes"), "this virtual host has no routes; every request gets 404");
    }
    let mut reachable = reach::Reachable::default();
    for (position, route) in routes.iter().enumerate() {
        let path = path.join("routes").join(position);
        let layers =
            HostLayers { name: &name, request: &request_headers, response: &response_headers };
        let Some((matching, route)) = compile_route(route, host, layers, &path, scope, context)
        else {
            continue;
        };
        if let RouteAction::Redirect(redirect) = &route.action {
            let served = served.iter().filter_map(|listener| {
                let name = scope.listener_name(*listener);
                Some((name, scope.config.listeners.get(name)?))
            });
            if let Some(listener) =
                redirect::loops_on(redirect, &matching, &route.conditions, served)
            {
                context.error(
                    path.join("redirect"),
                    format!("on listener \"{listener}\" this redirect leads back to itself"),
                );
            }
        }
        reachable.add(position, &matching, &route.conditions);
        builder.route(&matching, route);
    }
    for reach::Hidden { route, by } in reachable.finish() {
        let line = context.line(&at!["virtual_hosts", index, "routes", by]);
        context.error(
            path.join("routes").join(route).join("match"),
            format!(
                "this route can never match: the route on line {line} takes everything it would"
            ),
        );
    }
    if let Err(error) = builder.finish(host) {
        context.error(path.join("routes"), error.to_string());
    }
}

/// What a virtual host hands down to its routes.
#[derive(Clone, Copy)]
struct HostLayers<'h> {
    name: &'h Arc<str>,
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
        matches: written_match,
        upstream,
        redirect: written_redirect,
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

    let matching = matches::path_match(written_match, &path.join("match"), context);
    let conditions = matches::conditions(written_match, &path.join("match"), context);
    let own_request_headers =
        headers::edits(request_headers.as_ref(), &path.join("request_headers"), context);
    let own_response_headers =
        headers::edits(response_headers.as_ref(), &path.join("response_headers"), context);

    let action = match (upstream, written_redirect) {
        (Some(_), Some(_)) => {
            context.error(
                path.join("redirect"),
                "a route has either \"upstream\" or \"redirect\", not both",
            );
            None
        }
        (None, None) => {
            context.missing(path.clone(), "a route needs \"upstream\" or \"redirect\"");
            None
        }
        (None, Some(redirect)) => {
            let forward_only = [
                ("websocket", websocket.is_some()),
                ("timeouts", timeouts.is_some()),
                ("retry", retry.is_some()),
                ("limits", limits.is_some()),
                ("max_concurrent", max_concurrent.is_some()),
                ("request_headers", request_headers.is_some()),
            ];
            for (key, _) in forward_only.iter().filter(|(_, given)| *given) {
                context.error(
                    path.join(*key),
                    format!("{key} has no effect on a redirect; remove it"),
                );
            }
            redirect::compile(redirect, &path.join("redirect"), context).map(RouteAction::Redirect)
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
            inherit::check_times(timeouts.as_ref(), None, None, path, context);
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
    if let Some(config::MaxConcurrent { key, .. }) = max_concurrent {
        check_key(key.as_ref(), path.join("max_concurrent").join("key"), context);
    }
    let charges = scope.charges(rate_limits, path, context);
    let matching = matching?;
    let name: Arc<str> = name
        .clone()
        .unwrap_or_else(|| match &matching {
            PathMatch::Exact(path) => format!("= {path}"),
            PathMatch::Prefix(prefix) => prefix.clone(),
            PathMatch::Regex(pattern) => format!("~ {pattern}"),
        })
        .into();
    let concurrency =
        max_concurrent.as_ref().map(|limit| scope.concurrency(limit, layers.name, &name));
    let route = Route {
        name,
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
