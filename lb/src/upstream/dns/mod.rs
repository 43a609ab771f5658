//! Names of endpoints: which addresses they have, now and as long as we run.
//!
//! [`DnsName`] is what is known of a name and outlives a snapshot. `follow` asks
//! again when the records' TTL is over; what an answer means is `answer`'s
//! business, and how it is got `resolver`'s.

mod answer;
mod name;
mod resolver;
#[cfg(test)]
pub(in crate::upstream) mod testing;

use std::net::SocketAddr;
use std::time::Duration;

pub use name::DnsName;
pub(super) use name::follow;
pub(super) use resolver::Resolver;

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// Whom to ask; nobody for those of the system's `resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// How long one look-up may take, with everything that it asks.
    pub timeout: Duration,
}
