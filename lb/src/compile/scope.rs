//! What routes refer to by name: upstreams, limits, listeners.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;

use super::context::{Context, at};
use super::upstreams::key_or_client;
use crate::config::{self, Config, Path};
use crate::limit::ConcurrencyLimiter;
use crate::policy::{Charge, Concurrency, ConcurrencyId, LimitId, ListenerId, UpstreamId};
use crate::snapshot::{ConcurrencyIdentity, Limit, Listeners, Registry};
use crate::upstream::Upstream;

/// What routes refer to, and what of it is used.
pub(super) struct Scope<'s> {
    pub(super) config: &'s Config,
    pub(super) listeners: &'s Listeners,
    pub(super) upstreams: &'s [Arc<Upstream>],
    limits: &'s [Limit],
    registry: &'s Registry,
    counters: Vec<Arc<ConcurrencyLimiter>>,
    /// How many routes of a host have had a name, of those with a counter.
    named: HashMap<(Arc<str>, Arc<str>), usize>,
    used_listeners: HashSet<ListenerId>,
    used_upstreams: HashSet<usize>,
    used_limits: HashSet<usize>,
}

impl<'s> Scope<'s> {
    pub(super) fn new(
        config: &'s Config,
        listeners: &'s Listeners,
        upstreams: &'s [Arc<Upstream>],
        limits: &'s [Limit],
        registry: &'s Registry,
    ) -> Self {
        Self {
            config,
            listeners,
            upstreams,
            limits,
            registry,
            counters: Vec::new(),
            named: HashMap::new(),
            used_listeners: HashSet::new(),
            used_upstreams: HashSet::new(),
            used_limits: HashSet::new(),
        }
    }

    /// The counters that [`concurrency`](Self::concurrency) made, by id.
    pub(super) fn into_counters(self) -> Vec<Arc<ConcurrencyLimiter>> {
        self.counters
    }

    /// The listeners that the virtual host at `path` names; all without names.
    pub(super) fn served_on(
        &mut self,
        names: Option<&[String]>,
        path: &Path,
        context: &mut Context<'_>,
    ) -> Vec<ListenerId> {
        let path = path.join("listeners");
        let mut found = Vec::new();
        match names {
            None => found.extend(self.listeners.iter().map(|listener| listener.slot.id())),
            Some([]) => {
                context.missing(path, "name at least one listener, or leave the key out for all");
            }
            Some(names) => {
                for (index, name) in names.iter().enumerate() {
                    let Some(listener) = self.listeners.named(name) else {
                        let path = path.join(index);
                        context.unknown_name(path, "listeners", "listener", name);
                        continue;
                    };
                    let id = listener.slot.id();
                    if !found.contains(&id) {
                        found.push(id);
                    }
                }
            }
        }
        self.used_listeners.extend(&found);
        found
    }

    /// The name of a listener.
    pub(super) fn listener_name(&self, id: ListenerId) -> &str {
        self.listeners.get(id).map_or("", |listener| &listener.name)
    }

    /// The upstream that the value at `path` names.
    pub(super) fn upstream(
        &mut self,
        name: &str,
        path: &Path,
        context: &mut Context<'_>,
    ) -> Option<UpstreamId> {
        let Some(index) = self.upstreams.iter().position(|upstream| *upstream.name == *name) else {
            context.unknown_name(path.clone(), "upstreams", "upstream", name);
            return None;
        };
        self.used_upstreams.insert(index);
        Some(UpstreamId(index as u32))
    }

    /// The buckets that `names`, the rate limits of the route at `path`, stand for.
    pub(super) fn charges(
        &mut self,
        names: &[String],
        path: &Path,
        context: &mut Context<'_>,
    ) -> Vec<Charge> {
        let mut charges: Vec<Charge> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let Some(position) = self.limits.iter().position(|limit| *limit.name == **name) else {
                let path = path.join("rate_limits").join(index);
                context.unknown_name(path, "rate_limits", "rate limit", name);
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

    /// A counter of its own for a route, by the names of its host and itself.
    pub(super) fn concurrency(
        &mut self,
        written: &config::MaxConcurrent,
        host: &Arc<str>,
        route: &Arc<str>,
    ) -> Concurrency {
        let config::MaxConcurrent { key, limit, status } = written;
        let id = ConcurrencyId(self.counters.len() as u32);
        let (host, route) = (Arc::clone(host), Arc::clone(route));
        let occurrence = self.named.entry((Arc::clone(&host), Arc::clone(&route))).or_default();
        let key = key_or_client(key.as_ref());
        let identity =
            ConcurrencyIdentity { host, route, occurrence: *occurrence, key: Arc::clone(&key) };
        *occurrence += 1;
        self.counters
            .push(self.registry.concurrency.get_or_make(identity, ConcurrencyLimiter::default));
        Concurrency { id, key, limit: *limit, status: refusal(*status) }
    }

    /// Warns about what no route or virtual host refers to. Silent when there
    /// are errors: what is broken may be what uses them.
    pub(super) fn warn_unused(&self, context: &mut Context<'_>) {
        if context.has_errors() {
            return;
        }
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if !self.used_upstreams.contains(&index) {
                let name = &*upstream.name;
                context
                    .warn(at!["upstreams", name], format!("no route uses the upstream \"{name}\""));
            }
        }
        for (index, limit) in self.limits.iter().enumerate() {
            if !self.used_limits.contains(&index) {
                let name = &*limit.name;
                context.warn(
                    at!["rate_limits", name],
                    format!("no route uses the rate limit \"{name}\""),
                );
            }
        }
        for listener in self.listeners.iter() {
            if !self.used_listeners.contains(&listener.slot.id()) {
                let name = &*listener.name;
                context.warn(
                    at!["listeners", name],
                    format!("no virtual host is served on the listener \"{name}\""),
                );
            }
        }
    }
}

fn refusal(status: Option<u16>) -> StatusCode {
    status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::TOO_MANY_REQUESTS)
}
