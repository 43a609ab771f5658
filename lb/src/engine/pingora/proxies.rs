//! Pingora's proxies of one worker: one for each identity in TLS.
//!
//! Pingora keeps one TLS configuration in each proxy, and builds another for
//! every connection to a peer with authorities or a certificate of its own:
//! no session would ever be resumed. So upstreams that differ in those have a
//! proxy each, and a pool of idle connections with it.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use ::pingora::apps::HttpServerOptions;
use ::pingora::connectors::ConnectorOptions;
use ::pingora::proxy::{HttpProxy, ProxyServiceBuilder};
use ::pingora::server::configuration::ServerConf;

use super::Proxy;
use crate::engine::Shared;
use crate::policy::Forward;
use crate::upstream::{TlsIdentity, Upstream};

/// The proxies, and which upstream uses which.
pub(super) struct Proxies {
    /// The first is for upstreams without an identity of their own.
    proxies: Vec<Arc<HttpProxy<Proxy>>>,
    by_upstream: Vec<usize>,
}

impl Proxies {
    /// Builds those that the live snapshot needs.
    ///
    /// Idle connections are pooled per worker and proxy, in one LRU over the
    /// upstreams that use it; its size is this worker's share of the sum of
    /// their `max_idle`.
    pub(super) fn new(shared: &Arc<Shared>, workers: usize) -> Self {
        let live = shared.live();
        let mut groups: Vec<(Option<&TlsIdentity>, usize)> = vec![(None, 0)];
        let mut known: HashMap<&TlsIdentity, usize> = HashMap::new();
        let mut by_upstream = Vec::with_capacity(live.upstreams.len());
        for upstream in live.upstreams.iter().map(|live| &live.upstream) {
            let group = match identity(upstream) {
                None => 0,
                Some(identity) => *known.entry(identity).or_insert_with(|| {
                    groups.push((Some(identity), 0));
                    groups.len() - 1
                }),
            };
            groups[group].1 += upstream.max_idle;
            by_upstream.push(group);
        }
        let proxies = groups
            .into_iter()
            .map(|(identity, idle)| {
                Arc::new(proxy(shared, identity, idle.div_ceil(workers.max(1))))
            })
            .collect();
        Self { proxies, by_upstream }
    }

    /// The proxy that carries what is forwarded so; any one, when nothing is.
    pub(super) fn of(&self, forward: Option<&Forward>) -> &Arc<HttpProxy<Proxy>> {
        let group = forward.map_or(0, |forward| self.by_upstream[forward.upstream.index()]);
        &self.proxies[group]
    }
}

fn identity(upstream: &Upstream) -> Option<&TlsIdentity> {
    upstream.tls.as_ref()?.identity.as_ref()
}

fn proxy(shared: &Arc<Shared>, identity: Option<&TlsIdentity>, idle: usize) -> HttpProxy<Proxy> {
    let conf = Arc::new(ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: idle,
        // Our own bound on attempts and our budget decide before this one.
        max_retries: usize::from(u8::MAX),
        ..ServerConf::default()
    });
    let inner = || Proxy { shared: Arc::clone(shared) };
    let mut proxy = HttpProxy::new(inner(), Arc::clone(&conf));
    if let Some(identity) = identity {
        match Files::new(identity) {
            Ok(files) => {
                let mut options = ConnectorOptions::from_server_conf(&conf);
                options.ca_file = files.ca.as_ref().map(Memory::path);
                options.cert_key_file =
                    files.certificate.as_ref().map(|(cert, key)| (cert.path(), key.path()));
                // The one way to give a proxy options of its connector is its
                // builder, which wraps it into a service that we do not need.
                let mut service =
                    ProxyServiceBuilder::new(&conf, inner()).client_options(options).build();
                if let Some(built) = service.app_logic_mut() {
                    std::mem::swap(&mut proxy, built);
                }
            }
            // Handshakes with these endpoints will fail, and say so.
            Err(error) => tracing::error!(%error, "an upstream's certificates cannot be used"),
        }
    }
    proxy.handle_init_modules();
    // CONNECT reaches our own refusal, which has a cause and a log line.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy
}

/// What compiling has read, as files: Pingora takes paths only, and panics on
/// what it cannot read. These cannot change any more.
struct Files {
    ca: Option<Memory>,
    certificate: Option<(Memory, Memory)>,
}

impl Files {
    fn new(identity: &TlsIdentity) -> io::Result<Self> {
        let TlsIdentity { authorities, certificate } = identity;
        Ok(Self {
            ca: authorities.as_deref().map(Memory::new).transpose()?,
            certificate: match certificate {
                Some((cert, key)) => Some((Memory::new(cert)?, Memory::new(key)?)),
                None => None,
            },
        })
    }
}

/// A file that lives in memory only.
struct Memory(OwnedFd);

impl Memory {
    fn new(content: &[u8]) -> io::Result<Self> {
        let file = nix::sys::memfd::memfd_create(c"lb", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        let mut file = std::fs::File::from(file);
        file.write_all(content)?;
        Ok(Self(file.into()))
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}
