//! What EndpointSlices say: which pods take traffic, and which of them rather. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use super::Problem;
use crate::upstream::Tier;
use crate::values::ServicePort;

/// As many pods of one Service become endpoints.
pub(super) const MOST_PODS: usize = 10_000;

/// As many names of ports are listed where none fits.
const LISTED_PORTS: usize = 10;

/// A pod that may take traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upstream) struct Pod {
    /// Where it listens.
    pub(in crate::upstream) address: SocketAddr,
    /// When it does take traffic. Never `Backup`.
    pub(in crate::upstream) tier: Tier,
}

/// How many addresses are in which condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They take traffic.
    pub ready: u64,
    /// They are told to go, and still serve.
    pub terminating: u64,
    /// They take none.
    pub not_ready: u64,
}

/// What all slices of a Service come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// In the order of their addresses.
    pub(super) pods: Vec<Pod>,
    pub(super) counts: Counts,
    pub(super) problem: Option<Problem>,
    /// What is not used, and why.
    pub(super) remark: Option<String>,
}

/// What is kept of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    addresses: Vec<Address>,
    /// The ports of TCP that it has, for messages.
    ports: Vec<String>,
    has_port: bool,
    has_endpoints: bool,
    unusable: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    socket: SocketAddr,
    condition: Condition,
    /// The pod's own name for good: it may have an address of each kind.
    uid: Option<String>,
    /// For clients in which zones it is meant.
    zones: Vec<String>,
}

/// The better, the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    NotReady,
    Terminating,
    Ready,
}

impl Condition {
    /// What is not said counts as ready.
    fn of(conditions: Option<&EndpointConditions>) -> Self {
        let Some(EndpointConditions { ready, serving, terminating }) = conditions else {
            return Self::Ready;
        };
        let ready = ready.unwrap_or(true);
        if ready {
            Self::Ready
        } else if serving.unwrap_or(ready) && terminating.unwrap_or(false) {
            Self::Terminating
        } else {
            Self::NotReady
        }
    }
}

impl Slice {
    /// What matters of a slice, for those who ask for `wanted`.
    pub(super) fn of(slice: &EndpointSlice, wanted: &ServicePort) -> Self {
        let ports: Vec<&EndpointPort> =
            slice.ports.iter().flatten().filter(|port| is_tcp(port)).collect();
        let number = ports.iter().find(|port| fits(port, wanted)).and_then(|port| port.port);
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|n| *n > 0);
        let mut unusable = 0;
        let mut addresses = Vec::new();
        for endpoint in number.map_or(&[][..], |_| &slice.endpoints) {
            match usable(endpoint).zip(number) {
                Some((ip, port)) => addresses.push(Address {
                    socket: SocketAddr::new(ip, port),
                    condition: Condition::of(endpoint.conditions.as_ref()),
                    uid: endpoint.target_ref.as_ref().and_then(|pod| pod.uid.clone()),
                    zones: zones(endpoint),
                }),
                None => unusable += 1,
            }
        }
        Self {
            addresses,
            ports: ports.iter().take(LISTED_PORTS).filter_map(|port| name_of(port)).collect(),
            has_port: number.is_some(),
            has_endpoints: !slice.endpoints.is_empty(),
            unusable,
        }
    }
}

fn is_tcp(port: &EndpointPort) -> bool {
    port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
}

fn fits(port: &EndpointPort, wanted: &ServicePort) -> bool {
    match wanted {
        ServicePort::Number(number) => port.port == Some(i32::from(*number)),
        ServicePort::Name(name) => port.name.as_deref() == Some(name.as_str()),
    }
}

/// `http (8000)`, as far as it is said.
fn name_of(port: &EndpointPort) -> Option<String> {
    let name = port.name.as_deref().filter(|name| !name.is_empty());
    match (name, port.port) {
        (Some(name), Some(number)) => Some(format!("{name} ({number})")),
        (Some(name), None) => Some(name.to_owned()),
        (None, Some(number)) => Some(number.to_string()),
        (None, None) => None,
    }
}

/// The address to connect to: the first, as for kube-proxy; the others mean the same.
fn usable(endpoint: &Endpoint) -> Option<IpAddr> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let address = address.to_canonical();
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

fn zones(endpoint: &Endpoint) -> Vec<String> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
    hints.into_iter().flatten().map(|zone| zone.name.clone()).collect()
}

/// The pods of all slices of a Service, for a client in `zone`.
///
/// An address that several slices have counts once, in its best condition: the
/// controller moves pods from one slice to another. A pod with an IPv4 and an IPv6
/// address is one endpoint too.
///
/// Hints count as they do for kube-proxy: only if all that are ready have some, and one
/// of them is for our zone.
pub(super) fn merge<'s>(
    slices: impl Iterator<Item = &'s Slice> + Clone,
    zone: Option<&str>,
) -> Merged {
    let mut addresses: BTreeMap<SocketAddr, &Address> = BTreeMap::new();
    for address in slices.clone().flat_map(|slice| &slice.addresses) {
        let known = addresses.entry(address.socket).or_insert(address);
        if address.condition > known.condition {
            *known = address;
        }
    }
    // Of two kinds, the one in the better condition; in order, IPv4 comes first.
    let mut best: BTreeMap<&str, (Condition, bool)> = BTreeMap::new();
    for (socket, address) in &addresses {
        let Some(uid) = address.uid.as_deref() else { continue };
        let kind = best.entry(uid).or_insert((address.condition, socket.is_ipv4()));
        if address.condition > kind.0 {
            *kind = (address.condition, socket.is_ipv4());
        }
    }
    addresses.retain(|socket, address| {
        let kind = address.uid.as_deref().and_then(|uid| best.get(uid));
        kind.is_none_or(|(_, is_ipv4)| *is_ipv4 == socket.is_ipv4())
    });

    let is_ready = |address: &&&Address| address.condition == Condition::Ready;
    let meant_here =
        |address: &Address| zone.is_some_and(|zone| address.zones.iter().any(|z| z == zone));
    let all_hinted = addresses.values().filter(is_ready).all(|address| !address.zones.is_empty());
    let hints_count =
        all_hinted && addresses.values().filter(is_ready).any(|address| meant_here(address));

    let mut merged = Merged { problem: problem(slices.clone()), ..Merged::default() };
    for (socket, address) in &addresses {
        let tier = match address.condition {
            Condition::NotReady => {
                merged.counts.not_ready += 1;
                continue;
            }
            Condition::Terminating => {
                merged.counts.terminating += 1;
                Tier::Leaving
            }
            Condition::Ready => {
                merged.counts.ready += 1;
                if hints_count && !meant_here(address) { Tier::OtherZone } else { Tier::First }
            }
        };
        merged.pods.push(Pod { address: *socket, tier });
    }
    let mut remarks = Vec::new();
    let unusable: usize = slices.map(|slice| slice.unusable).sum();
    if unusable > 0 {
        remarks.push(format!("{unusable} of its endpoints have no address of use"));
    }
    if merged.pods.len() > MOST_PODS {
        let all = merged.pods.len();
        remarks.push(format!("only {MOST_PODS} of its {all} pods are used"));
        merged.pods.sort_by_key(|pod| pod.tier);
        merged.pods.truncate(MOST_PODS);
        merged.pods.sort_by_key(|pod| pod.address);
    }
    merged.remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    merged
}

/// What is missing. A slice without ports and endpoints says nothing: that of a Service
/// without pods is like that.
fn problem<'s>(slices: impl Iterator<Item = &'s Slice> + Clone) -> Option<Problem> {
    if slices.clone().next().is_none() {
        return Some(Problem::NoService);
    }
    let says_something = |slice: &Slice| slice.has_endpoints || !slice.ports.is_empty();
    if slices.clone().any(|slice| slice.has_port) || !slices.clone().any(says_something) {
        return None;
    }
    let mut ports: Vec<String> = slices.flat_map(|slice| slice.ports.clone()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.truncate(LISTED_PORTS);
    Some(Problem::NoPort(ports))
}
