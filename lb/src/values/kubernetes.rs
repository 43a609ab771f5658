//! Names of Kubernetes, and of hosts without a port.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HostPattern, ValueError, text_leaf};

/// The name of a namespace, of a Service or of one of its ports: a DNS label
/// (RFC 1123 §2.1), lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let valid = bytes.len() <= 63
            && ends.iter().all(|end| end.is_some_and(|byte| is_alphanumeric(*byte)))
            && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-');
        if !valid {
            return Err(ValueError::new(format!(
                "\"{text}\" is not a name of Kubernetes; it has 1 to 63 lower-case letters, digits and hyphens"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_leaf!(
    ObjectName,
    "kubernetes-name",
    "A namespace, a Service or a port of one, by its name.",
    ["fastnext", "backend-api", "http"]
);

/// A port of a Service: its number in the pods, or its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ServicePort {
    /// What the pods listen at.
    Number(#[schemars(range(min = 1, max = 65535))] u16),
    /// What the Service calls it.
    Name(ObjectName),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A host name without a port, lower case and without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_address = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        match text.parse() {
            Ok(HostPattern::Exact(name)) if !is_address => Ok(Self(name)),
            _ => Err(ValueError::new(format!(
                "\"{text}\" is not a name to look up; write one such as backend-headless, without a port"
            ))),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_leaf!(
    HostName,
    "dns-name",
    "A name to look up, without a port.",
    ["backend-headless", "backend-headless.fastnext.svc.cluster.local"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for text in ["a", "0", "backend-api", "http", &"a".repeat(63)] {
            assert_eq!(text.parse::<ObjectName>().unwrap().to_string(), text);
        }
        for text in ["", "-a", "a-", "Backend", "a.b", "a_b", "a/b", "ä", "a b", &"a".repeat(64)] {
            assert!(text.parse::<ObjectName>().is_err(), "{text}");
        }
    }

    #[test]
    fn host_names_have_no_port_and_are_no_addresses() {
        for (text, name) in [("Backend-1", "backend-1"), ("a.b.svc.", "a.b.svc")] {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), name);
        }
        for text in ["", "a:80", "10.0.0.1", "fd00::1", "[fd00::1]", "*", "*.a", "http://a", "a/b"]
        {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
