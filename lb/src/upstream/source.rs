//! Where endpoints come from, and how the sources become one list.
//!
//! A source says which endpoints it has now; who asks does not need to know how it
//! found them out.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::dns::DnsName;
use super::kubernetes::{Pod, Service, ServiceRef};
use super::{Endpoint, EndpointRules, Shared, Target};
use crate::values::EndpointAddress;

/// What an entry of the configuration stands for.
#[derive(Debug, Clone)]
pub enum Source {
    /// One address, or one socket.
    Fixed(Member),
    /// Whatever addresses a name has.
    Name {
        /// The name, and what is known of it.
        name: Arc<DnsName>,
        /// The port on every address.
        port: u16,
        /// The share of every address.
        weight: u32,
        /// What else is configured, of every address.
        rules: EndpointRules,
    },
    /// Whatever pods a Service of Kubernetes has.
    Service {
        /// The Service, and what is known of it.
        service: Arc<Service>,
        /// The share of every pod.
        weight: u32,
        /// What else is configured, of every pod.
        rules: EndpointRules,
    },
}

/// An endpoint as a source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is called: TLS asks for this, and a Host says it.
    pub address: EndpointAddress,
    /// Where to connect to.
    pub target: Target,
    /// Its share of the load.
    pub weight: u32,
    /// What else is configured of it.
    pub rules: EndpointRules,
}

impl Source {
    /// The source for an entry.
    pub fn new(
        address: &EndpointAddress,
        weight: u32,
        rules: EndpointRules,
        shared: &Shared,
    ) -> Self {
        let target = match address {
            EndpointAddress::Name(name, port) => {
                return Self::Name { name: shared.name(name), port: *port, weight, rules };
            }
            EndpointAddress::Ip(address) => Target::Tcp(*address),
            EndpointAddress::Unix(path) => Target::Unix(path.clone()),
        };
        Self::Fixed(Member { address: address.clone(), target, weight, rules })
    }

    /// The source of a Service's pods.
    pub fn of_service(of: ServiceRef, weight: u32, rules: EndpointRules, shared: &Shared) -> Self {
        Self::Service { service: shared.service(of), weight, rules }
    }

    /// Whether it is known to have none when it has none. A name always has some: an
    /// answer without addresses is none.
    pub(super) fn may_be_empty(&self) -> bool {
        matches!(self, Self::Service { service, .. } if service.is_listed())
    }

    /// Whether it is known whom it has, or that this cannot be found out for now. Of a
    /// Service it can be at any time.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Name { name, .. } => name.is_asked(),
            Self::Service { service, .. } => service.is_listed(),
        }
    }

    /// Its endpoints as they are now.
    fn members(&self) -> Vec<Member> {
        match self {
            Self::Fixed(member) => vec![member.clone()],
            Self::Name { name, port, weight, rules } => {
                let address = EndpointAddress::Name(name.name().to_string(), *port);
                let member = |ip| Member {
                    address: address.clone(),
                    target: Target::Tcp(SocketAddr::new(ip, *port)),
                    weight: *weight,
                    rules: *rules,
                };
                name.addresses().into_iter().map(member).collect()
            }
            Self::Service { service, weight, rules } => {
                let member = |pod: &Pod| Member {
                    address: EndpointAddress::Ip(pod.address),
                    target: Target::Tcp(pod.address),
                    weight: *weight,
                    rules: EndpointRules { tier: pod.tier.max(rules.tier), ..*rules },
                };
                service.pods().iter().map(member).collect()
            }
        }
    }
}

/// The endpoints of all sources, in written order. Whom several have is the first
/// one's.
pub(super) fn endpoints(sources: &[Source], shared: &Shared) -> Vec<Endpoint> {
    merge(sources)
        .into_iter()
        .map(|Member { address, target, weight, rules }| Endpoint {
            weight,
            rules,
            stays: false,
            state: shared.endpoint(&address, &target),
        })
        .collect()
}

fn merge(sources: &[Source]) -> Vec<Member> {
    let mut seen = HashSet::new();
    let members = sources.iter().flat_map(Source::members);
    members.filter(|member| seen.insert(member.target.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::dns::testing;
    use super::*;

    fn written(text: &str, weight: u32, shared: &Shared) -> Source {
        Source::new(&text.parse().unwrap(), weight, EndpointRules::default(), shared)
    }

    fn merged(sources: &[Source]) -> Vec<(String, String, u32)> {
        let line =
            |member: Member| (member.address.to_string(), member.target.to_string(), member.weight);
        merge(sources).into_iter().map(line).collect()
    }

    #[test]
    fn a_name_has_all_its_addresses_and_its_weight_for_each() {
        let shared = super::super::Registry::default().shared(&"api".into());
        let sources = [
            written("unix:/run/app.sock", 1, &shared),
            written("api.test:80", 3, &shared),
            written("10.0.0.9:80", 2, &shared),
        ];
        let line =
            |address: &str, target: &str, weight| (address.to_owned(), target.to_owned(), weight);
        let (first, last) = (
            line("unix:/run/app.sock", "unix:/run/app.sock", 1),
            line("10.0.0.9:80", "10.0.0.9:80", 2),
        );
        assert_eq!(merged(&sources), [first.clone(), last.clone()], "nothing is known of the name");
        testing::resolve(&shared.name("api.test"), "10.0.0.1 fd00::1", Duration::from_secs(1));
        assert_eq!(
            merged(&sources),
            [
                first,
                line("api.test:80", "10.0.0.1:80", 3),
                line("api.test:80", "[fd00::1]:80", 3),
                last
            ]
        );
    }

    #[test]
    fn an_address_is_one_endpoint_however_many_have_it() {
        let shared = super::super::Registry::default().shared(&"api".into());
        let sources = [
            written("a.test:80", 1, &shared),
            written("b.test:80", 2, &shared),
            written("b.test:81", 2, &shared),
            written("10.0.0.1:80", 3, &shared),
        ];
        for name in ["a.test", "b.test"] {
            testing::resolve(&shared.name(name), "10.0.0.1", Duration::from_secs(1));
        }
        let members = merged(&sources);
        assert_eq!(members.len(), 2, "{members:?}");
        assert_eq!((members[0].0.as_str(), members[0].2), ("a.test:80", 1));
        assert_eq!(members[1].0, "b.test:81");
    }
}
