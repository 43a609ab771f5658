//! Where the endpoints of an upstream come from. Nobody is asked here.

use std::collections::HashSet;
use std::time::Duration;

use super::context::Context;
use crate::config::{self, EndpointsFrom, Path, Step};
use crate::upstream::{EndpointRules, ServiceRef, Shared, Source, Tier};
use crate::values::{EndpointAddress, ServicePort};

/// The sources of an upstream, in written order: what is known beforehand first.
pub(super) fn sources(
    written: &config::Upstream,
    slow_start: Option<Duration>,
    upstream: &Path,
    shared: &Shared,
    context: &mut Context<'_>,
) -> Vec<Source> {
    let (endpoints, from) = (&written.endpoints, found(written));
    let rules = |backup: Option<bool>, max_connections| EndpointRules {
        tier: if backup == Some(true) { Tier::Backup } else { Tier::First },
        max_connections,
        slow_start,
    };
    let mut sources = Vec::with_capacity(endpoints.len() + from.len());
    let mut seen = HashSet::new();
    for (index, written) in endpoints.iter().enumerate() {
        let config::Endpoint { address, weight, backup, max_connections } = written;
        if !seen.insert(address.clone()) {
            context.error(
                upstream.join("endpoints").join(index),
                format!(
                    "{address} is already an endpoint of this upstream; give it a weight instead"
                ),
            );
            continue;
        }
        let rules = rules(*backup, *max_connections);
        sources.push(Source::new(address, u32::from(weight.unwrap_or(1)), rules, shared));
    }
    let mut services = HashSet::new();
    for (path, written) in found_at(written, upstream) {
        let EndpointsFrom { kubernetes, dns, port, weight, backup, max_connections } = written;
        let weight = u32::from(weight.unwrap_or(1));
        let rules = rules(*backup, *max_connections);
        match (kubernetes, dns) {
            (Some(service), None) => {
                if port.is_some() {
                    context.error(
                        path.join("port"),
                        "this port goes with dns; that of a Service stands under kubernetes",
                    );
                }
                let Some(service) = service_ref(service) else {
                    let what = "a port is a name, or a number from 1 to 65535";
                    context.error(path.join("kubernetes").join("port"), what);
                    continue;
                };
                if !services.insert(service.clone()) {
                    let what = format!("{service} is already a source of this upstream");
                    context.error(path.join("kubernetes"), what);
                    continue;
                }
                sources.push(Source::of_service(service, weight, rules, shared));
            }
            (None, Some(name)) => {
                let Some(port) = port else {
                    context.missing(path, "dns needs a port, that of every address");
                    continue;
                };
                let address = EndpointAddress::Name(name.as_str().to_owned(), *port);
                if !seen.insert(address.clone()) {
                    let what = format!("{address} is already an endpoint of this upstream");
                    context.error(path.join("dns"), what);
                    continue;
                }
                sources.push(Source::new(&address, weight, rules, shared));
            }
            (Some(_), Some(_)) => {
                context.error(path, "give kubernetes or dns, not both; a list has several sources");
            }
            (None, None) => context.missing(path, "give kubernetes or dns"),
        }
    }
    check_some(written, upstream, context);
    sources
}

/// What finds endpoints while running.
fn found(written: &config::Upstream) -> &[EndpointsFrom] {
    written.endpoints_from.as_ref().map_or(&[], |from| from.as_slice())
}

/// The same, each with its place.
fn found_at<'w>(
    written: &'w config::Upstream,
    upstream: &Path,
) -> impl Iterator<Item = (Path, &'w EndpointsFrom)> {
    let path = upstream.join("endpoints_from");
    let is_list = matches!(written.endpoints_from, Some(config::OneOrMany::Many(_)));
    found(written).iter().enumerate().map(move |(index, from)| {
        (if is_list { path.join(Step::Index(index)) } else { path.clone() }, from)
    })
}

/// The names that endpoints have, each with its place.
pub(super) fn names<'w>(written: &'w config::Upstream, upstream: &Path) -> Vec<(Path, &'w str)> {
    let mut names = Vec::new();
    for (index, endpoint) in written.endpoints.iter().enumerate() {
        if let EndpointAddress::Name(name, _) = &endpoint.address {
            names.push((upstream.join("endpoints").join(index), name.as_str()));
        }
    }
    for (path, from) in found_at(written, upstream) {
        names.extend(from.dns.as_ref().map(|name| (path.join("dns"), name.as_str())));
    }
    names
}

/// Whether some endpoints are pods.
pub(super) fn has_services(written: &config::Upstream) -> bool {
    found(written).iter().any(|from| from.kubernetes.is_some())
}

/// Whether some endpoints can be full.
pub(super) fn is_limited(written: &config::Upstream) -> bool {
    let known = written.endpoints.iter().map(|endpoint| endpoint.max_connections);
    known.chain(found(written).iter().map(|from| from.max_connections)).any(|most| most.is_some())
}

fn service_ref(written: &config::Service) -> Option<ServiceRef> {
    let config::Service { namespace, service, port } = written;
    let port = match port {
        // `${PORT}` is text. The name of a port has a letter.
        ServicePort::Name(name) if name.as_str().bytes().all(|byte| byte.is_ascii_digit()) => {
            ServicePort::Number(name.as_str().parse().ok().filter(|number| *number > 0)?)
        }
        port => port.clone(),
    };
    let (namespace, name) = (namespace.as_str().into(), service.as_str().into());
    Some(ServiceRef { namespace, name, port })
}

/// Refuses an upstream of nobody, and backups of nobody.
fn check_some(written: &config::Upstream, upstream: &Path, context: &mut Context<'_>) {
    let from = found(written);
    let is_found = written.endpoints.is_empty() && written.endpoints_from.is_some();
    let path = upstream.join(if is_found { "endpoints_from" } else { "endpoints" });
    if written.endpoints.is_empty() && from.is_empty() {
        context.missing(path, "an upstream needs at least one endpoint, or endpoints_from");
        return;
    }
    let known = written.endpoints.iter().map(|endpoint| endpoint.backup);
    if known.chain(from.iter().map(|from| from.backup)).all(|backup| backup == Some(true)) {
        context.missing(path, "every endpoint is a backup; at least one must not be");
    }
}
