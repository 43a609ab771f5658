//! Where a redirect points.

use std::fmt::Write as _;

use http::StatusCode;

use super::head::{Client, RequestHead};

/// The request's own URL with parts replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `Some(true)` for https, `Some(false)` for http, `None` to keep.
    pub https: Option<bool>,
    /// Another host.
    pub host: Option<String>,
    /// Another port. A new scheme or host without it has its standard port.
    pub port: Option<u16>,
    /// Another path; the query is kept.
    pub path: Option<String>,
    /// The status, 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

impl Redirect {
    /// The absolute URL for Location (RFC 9110 §10.2.2). `None` when neither
    /// the request nor the configuration has a host.
    pub(super) fn location<H: ?Sized>(
        &self,
        head: &RequestHead<'_, H>,
        client: &Client,
    ) -> Option<String> {
        let https = self.https.unwrap_or(client.tls);
        let host = self.host.as_deref().or(head.host)?;
        let standard = if https { 443 } else { 80 };
        let port = match self.port {
            Some(port) => port,
            None if self.https.is_some() || self.host.is_some() => standard,
            None => head.port.unwrap_or(standard),
        };
        let mut location = String::with_capacity(16 + host.len() + head.target.len());
        location.push_str(if https { "https://" } else { "http://" });
        location.push_str(host);
        if port != standard {
            let _ = write!(location, ":{port}");
        }
        match &self.path {
            None => location.push_str(head.target),
            Some(path) => {
                location.push_str(path);
                if let Some(query) = head.query() {
                    location.push('?');
                    location.push_str(query);
                }
            }
        }
        Some(location)
    }
}
