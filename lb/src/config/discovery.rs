//! Endpoints that are found while running: `endpoints_from` of an upstream, and whom
//! Services are asked of.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::values::{HostName, ObjectName, ServicePort, Span};

/// The API server that Services of Kubernetes are asked of.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The file that says where it is and who we are. If omitted: the pod's service
    /// account where there is one, else `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<String>,
    /// The context in that file; its current one if omitted.
    pub context: Option<String>,
    /// The zone this process runs in; none if empty. Endpoints that are meant for other
    /// zones take traffic only when none that is meant for this one can.
    pub zone: Option<String>,
    /// How long a list may take. Not before the first one of each Service, or so much
    /// later, is the process ready.
    pub timeout: Option<Span>,
}

/// A source of endpoints: one of `kubernetes` and `dns`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointsFrom {
    /// The pods of a Service.
    pub kubernetes: Option<Service>,
    /// The addresses of a name.
    pub dns: Option<HostName>,
    /// The port on every address of `dns`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The share of each endpoint against the others, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u16>,
    /// They take traffic only when no other endpoint can.
    pub backup: Option<bool>,
    /// How many exchanges may be in flight on each.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<u32>,
}

/// A Service of Kubernetes and one of its ports.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its namespace.
    pub namespace: ObjectName,
    /// Its name.
    pub service: ObjectName,
    /// The name of one of its ports, or the number that its pods listen at.
    pub port: ServicePort,
}
