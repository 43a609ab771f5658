//! Host names of virtual hosts and the normal form in which they are compared.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{ValueError, text_leaf};

/// The longest host name (RFC 1035 §2.3.4, without the root's dot).
const LONGEST_NAME: usize = 253;

/// What a virtual host answers to. Names are lower case, without port and
/// without the trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `"*"`: whatever no other virtual host of the listener takes
    /// (nginx: `default_server`).
    Any,
    /// `*.example.com`, any depth below it; holds `example.com`
    /// (nginx: `server_name *.example.com`).
    Suffix(String),
    /// One name or address.
    Exact(String),
}

impl FromStr for HostPattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "_" {
            return Err(ValueError::new("\"_\" is no host name; did you mean \"*\"?"));
        }
        let (suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let invalid = |why: &str| ValueError::new(format!("\"{text}\" is not a host name: {why}"));
        if name.contains('*') {
            return Err(invalid(
                "\"*\" may only stand alone or as the whole first label, as in \"*.example.com\"",
            ));
        }
        if name.starts_with('[') || name.parse::<std::net::Ipv6Addr>().is_ok() {
            let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
            return match inner.parse::<std::net::Ipv6Addr>() {
                Ok(address) if !suffix => Ok(Self::Exact(format!("[{address}]"))),
                _ => Err(invalid("this is no IPv6 address")),
            };
        }
        if name.contains(':') {
            return Err(invalid("write it without scheme and port; the listener has the port"));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(invalid("a name has 1 to 253 characters"));
        }
        for label in name.split('.') {
            let valid = !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !valid {
                return Err(invalid(
                    "labels are letters, digits and hyphens; write other scripts in their xn-- form",
                ));
            }
        }
        let name = name.to_ascii_lowercase();
        Ok(if suffix { Self::Suffix(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Suffix(name) => write!(f, "*.{name}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

text_leaf!(
    HostPattern,
    "host-pattern",
    "A host name, \"*.example.com\" for every name below one, or \"*\" for all others.",
    ["api.example.com", "*.example.com", "*"]
);

/// Brings the `Host` of a request into the form patterns are compared with:
/// without port, without trailing dot, lower case. `None` when it is no valid
/// authority (RFC 9110 §7.2): user information, a bad port, or bytes that no
/// host has.
pub fn normalise_host(host: &str) -> Option<Cow<'_, str>> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')?;
        host[1..end].parse::<std::net::Ipv6Addr>().ok()?;
        host.split_at(end + 1)
    } else {
        match host.find(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        }
    };
    if !port.is_empty() {
        let digits = port.strip_prefix(':')?;
        if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    let name = if name.starts_with('[') { name } else { name.strip_suffix('.').unwrap_or(name) };
    if name.is_empty() || name.len() > LONGEST_NAME {
        return None;
    }
    let mut upper = false;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {}
            b'A'..=b'Z' => upper = true,
            // An address, which was parsed above.
            b'[' | b']' | b':' if name.starts_with('[') => {}
            _ => return None,
        }
    }
    Some(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_every_kind() {
        assert_eq!("*".parse(), Ok(HostPattern::Any));
        assert_eq!("*.Example.com".parse(), Ok(HostPattern::Suffix("example.com".into())));
        assert_eq!("API.example.com.".parse(), Ok(HostPattern::Exact("api.example.com".into())));
        assert_eq!("[::1]".parse(), Ok(HostPattern::Exact("[::1]".into())));
        assert_eq!("127.0.0.1".parse(), Ok(HostPattern::Exact("127.0.0.1".into())));
    }

    #[test]
    fn underscore_asks_for_the_star() {
        assert!(
            "_".parse::<HostPattern>().unwrap_err().to_string().contains("did you mean \"*\"?")
        );
    }

    #[test]
    fn refuses_what_is_no_host() {
        for text in
            ["", "a..b", "*.*.com", "a*b.com", "http://a", "a:80", "a b", "exämple.com", "[::g]"]
        {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn request_hosts_lose_port_dot_and_case() {
        assert_eq!(normalise_host("Api.Example.com.:8443").as_deref(), Some("api.example.com"));
        assert_eq!(normalise_host("[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(normalise_host("example.com:").as_deref(), Some("example.com"));
        for bad in [
            "", ":80", "a@b", "a/b", "a b", "a:8o", "a:123456", "[::1", "[x]", "[::1]8", "[::1]é",
            "a,b", "exämple",
        ] {
            assert_eq!(normalise_host(bad), None, "{bad}");
        }
    }
}
