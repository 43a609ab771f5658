//! Keys that requests are counted or hashed by.
//!
//! A key is 128 bits of a hash over its parts: of one size whatever a client
//! sends, and without an allocation. With a secret seed nobody can make two
//! clients share a bucket on purpose.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::head::{Client, HeaderFields, RequestHead};
use crate::values::KeyPart;

/// The identity of what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u128);

/// What the hash is seeded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySeed(pub u64, pub u64);

impl KeySeed {
    /// The same in every process, for placing requests on endpoints: several
    /// balancers must agree.
    pub const STABLE: Self = Self(0, 0);
}

/// The key of a request by `parts`.
pub fn key_of<H: HeaderFields + ?Sized>(
    parts: &[KeyPart],
    head: &RequestHead<'_, H>,
    client: &Client,
    seed: KeySeed,
) -> Key {
    let mut hasher = SipHasher13::new_with_keys(seed.0, seed.1);
    for part in parts {
        match part {
            KeyPart::ClientIp => write_address(&mut hasher, client.address),
            KeyPart::Host => {
                write_bytes(&mut hasher, b'h', head.host.unwrap_or_default().as_bytes())
            }
            KeyPart::Path => write_bytes(&mut hasher, b'p', head.path.as_bytes()),
            KeyPart::Uri => write_bytes(&mut hasher, b'u', head.target.as_bytes()),
            KeyPart::Header(name) => match head.headers.first(name) {
                Some(value) => write_bytes(&mut hasher, b'v', value),
                None => write_address(&mut hasher, client.address),
            },
        }
    }
    Key(hasher.finish128().as_u128())
}

/// The key of a client by its address alone.
pub fn address_key(address: IpAddr, seed: KeySeed) -> Key {
    let mut hasher = SipHasher13::new_with_keys(seed.0, seed.1);
    write_address(&mut hasher, address);
    Key(hasher.finish128().as_u128())
}

/// An IPv6 client is its /64: one subscriber has at least that much and could
/// otherwise take a new key for every request.
fn write_address(hasher: &mut SipHasher13, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => write_bytes(hasher, b'4', &address.octets()),
        IpAddr::V6(address) => write_bytes(hasher, b'6', &address.octets()[..8]),
    }
}

/// Kind and length first, so that no two lists of parts run together.
fn write_bytes(hasher: &mut SipHasher13, kind: u8, bytes: &[u8]) {
    hasher.write_u8(kind);
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::policy::ListenerId;

    fn key(parts: &[&str], address: &str, header: Option<&str>) -> Key {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("x-api-key", value.parse().unwrap());
        }
        let head = RequestHead {
            method: "GET",
            host: Some("a"),
            port: None,
            path: "/",
            alternative_path: None,
            target: "/",
            headers: &headers,
        };
        let client =
            Client { address: address.parse().unwrap(), listener: ListenerId(0), tls: false };
        let parts: Vec<KeyPart> = parts.iter().map(|part| part.parse().unwrap()).collect();
        key_of(&parts, &head, &client, KeySeed(1, 2))
    }

    #[test]
    fn ipv6_clients_are_their_64() {
        assert_eq!(
            key(&["client_ip"], "2001:db8::1", None),
            key(&["client_ip"], "2001:db8::ffff", None)
        );
        assert_ne!(
            key(&["client_ip"], "2001:db8::1", None),
            key(&["client_ip"], "2001:db8:0:1::1", None)
        );
        assert_eq!(
            key(&["client_ip"], "10.0.0.1", None),
            key(&["client_ip"], "::ffff:10.0.0.1", None)
        );
        assert_ne!(key(&["client_ip"], "10.0.0.1", None), key(&["client_ip"], "10.0.0.2", None));
    }

    #[test]
    fn leaving_the_header_out_falls_back_to_the_address() {
        let parts = &["header:x-api-key"];
        assert_eq!(key(parts, "10.0.0.1", Some("k")), key(parts, "10.0.0.2", Some("k")));
        assert_ne!(key(parts, "10.0.0.1", None), key(parts, "10.0.0.2", None));
        assert_eq!(key(parts, "10.0.0.1", None), key(&["client_ip"], "10.0.0.1", None));
    }

    #[test]
    fn composite_keys_depend_on_every_part() {
        let parts = &["client_ip", "header:x-api-key"];
        assert_ne!(key(parts, "10.0.0.1", Some("a")), key(parts, "10.0.0.1", Some("b")));
        assert_ne!(key(parts, "10.0.0.1", Some("a")), key(parts, "10.0.0.2", Some("a")));
    }
}
