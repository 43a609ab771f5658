//! Upstreams: groups of endpoints, leases on them, and their health.
//!
//! Counters and health belong to an endpoint's identity (upstream name and
//! address) and live in [`Registry`]; a new snapshot finds them again. What is
//! configured about an upstream belongs to the snapshot.
//!
//! Who its endpoints are can change while the snapshot stays: [`Source`]s say whom
//! there is, [`Members`] are those that take requests, and the keeper of an
//! upstream brings the second after the first.

mod breaker;
mod budget;
mod check;
mod checker;
mod circuit;
mod dns;
mod ejection;
mod endpoint;
mod first_round;
mod health;
#[cfg(test)]
mod health_tests;
mod keeper;
mod kubernetes;
mod lease;
#[cfg(test)]
mod lease_tests;
mod members;
mod outlier;
mod probe;
mod queue;
mod registry;
#[cfg(test)]
mod services_tests;
mod slow_start;
mod source;
#[cfg(test)]
mod testing;
mod window;

pub use breaker::{Breaker, BreakerSettings, CircuitOpen, CircuitState, Probe};
pub use budget::{BudgetSettings, RetryBudget};
pub use checker::Checker;
pub use circuit::Outcome;
pub use dns::{DnsName, DnsSettings};
pub use endpoint::{EndpointState, Target};
pub use first_round::FirstRound;
pub use health::{CheckKind, CheckSettings, HttpCheck, PassiveSettings, Transition};
pub use kubernetes::{
    ClusterSettings, Counts, Problem as ServiceProblem, REASONS as SERVICE_PROBLEMS, Service,
    ServiceRef, ServiceStatus,
};
pub use lease::{Lease, Placement, Tried, Unavailable};
pub use members::{Endpoint, EndpointRules, Members, Tier};
pub use outlier::OutlierSettings;
pub use queue::{Queue, QueueSettings, Waiting};
pub use registry::{Idle, Registry, Shared};
pub use source::{Member, Source};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::balance::Algorithm;
use crate::tls::Fingerprint;
use crate::values::{EndpointAddress, KeyPart};

/// A group of endpoints, as one snapshot sees it.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// What requests are placed by, for pickers that hash.
    pub hash_key: Arc<[KeyPart]>,
    /// Where its endpoints come from, in written order.
    pub sources: Vec<Source>,
    /// How their names are resolved.
    pub dns: Arc<DnsSettings>,
    /// Whom its Services are asked of.
    pub kubernetes: Arc<ClusterSettings>,
    /// The endpoints. They may change while the snapshot stays.
    pub(crate) members: ArcSwap<Members>,
    /// The protocol spoken with them.
    pub protocol: Protocol,
    /// TLS towards them, for the protocols that have it.
    pub tls: Option<UpstreamTls>,
    /// Whether connections to them begin with a PROXY header, version 2.
    pub send_proxy: bool,
    /// Active checks.
    pub check: Option<CheckSettings>,
    /// When failures of real requests take an endpoint out.
    pub passive: PassiveSettings,
    /// Who is taken out for being unlike the others.
    pub outlier: Option<OutlierSettings>,
    /// Who waits when its endpoints are full.
    pub queue: Option<QueueSettings>,
    /// When it is left alone.
    pub breaker: Option<BreakerSettings>,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How many idle connections are kept.
    pub max_idle: usize,
    /// What retries may add to the load.
    pub budget: BudgetSettings,
    /// What outlives the snapshot.
    pub shared: Arc<Shared>,
}

/// The protocol spoken with endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 in clear.
    Http1,
    /// HTTP/1.1 over TLS.
    Http1Tls,
    /// HTTP/2 in clear, by prior knowledge.
    Http2,
    /// HTTP/2 over TLS.
    Http2Tls,
}

impl Protocol {
    /// Whether it runs over TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    /// Whether it is HTTP/2.
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }
}

/// TLS towards endpoints.
#[derive(Debug)]
pub struct UpstreamTls {
    /// What is particular to it, if anything is: authorities or a certificate.
    pub identity: Option<TlsIdentity>,
    /// Tells identities apart.
    pub identity_digest: Option<[u8; 32]>,
    /// The name to ask for and verify; the endpoint's own if `None`.
    pub server_name: Option<String>,
    /// The client side of handshakes.
    pub client: Arc<rustls::ClientConfig>,
}

/// Whom to trust and who to be, in TLS towards endpoints. Connections of equal
/// identities may share sessions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsIdentity {
    /// Authorities to trust, PEM; `None` for the system's.
    pub authorities: Option<Vec<u8>>,
    /// The certificate to present and its key, PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsIdentity {
    /// Tells identities apart.
    pub fn digest(&self) -> [u8; 32] {
        let Self { authorities, certificate } = self;
        let mut fingerprint = Fingerprint::default();
        fingerprint.optional_part(authorities.as_deref());
        fingerprint.optional_part(certificate.as_ref().map(|(chain, _)| &**chain));
        fingerprint.optional_part(certificate.as_ref().map(|(_, key)| &**key));
        fingerprint.finish()
    }
}

/// Without the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

impl UpstreamTls {
    /// The name to ask an endpoint for.
    pub fn name_for(&self, address: &EndpointAddress) -> String {
        match (&self.server_name, address) {
            (Some(name), _) => name.clone(),
            (None, EndpointAddress::Name(name, _)) => name.clone(),
            (None, EndpointAddress::Ip(address)) => address.ip().to_string(),
            (None, EndpointAddress::Unix(_)) => "localhost".to_owned(),
        }
    }
}

impl Upstream {
    /// Whether connections for the one do for the other.
    fn connects_as(&self, other: &Self) -> bool {
        let tls = |upstream: &Self| {
            let tls = upstream.tls.as_ref()?;
            Some((Arc::as_ptr(&tls.client), tls.server_name.clone()))
        };
        self.protocol == other.protocol
            && self.send_proxy == other.send_proxy
            && tls(self) == tls(other)
    }

    /// Requests that endpoints of this upstream have taken so far, those that have
    /// left included.
    pub fn requests(&self) -> u64 {
        let endpoints = &self.members().endpoints;
        let here: u64 = endpoints.iter().map(|endpoint| endpoint.state.requests_here()).sum();
        // After the sum: whoever leaves in between is counted twice for a moment,
        // rather than not at all.
        here + self.shared.requests_left()
    }

    /// Whether some of its endpoints are given by name.
    pub fn has_names(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Name { .. }))
    }

    /// The names of its endpoints, each once.
    pub fn names(&self) -> Vec<Arc<DnsName>> {
        let mut names: Vec<Arc<DnsName>> = Vec::new();
        for source in &self.sources {
            if let Source::Name { name, .. } = source
                && !names.iter().any(|other| Arc::ptr_eq(other, name))
            {
                names.push(Arc::clone(name));
            }
        }
        names
    }

    /// The Services that its endpoints come from.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.sources.iter().filter_map(|source| match source {
            Source::Service { service, .. } => Some(service),
            Source::Fixed(_) | Source::Name { .. } => None,
        })
    }

    /// Takes a retry from the budget, if there is one left.
    pub fn withdraw_retry(&self) -> bool {
        self.shared.budget.withdraw(self.budget, self.requests())
    }
}
