//! What routes refer to by name: upstreams, limits, listeners.

use std::collections::HashSet;
use std::sync::Arc;

use http::StatusCode;

use super::context::{Context, at};
use super::upstreams::parts;
use crate::config::{self, Config, OneOrMany, Path};
use crate::limit::ConcurrencyLimiter;
use crate::policy::{Charge, Concurrency, ConcurrencyId, LimitId, ListenerId, UpstreamId};
use crate::snapshot::{Limit, Listener};
use crate::upstream::Upstream;
use crate::values::KeyPart;

/// What routes refer to, and what of it is used.
pub(super) struct Scope<'s> {
    pub(super) config: &'s Config,
    pub(super) listeners: &'s [Listener],
    pub(super) upstreams: &'s [Arc<Upstream>],
    limits: &'s [Limit],
    counters: Vec<Arc<ConcurrencyLimiter>>,
    used_listeners: HashSet<ListenerId>,
    used_upstreams: HashSet<usize>,
    used_limits: HashSet<usize>,
}

impl<'s> Scope<'s> {
    pub(super) fn new(
        config: &'s Config,
        listeners: &'s [Listener],
        upstreams: &'s [Arc<Upstream>],
        limits: &'s [Limit],
    ) -> Self {
        Self {
            config,
            listeners,
            upstreams,
            limits,
            counters: Vec::new(),
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
            None => found.extend((0..self.listeners.len() as u32).map(ListenerId)),
            Some([]) => {
                context.missing(path, "name at least one listener, or leave the key out for all");
            }
            Some(names) => {
                for (index, name) in names.iter().enumerate() {
                    let listener = self.listeners.iter().position(|l| *l.name == **name);
                    let Some(listener) = listener.map(|index| ListenerId(index as u32)) else {
                        let path = path.join(index);
                        context.unknown_name(path, "listeners", "listener", name);
                        continue;
                    };
                    if !found.contains(&listener) {
                        found.push(listener);
                    }
                }
            }
        }
        self.used_listeners.extend(&found);
        found
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

    /// A counter of its own for a route.
    pub(super) fn concurrency(&mut self, written: &config::MaxConcurrent) -> Concurrency {
        let config::MaxConcurrent { key, limit, status } = written;
        let id = ConcurrencyId(self.counters.len() as u32);
        self.counters.push(Arc::default());
        Concurrency {
            id,
            key: key_or_client(key.as_ref()),
            limit: *limit,
            status: refusal(*status),
        }
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
        for (index, listener) in self.listeners.iter().enumerate() {
            if !self.used_listeners.contains(&ListenerId(index as u32)) {
                let name = &*listener.name;
                context.warn(
                    at!["listeners", name],
                    format!("no virtual host is served on the listener \"{name}\""),
                );
            }
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
