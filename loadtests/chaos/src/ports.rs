//! Ports that stay ours while nothing listens on them.
//!
//! They are taken below the range from which the system gives ports to outgoing
//! connections: a backend that is away for some seconds would find its own port
//! taken by one of the thousands of connections of the load.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below are those of well-known services.
const LOWEST: u16 = 10_000;

/// Chooses ports, each once.
#[derive(Debug)]
pub(crate) struct Ports {
    highest: u16,
    given: HashSet<u16>,
}

impl Ports {
    pub(crate) fn new() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let first_ephemeral = range
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok())
            .unwrap_or(32_768);
        // Where there is no room below, any will have to do.
        let highest = if first_ephemeral > LOWEST + 1000 { first_ephemeral - 1 } else { 65_000 };
        Self { highest, given: HashSet::new() }
    }

    /// A port of the loopback that nobody listens on.
    pub(crate) fn pick(&mut self) -> io::Result<SocketAddr> {
        for _ in 0..1000 {
            let port = fastrand::u16(LOWEST..=self.highest);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if !self.given.contains(&port) && TcpListener::bind(address).is_ok() {
                self.given.insert(port);
                return Ok(address);
            }
        }
        Err(io::Error::other("a thousand ports are taken"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = Ports::new();
        let given: HashSet<_> = (0..20).map(|_| ports.pick().unwrap()).collect();
        assert_eq!(given.len(), 20);
    }
}
