//! Ranges of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{ValueError, text_leaf};

/// A range of IP addresses in CIDR notation (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether the range holds `address`. An IPv4 address that arrived mapped
    /// into IPv6 counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                ValueError::new(format!(
                    "\"{text}\" is not a range of addresses; write CIDR notation such as 10.0.0.0/8 or fd00::/8"
                ))
            })?,
        };
        if net.trunc() != net {
            return Err(ValueError::new(format!(
                "\"{text}\" has bits set beyond its prefix; did you mean \"{}\"?",
                net.trunc()
            )));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_leaf!(Cidr, "cidr", "A range of addresses in CIDR notation.", ["10.0.0.0/8", "fd00::/8"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses() {
        let range: Cidr = "10.0.0.0/8".parse().unwrap();
        assert!(range.contains("10.1.2.3".parse().unwrap()));
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!range.contains("11.0.0.1".parse().unwrap()));
        assert!("127.0.0.1".parse::<Cidr>().unwrap().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn refuses_bad_ranges_and_suggests_the_network() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.com", "fd00::/129"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert!("10.1.2.3/8".parse::<Cidr>().unwrap_err().to_string().contains("10.0.0.0/8"));
    }
}
