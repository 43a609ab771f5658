//! What requests are counted or hashed by: `client_ip`, `host`, `path`, `uri`, `header:NAME`.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

use super::{ValueError, text_leaf};

/// One part of a key. A key of several parts is composite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The client's address; IPv6 by its /64, which is what one subscriber has.
    ClientIp,
    /// The normalised host.
    Host,
    /// The normalised path.
    Path,
    /// Path and query as the client sent them.
    Uri,
    /// The first value of a header. A request without it is keyed by its
    /// client's address: leaving the header out must not escape a limit.
    Header(HeaderName),
}

impl FromStr for KeyPart {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "client_ip" => Ok(Self::ClientIp),
            "host" => Ok(Self::Host),
            "path" => Ok(Self::Path),
            "uri" => Ok(Self::Uri),
            _ => match text.strip_prefix("header:") {
                Some(name) => name
                    .parse()
                    .map(Self::Header)
                    .map_err(|_| ValueError::new(format!("\"{name}\" is not a header name"))),
                None => Err(ValueError::new(format!(
                    "\"{text}\" is not a key; write client_ip, host, path, uri or header:NAME"
                ))),
            },
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::Uri => f.write_str("uri"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

text_leaf!(
    KeyPart,
    "key-part",
    "What to count or hash by: client_ip, host, path, uri or header:NAME.",
    ["client_ip", "header:X-Api-Key"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_back() {
        for text in ["client_ip", "host", "path", "uri", "header:x-api-key"] {
            assert_eq!(text.parse::<KeyPart>().unwrap().to_string(), text);
        }
        assert!("cookie".parse::<KeyPart>().is_err());
        assert!("header:a b".parse::<KeyPart>().is_err());
    }
}
