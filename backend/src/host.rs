//! Hosts with ports, as operators write them.

use std::fmt;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; IPv6 without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl Host {
    /// Parses `host:port`, with IPv6 addresses in brackets; `host` alone if there
    /// is a default for the port.
    ///
    /// # Errors
    /// If `text` is anything else, with what it should be.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let malformed = || {
            let shape = if default_port.is_some() { "HOST or HOST:PORT" } else { "HOST:PORT" };
            format!("{text:?}: must be {shape}")
        };
        let trimmed = text.trim();
        let (name, port) = match trimmed.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or_else(malformed)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or_else(malformed)?),
                };
                (name, port)
            }
            None => match trimmed.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (trimmed, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => default_port,
        };
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte));
        match port {
            Some(port) if is_name => Ok(Self { name: name.to_owned(), port }),
            _ => Err(malformed()),
        }
    }

    /// Hosts with commas between; blanks around them, and empty ones, do not count.
    ///
    /// # Errors
    /// Those of [`Host::parse`].
    pub fn parse_list(text: &str, default_port: Option<u16>) -> Result<Vec<Self>, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Self::parse(part, default_port)).collect()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(formatter, "[{}]:{}", self.name, self.port)
        } else {
            write!(formatter, "{}:{}", self.name, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    #[test]
    fn hosts_are_listed_with_commas() {
        let list = |text| Host::parse_list(text, Some(6000)).unwrap();
        assert_eq!(list("host1:5432, host2:5433,"), [host("host1", 5432), host("host2", 5433)]);
        assert_eq!(list(""), []);
        assert_eq!(list("db.internal"), [host("db.internal", 6000)]);
        assert_eq!(list("[::1]:5433,[fe80::1]"), [host("::1", 5433), host("fe80::1", 6000)]);
        for text in ["a:1", "[::1]:5433"] {
            assert_eq!(Host::parse(text, None).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "a:0",
            "a:65536",
            "a:b",
            ":5432",
            "a b",
            "::1",
            "[::1",
            "[::1]5432",
            "a/b",
            "u@h:1",
        ] {
            assert!(Host::parse(text, Some(1)).is_err(), "{text}");
        }
        assert!(Host::parse("host", None).is_err());
        assert!(Host::parse("[::1]", None).is_err());
    }
}
