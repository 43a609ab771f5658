//! Services of Kubernetes: which pods they have, now and as long as we run.
//!
//! [`Service`] is what is known of one and outlives a snapshot. `follow` lists and
//! watches its EndpointSlices (`discovery.k8s.io/v1`); what they mean is `slices`'
//! business, how the API server is reached `cluster`'s and `line`'s, and what can go
//! wrong is in `problem`.

mod cluster;
mod follow;
#[cfg(test)]
mod follow_tests;
mod line;
mod problem;
mod said;
mod service;
mod slices;
#[cfg(test)]
mod slices_tests;
#[cfg(test)]
pub(in crate::upstream) mod testing;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) use cluster::Cluster;
pub(super) use follow::follow;
pub use problem::{Problem, REASONS};
pub use service::{Service, ServiceStatus};
pub use slices::Counts;
pub(super) use slices::Pod;

use crate::values::ServicePort;

/// Whom Services are asked of, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The file that says where the API server is and who we are.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub context: Option<String>,
    /// The zone this process runs in.
    pub zone: Option<Arc<str>>,
    /// How long a list may take, and how long the first one is waited for.
    pub timeout: Duration,
}

/// A Service and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceRef {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The port in its slices.
    pub port: ServicePort,
}

/// `NAMESPACE/SERVICE:PORT`.
impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, port } = self;
        write!(f, "{namespace}/{name}:{port}")
    }
}
