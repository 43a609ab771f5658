//! What a decision is made from: the head of a request and its client.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

/// Which listener a connection came in on: its index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// The head of a request, read once, in the forms that decisions need.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a, H: ?Sized> {
    /// The method as sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// The normalised host; `None` when an HTTP/1.0 request had none.
    pub host: Option<&'a str>,
    /// The port that the client named beside the host.
    pub port: Option<u16>,
    /// The normal form of the path.
    pub path: &'a str,
    /// How a more liberal origin may read the path, when that differs.
    pub alternative_path: Option<&'a str>,
    /// Path and query as sent.
    pub target: &'a str,
    /// The header.
    pub headers: &'a H,
}

impl<H: ?Sized> RequestHead<'_, H> {
    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&str> {
        let question_mark = memchr::memchr(b'?', self.target.as_bytes())?;
        Some(&self.target[question_mark + 1..])
    }
}

/// Who sent it and over what.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The client's address, found behind trusted proxies.
    pub address: IpAddr,
    /// The listener of the connection.
    pub listener: ListenerId,
    /// Whether the connection is over TLS.
    pub tls: bool,
}

/// Read access to a header, however an engine holds it.
pub trait HeaderFields {
    /// The first value of a field.
    fn first(&self, name: &HeaderName) -> Option<&[u8]>;
    /// Calls `visit` with the name of every field.
    fn names(&self, visit: &mut dyn FnMut(&HeaderName));
}

impl HeaderFields for HeaderMap {
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.get(name).map(http::HeaderValue::as_bytes)
    }

    fn names(&self, visit: &mut dyn FnMut(&HeaderName)) {
        self.keys().for_each(visit);
    }
}
