//! Upstreams and rate limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{Context, at};
use super::{endpoints, failover, health_check, inherit, server_tls};
use crate::balance::Algorithm;
use crate::config::{self, Balance, Defaults, OneOrMany, Path, SendProxy};
use crate::limit::RateLimiter;
use crate::snapshot::{Limit, LimiterIdentity, Registry};
use crate::tls;
use crate::upstream::{
    ClusterSettings, DnsSettings, Members, Protocol, TlsIdentity, Upstream, UpstreamTls,
};
use crate::values::KeyPart;

/// As many keys as nginx's 10 MB zone holds on 64 bits.
const DEFAULT_MAX_KEYS: u32 = 80_000;

/// Whom endpoints are asked of, of all upstreams.
pub(super) struct Finders {
    pub(super) dns: Arc<DnsSettings>,
    pub(super) kubernetes: Arc<ClusterSettings>,
}

pub(super) fn upstreams(
    written: &BTreeMap<String, config::Upstream>,
    defaults: Option<&Defaults>,
    finders: &Finders,
    context: &mut Context<'_>,
    registry: &Registry,
) -> Vec<Arc<Upstream>> {
    written
        .iter()
        .map(|(name, upstream)| {
            Arc::new(compile_upstream(name, upstream, defaults, finders, context, registry))
        })
        .collect()
}

pub(super) fn limits(
    written: &BTreeMap<String, config::RateLimit>,
    registry: &Registry,
    context: &mut Context<'_>,
) -> Vec<Limit> {
    written
        .iter()
        .map(|(name, limit)| {
            let config::RateLimit { key, rate, burst, status: _, max_keys } = limit;
            check_key(key.as_ref(), at!["rate_limits", name.as_str(), "key"], context);
            let identity = LimiterIdentity {
                name: name.clone(),
                rate: *rate,
                burst: burst.unwrap_or(0),
                max_keys: max_keys.unwrap_or(DEFAULT_MAX_KEYS),
                key: key_or_client(key.as_ref()),
            };
            let LimiterIdentity { rate, burst, max_keys, .. } = identity;
            let limiter =
                registry.limiters.get_or_make(identity, || RateLimiter::new(rate, burst, max_keys));
            Limit { name: name.as_str().into(), limiter }
        })
        .collect()
}

fn compile_upstream(
    name: &str,
    written: &config::Upstream,
    defaults: Option<&Defaults>,
    finders: &Finders,
    context: &mut Context<'_>,
    registry: &Registry,
) -> Upstream {
    let config::Upstream {
        balance,
        hash_key,
        protocol,
        tls: _,
        endpoints: _,
        endpoints_from: _,
        health_check,
        passive_health,
        min_healthy_percent,
        queue,
        slow_start,
        outlier,
        circuit_breaker,
        timeouts,
        retry,
        keepalive,
        send_proxy,
    } = written;
    let path = at!["upstreams", name];
    let name: Arc<str> = name.into();

    let balance = balance.unwrap_or(Balance::LeastConnections);
    let slow_start = failover::slow_start(*slow_start, balance, &path, context);
    let shared = registry.upstreams.shared(&name);
    let sources = endpoints::sources(written, slow_start, &path, &shared, context);

    inherit::check_times(
        timeouts.as_ref(),
        passive_health.as_ref(),
        keepalive.as_ref(),
        &path,
        context,
    );
    check_key(hash_key.as_ref(), path.join("hash_key"), context);
    let hash_key = match (balance, hash_key) {
        (Balance::ConsistentHash, Some(key)) => parts(key),
        (Balance::ConsistentHash, None) => Arc::new([KeyPart::Uri]),
        (Balance::IpHash, None) => Arc::new([KeyPart::ClientIp]),
        (_, None) => Arc::new([]),
        (_, Some(_)) => {
            context
                .error(path.join("hash_key"), "hash_key only goes with balance: consistent_hash");
            Arc::new([])
        }
    };
    let algorithm = match balance {
        Balance::LeastConnections => Algorithm::LeastConnections,
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::Random => Algorithm::Random,
        Balance::IpHash | Balance::ConsistentHash => Algorithm::Hash,
    };

    let protocol = match protocol.unwrap_or(config::Protocol::Http) {
        config::Protocol::Http => Protocol::Http1,
        config::Protocol::Https => Protocol::Http1Tls,
        config::Protocol::H2c => Protocol::Http2,
        config::Protocol::H2 => Protocol::Http2Tls,
    };
    let default_passive = defaults.and_then(|defaults| defaults.passive_health.as_ref());
    let default_keepalive = defaults.and_then(|defaults| defaults.keepalive.as_ref());
    let default_retry = defaults.and_then(|defaults| defaults.retry.as_ref());
    let (max_idle, idle_timeout) = inherit::keepalive(&[keepalive.as_ref(), default_keepalive]);
    Upstream {
        members: Members::of(&sources, algorithm, &shared),
        sources,
        dns: Arc::clone(&finders.dns),
        kubernetes: Arc::clone(&finders.kubernetes),
        algorithm,
        hash_key,
        protocol,
        tls: upstream_tls(written, protocol, &path, context, registry),
        send_proxy: match send_proxy {
            Some(SendProxy::V2) => true,
            None => false,
        },
        check: health_check
            .as_ref()
            .map(|check| health_check::settings(check, &path.join("health_check"), context)),
        passive: inherit::passive(
            &[passive_health.as_ref(), default_passive],
            *min_healthy_percent,
        ),
        outlier: outlier
            .as_ref()
            .map(|outlier| failover::outlier(outlier, &path.join("outlier"), context)),
        queue: failover::queue(queue.as_ref(), endpoints::is_limited(written), &path, context),
        breaker: circuit_breaker.as_ref().map(|breaker| {
            failover::circuit_breaker(breaker, &path.join("circuit_breaker"), context)
        }),
        idle_timeout,
        max_idle,
        budget: inherit::budget(&[retry.as_ref(), default_retry]),
        shared,
        name,
    }
}

fn upstream_tls(
    written_upstream: &config::Upstream,
    protocol: Protocol,
    path: &Path,
    context: &mut Context<'_>,
    registry: &Registry,
) -> Option<UpstreamTls> {
    let written = written_upstream.tls.as_ref();
    let (upstream, path) = (path, path.join("tls"));
    if !protocol.is_tls() {
        if written.is_some() {
            context.error(path, "tls only goes with protocol: https or h2");
        }
        return None;
    }
    let (ca, server_name, client_certificate) = match written {
        None => (None, None, None),
        Some(config::UpstreamTls { ca, server_name, client_certificate }) => {
            (ca.as_deref(), server_name.clone(), client_certificate.as_ref())
        }
    };
    if let Some(name) = &server_name
        && rustls_pki_types::ServerName::try_from(name.as_str()).is_err()
    {
        context.error(
            path.join("server_name"),
            format!("\"{name}\" is not a name that TLS can ask for"),
        );
    }
    match &server_name {
        Some(name) if is_asked_for_otherwise(name) => {
            context.error(path.join("server_name"), no_underscore(name));
        }
        Some(_) => {}
        None => {
            for (path, name) in endpoints::names(written_upstream, upstream) {
                if is_asked_for_otherwise(name) {
                    let message = format!("{}; give tls.server_name", no_underscore(name));
                    context.error(path, message);
                }
            }
            if endpoints::has_services(written_upstream) {
                let what = "pods are asked for their addresses, which few certificates have; give tls.server_name";
                context.warn(upstream.join("protocol"), what);
            }
        }
    }
    let presented = match client_certificate {
        None => Some(None),
        Some(written) => {
            let path = path.join("client_certificate");
            server_tls::certificate(written, &path, context).map(Some)
        }
    };
    let ca_file = ca.map(|ca| context.file(ca));
    let authorities = match ca_file.as_deref().map(tls::load_authorities) {
        None => None,
        Some(Ok(authorities)) => Some(authorities),
        Some(Err(error)) => {
            context.error(path.join("ca"), error.to_string());
            return None;
        }
    };
    let alpn = if protocol.is_http2() { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    let presented = presented?;
    let certificate = presented.as_ref().map(|(_, loaded)| loaded);
    let pem = authorities.as_deref().map(tls::certificates_to_pem);
    let pair = match presented.as_ref().map(|(files, _)| tls::pair_to_pem(files)) {
        None => None,
        Some(Ok(pair)) => Some(pair),
        Some(Err(error)) => {
            context.error(path.join("client_certificate"), error.to_string());
            return None;
        }
    };
    let identity = (pem.is_some() || pair.is_some())
        .then_some(TlsIdentity { authorities: pem, certificate: pair });
    // Upstreams that are alike in this resume each other's sessions, and those of
    // the snapshot before.
    let trusted = tls::trusted(authorities);
    let made_of = (identity.clone(), tls::digest_of(&trusted), alpn.clone());
    let client = registry.client_tls.get_or_try_make(
        made_of,
        |_| true,
        || tls::client_config(&trusted, certificate, alpn),
    );
    match client {
        Ok(client) => {
            let identity_digest = identity.as_ref().map(TlsIdentity::digest);
            Some(UpstreamTls { identity, identity_digest, server_name, client })
        }
        Err(error) => {
            context.error(path.join("ca"), error.to_string());
            None
        }
    }
}

/// Pingora asks for such a name, and verifies it, with `-` for `_` in its first
/// label: for another host's. Health checks would ask for this one.
fn is_asked_for_otherwise(name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, rest)| first.contains('_') && rest.contains('.'))
}

fn no_underscore(name: &str) -> String {
    format!("TLS cannot ask for \"{name}\": a host's first label has no \"_\" (RFC 952)")
}

/// Refuses a key of no parts: everybody would have the same.
pub(super) fn check_key(key: Option<&OneOrMany<KeyPart>>, path: Path, context: &mut Context<'_>) {
    if let Some(OneOrMany::Many(parts)) = key
        && parts.is_empty()
    {
        context.missing(path, "name at least one part: client_ip, host, path, uri or header:NAME");
    }
}

/// What is counted by; the client's address if nothing is said.
pub(super) fn key_or_client(key: Option<&OneOrMany<KeyPart>>) -> Arc<[KeyPart]> {
    key.map_or_else(|| Arc::from([KeyPart::ClientIp]), parts)
}

pub(super) fn parts(key: &OneOrMany<KeyPart>) -> Arc<[KeyPart]> {
    key.to_vec().into()
}
