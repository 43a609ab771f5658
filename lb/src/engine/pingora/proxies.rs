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

use parking_lot::Mutex;

use super::Proxy;
use crate::engine::{Live, Shared};
use crate::upstream::{TlsIdentity, Upstream};

/// The proxies of one worker.
pub(super) struct Proxies {
    shared: Arc<Shared>,
    workers: usize,
    built: Mutex<HashMap<Group, Built>>,
}

/// Upstreams that are alike in TLS: the digest of their identity; `None` for those
/// without one of their own.
type Group = Option<[u8; 32]>;

struct Built {
    proxy: Arc<HttpProxy<Proxy>>,
    /// How many idle connections it keeps.
    idle: usize,
}

impl Proxies {
    /// Builds those that the live snapshot needs.
    pub(super) fn new(shared: &Arc<Shared>, workers: usize) -> Self {
        let proxies =
            Self { shared: Arc::clone(shared), workers: workers.max(1), built: Mutex::default() };
        proxies.follow(&shared.live());
        proxies
    }

    /// Builds what a snapshot needs and is not there yet, and gives up what it does
    /// not need.
    ///
    /// Idle connections are pooled per worker and proxy, in one LRU over the
    /// upstreams that use it; its size is this worker's share of the sum of
    /// their `max_idle`. Where that changes, the pool begins anew.
    pub(super) fn follow(&self, live: &Live) {
        let mut groups: HashMap<Group, (Option<&TlsIdentity>, usize)> = HashMap::new();
        groups.insert(None, (None, 0));
        for upstream in live.upstreams.iter().map(|live| &live.upstream) {
            let (_, idle) = groups.entry(group(upstream)).or_insert((identity(upstream), 0));
            *idle += upstream.max_idle;
        }
        let mut built = self.built.lock();
        built.retain(|group, _| groups.contains_key(group));
        for (group, (identity, idle)) in groups {
            let idle = idle.div_ceil(self.workers);
            if built.get(&group).is_none_or(|built| built.idle != idle) {
                let proxy = Arc::new(proxy(&self.shared, identity, idle));
                built.insert(group, Built { proxy, idle });
            }
        }
    }

    /// The proxy that carries what goes to this upstream; any one, when nothing is
    /// forwarded.
    pub(super) fn of(&self, upstream: Option<&Upstream>) -> Arc<HttpProxy<Proxy>> {
        let group = upstream.and_then(group);
        let mut built = self.built.lock();
        if let Some(built) = built.get(&group) {
            return Arc::clone(&built.proxy);
        }
        // The request was decided by a snapshot that has gone since.
        let idle = upstream.map_or(0, |upstream| upstream.max_idle).div_ceil(self.workers);
        let proxy = Arc::new(proxy(&self.shared, upstream.and_then(identity), idle));
        built.insert(group, Built { proxy: Arc::clone(&proxy), idle });
        proxy
    }
}

fn group(upstream: &Upstream) -> Group {
    upstream.tls.as_ref()?.identity_digest
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
