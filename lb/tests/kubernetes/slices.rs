//! EndpointSlices, written in few words.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What Kubernetes says of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    /// No conditions, which is to be taken for ready.
    Unsaid,
    NotReady,
    /// Terminating, and still serving.
    Serving,
    /// Terminating, and no longer serving.
    Ending,
}

impl State {
    fn conditions(self) -> Option<EndpointConditions> {
        let (ready, serving, terminating) = match self {
            Self::Unsaid => return None,
            Self::Ready => (true, true, false),
            Self::NotReady => (false, false, false),
            Self::Serving => (false, true, true),
            Self::Ending => (false, false, true),
        };
        let [ready, serving, terminating] = [ready, serving, terminating].map(Some);
        Some(EndpointConditions { ready, serving, terminating })
    }
}

/// An endpoint with an address, or with several.
pub fn endpoint(addresses: &[&str], state: State) -> Endpoint {
    Endpoint {
        addresses: addresses.iter().map(ToString::to_string).collect(),
        conditions: state.conditions(),
        ..Endpoint::default()
    }
}

/// The same, with hints for zones.
pub fn hinted(endpoint: Endpoint, zones: &[&str]) -> Endpoint {
    let zone = |name: &&str| ForZone { name: (*name).to_owned() };
    let for_zones = Some(zones.iter().map(zone).collect());
    let hints = EndpointHints { for_zones, ..EndpointHints::default() };
    Endpoint { hints: Some(hints), ..endpoint }
}

/// A slice of a Service, with IPv4 addresses and TCP ports.
pub fn slice(
    name: &str,
    service: &str,
    ports: &[(&str, u16)],
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let port = |(name, number): &(&str, u16)| EndpointPort {
        name: Some((*name).to_owned()),
        port: Some(i32::from(*number)),
        protocol: Some("TCP".to_owned()),
        app_protocol: None,
    };
    let labels = [
        ("kubernetes.io/service-name", service),
        ("endpointslice.kubernetes.io/managed-by", "tests"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        ports: Some(ports.iter().map(port).collect()),
        endpoints,
    }
}
