//! Listeners.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::connections;
use super::context::{Context, at};
use super::{headers, server_tls};
use crate::config;
use crate::snapshot::{Listener, Listeners, Process, Registry};
use crate::values::BindAddress;

pub(super) fn listeners(
    written: &BTreeMap<String, config::Listener>,
    process: &Process,
    registry: &Registry,
    context: &mut Context<'_>,
) -> Listeners {
    if written.is_empty() {
        context.missing(at!["listeners"], "there are no listeners; add one under \"listeners\"");
    }
    let mut bound: HashMap<BindAddress, String> = HashMap::new();
    let mut listeners = Vec::with_capacity(written.len());
    for (name, listener) in written {
        let connections = connections::connections(name, listener, context);
        let config::Listener { bind, response_headers, tls, .. } = listener;
        if bind.is_empty() {
            context.missing(
                at!["listeners", name.as_str(), "bind"],
                "a listener needs at least one address",
            );
        }
        for (index, address) in bind.iter().enumerate() {
            if address.overlaps(&BindAddress::Tcp(process.status)) {
                context.error(
                    at!["listeners", name.as_str(), "bind", index],
                    format!("{address} leaves no port for the status server at {}", process.status),
                );
                continue;
            }
            if let Some(admin) = &process.admin
                && address.overlaps(admin)
            {
                context.error(
                    at!["listeners", name.as_str(), "bind", index],
                    format!("{address} leaves no place for the admin server at {admin}"),
                );
                continue;
            }
            let by_system = matches!(address, BindAddress::Tcp(address) if address.port() == 0);
            let owner = format!("listener \"{name}\"");
            if let Some(first) = bound.insert(address.clone(), owner).filter(|_| !by_system) {
                context.error(
                    at!["listeners", name.as_str(), "bind", index],
                    format!("{address} is already bound by {first}"),
                );
            }
        }
        let edits = headers::edits(
            response_headers.as_ref(),
            &at!["listeners", name.as_str(), "response_headers"],
            context,
        );
        let edits = without_hsts_on_plain(name, tls.is_some(), edits, context);
        let name: Arc<str> = name.as_str().into();
        listeners.push(Listener {
            slot: registry.slots.get(&name),
            bind: bind.clone(),
            response_headers: edits,
            tls: tls.as_ref().and_then(|tls| server_tls::server_tls(&name, tls, registry, context)),
            connections,
            name,
        });
    }
    listeners.into_iter().collect()
}

/// RFC 6797 §7.2: never over plain HTTP.
fn without_hsts_on_plain(
    name: &str,
    tls: bool,
    mut edits: crate::response::HeaderEdits,
    context: &mut Context<'_>,
) -> crate::response::HeaderEdits {
    let hsts = |field: &http::HeaderName| *field == http::header::STRICT_TRANSPORT_SECURITY;
    if !tls && edits.set.iter().chain(&edits.add).any(|(field, _)| hsts(field)) {
        context.warn(
            at!["listeners", name, "response_headers"],
            "Strict-Transport-Security is never sent on a listener without TLS (RFC 6797 section 7.2)",
        );
        edits.set.retain(|(field, _)| !hsts(field));
        edits.add.retain(|(field, _)| !hsts(field));
    }
    edits
}
