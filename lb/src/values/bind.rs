//! Addresses: what a listener binds and what an endpoint is reached by.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{ValueError, text_leaf};

/// The longest path of a Unix socket on Linux (`sun_path` less its NUL).
const LONGEST_SOCKET_PATH: usize = 107;

/// An address we accept on: `0.0.0.0:80`, `[::]:80` or `unix:/run/lb.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// TCP on an IPv4 or IPv6 address.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl BindAddress {
    /// Whether the system chooses the port.
    pub const fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }

    /// Whether one of two, bound, leaves the other no place.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let same_host = one.ip() == other.ip()
                    || one.ip().is_unspecified()
                    || other.ip().is_unspecified();
                // IPv6 addresses are bound for IPv6 only.
                one.is_ipv4() == other.is_ipv4()
                    && same_host
                    && one.port() == other.port()
                    && one.port() != 0
            }
            (Self::Unix(one), Self::Unix(other)) => one == other,
            _ => false,
        }
    }
}

impl FromStr for BindAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            ValueError::new(format!(
                "\"{text}\" is not an address to bind; write 0.0.0.0:80, [::]:80 or unix:/run/lb.sock"
            ))
        })
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_leaf!(
    BindAddress,
    "bind-address",
    "An address to bind: IP:PORT, [IPv6]:PORT or unix:/path.",
    ["0.0.0.0:443", "[::]:443", "unix:/run/lb.sock"]
);

/// An address of TCP alone: `127.0.0.1:9900` or `[::1]:9900`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpAddress(SocketAddr);

impl TcpAddress {
    /// The standard library's form.
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for TcpAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| {
            ValueError::new(format!(
                "\"{text}\" is not IP:PORT; write 127.0.0.1:9900 or [::1]:9900"
            ))
        })
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_leaf!(
    TcpAddress,
    "tcp-address",
    "An address to bind: IP:PORT or [IPv6]:PORT.",
    ["127.0.0.1:9900", "[::1]:9900"]
);

/// Where an endpoint is: `10.0.0.5:8000`, `backend-1:8000` or `unix:/run/app.sock`.
/// A name is resolved while running, never by `compile`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name (lower case) and port.
    Name(String, u16),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl FromStr for EndpointAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        if text.contains("://") {
            return Err(ValueError::new(format!(
                "\"{text}\" is not an endpoint; write it without the scheme, which is the upstream's \"protocol\""
            )));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            if address.port() == 0 {
                return Err(ValueError::new(format!("\"{text}\": an endpoint's port cannot be 0")));
            }
            return Ok(Self::Ip(address));
        }
        let invalid = || {
            ValueError::new(format!(
                "\"{text}\" is not an endpoint; write backend-1:8000, 10.0.0.5:8000, [fd00::5]:8000 or unix:/run/app.sock"
            ))
        };
        let (name, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        match name.parse() {
            Ok(super::HostPattern::Exact(name)) if !name.starts_with('[') => {
                Ok(Self::Name(name, port))
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_leaf!(
    EndpointAddress,
    "endpoint-address",
    "Where an endpoint is: HOST:PORT, IP:PORT, [IPv6]:PORT or unix:/path.",
    ["backend-1:8000", "10.0.0.5:8000", "unix:/run/app.sock"]
);

fn unix_path(path: &str) -> Result<PathBuf, ValueError> {
    if !Path::new(path).is_absolute() || path.contains('\0') {
        return Err(ValueError::new(format!(
            "\"unix:{path}\": the path of a Unix socket must be absolute"
        )));
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(ValueError::new(format!(
            "\"unix:{path}\": the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes"
        )));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_addresses_and_unix_sockets() {
        for text in ["0.0.0.0:80", "[::]:443", "unix:/run/lb.sock"] {
            assert_eq!(text.parse::<BindAddress>().unwrap().to_string(), text);
        }
        for text in ["80", ":80", "localhost:80", "0.0.0.0", "unix:relative", "1.2.3.4:99999"] {
            assert!(text.parse::<BindAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn tcp_addresses_are_no_sockets_and_no_names() {
        for text in ["127.0.0.1:9900", "[::1]:0"] {
            assert_eq!(text.parse::<TcpAddress>().unwrap().to_string(), text);
        }
        for text in ["", "9900", ":9900", "localhost:9900", "unix:/run/lb.sock"] {
            assert!(text.parse::<TcpAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_may_have_names() {
        for text in ["backend-1:8000", "10.0.0.5:8000", "[fd00::5]:8000", "unix:/run/app.sock"] {
            assert_eq!(text.parse::<EndpointAddress>().unwrap().to_string(), text);
        }
        for text in
            ["backend-1", "backend-1:0", "10.0.0.5:0", "http://a:80", "a:b", "*:80", ":80", "a:+80"]
        {
            assert!(text.parse::<EndpointAddress>().is_err(), "{text}");
        }
    }
}
