//! Whose request it is: the rightmost address that is not one of our own proxies.

use std::net::IpAddr;

use crate::values::Cidr;

/// Where a request came from, by what can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarded {
    /// The client.
    pub client: IpAddr,
    /// Whether the peer of the connection is one of `trusted_proxies`, so that
    /// what it forwarded is appended to instead of replaced.
    pub peer_trusted: bool,
}

/// Finds the client behind `peer`. `forwarded_for` yields the values of
/// X-Forwarded-For from the last line to the first; a value that is no address
/// ends the search, since what stands left of it cannot be believed either.
pub fn client_address<'h>(
    peer: IpAddr,
    trusted: &[Cidr],
    forwarded_for: impl Iterator<Item = &'h [u8]>,
) -> Forwarded {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(peer) {
        return Forwarded { client: peer, peer_trusted: false };
    }
    let mut client = peer;
    for line in forwarded_for {
        for item in line.rsplit(|byte| *byte == b',') {
            let Some(address) = parse_address(item) else {
                return Forwarded { client, peer_trusted: true };
            };
            client = address;
            if !is_trusted(address) {
                return Forwarded { client, peer_trusted: true };
            }
        }
    }
    Forwarded { client, peer_trusted: true }
}

/// An address as proxies write them: bare, bracketed, or with a port.
fn parse_address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?.trim_matches([' ', '\t']);
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let socket: Result<std::net::SocketAddr, _> = text.parse();
        match socket {
            Ok(socket) => Some(socket.ip()),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok(),
        }
    })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, trusted: &[&str], lines: &[&str]) -> (String, bool) {
        let trusted: Vec<Cidr> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        let found = client_address(
            peer.parse().unwrap(),
            &trusted,
            lines.iter().rev().map(|l| l.as_bytes()),
        );
        (found.client.to_string(), found.peer_trusted)
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(find("192.0.2.1", &["10.0.0.0/8"], &["1.1.1.1"]), ("192.0.2.1".into(), false));
        assert_eq!(find("192.0.2.1", &[], &["1.1.1.1"]), ("192.0.2.1".into(), false));
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(find("10.0.0.1", &trusted, &["6.6.6.6, 192.0.2.7, 10.0.0.9"]).0, "192.0.2.7");
        assert_eq!(
            find("10.0.0.1", &trusted, &["6.6.6.6", "192.0.2.7", "10.0.0.9"]).0,
            "192.0.2.7"
        );
        assert_eq!(find("10.0.0.1", &trusted, &["10.0.0.8, 10.0.0.9"]).0, "10.0.0.8");
        assert_eq!(find("10.0.0.1", &trusted, &[]).0, "10.0.0.1");
        assert_eq!(find("::ffff:10.0.0.1", &trusted, &["192.0.2.7"]).0, "192.0.2.7");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(find("10.0.0.1", &trusted, &["192.0.2.7, junk, 10.0.0.9"]).0, "10.0.0.9");
        assert_eq!(find("10.0.0.1", &trusted, &[""]).0, "10.0.0.1");
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(find("10.0.0.1", &trusted, &["192.0.2.7:4711"]).0, "192.0.2.7");
        assert_eq!(find("10.0.0.1", &trusted, &["[2001:db8::1]:80"]).0, "2001:db8::1");
        assert_eq!(find("10.0.0.1", &trusted, &["[2001:db8::1]"]).0, "2001:db8::1");
    }
}
