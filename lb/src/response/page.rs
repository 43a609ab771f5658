//! Responses that the proxy makes itself: bland for the client, exact in
//! Proxy-Status and in the log.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, StatusCode};

use super::Cause;

/// A response of our own, before header edits.
#[derive(Debug, Clone, Copy)]
pub struct Page<'p> {
    /// Why we answer.
    pub cause: Cause,
    /// The status: the cause's, or what a limit or a redirect says.
    pub status: StatusCode,
    /// Where a redirect points.
    pub location: Option<&'p str>,
    /// The request's id.
    pub request_id: &'p str,
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Page<'_> {
    /// The body; not sent to HEAD.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        for part in [
            self.status.as_str(),
            " ",
            reason,
            "\ncause: ",
            self.cause.name(),
            "\nrequest: ",
            self.request_id,
            "\n",
        ] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// The fields but for Content-Length.
    pub fn fields(&self, mut visit: impl FnMut(&HeaderName, &[u8])) {
        visit(&CONTENT_TYPE, b"text/plain; charset=utf-8");
        match self.location {
            // An error of the moment must not be kept by a cache in front of us
            // (RFC 9111 §4.2.2 allows it for 404, 405, 414, ...).
            None => visit(&CACHE_CONTROL, b"no-store"),
            // A permanent redirect may be kept, as from any server.
            Some(location) => visit(&LOCATION, location.as_bytes()),
        }
        visit(&PROXY_STATUS, self.cause.proxy_status().as_bytes());
        visit(&REQUEST_ID, self.request_id.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(page: &Page<'_>) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        page.fields(|name, value| {
            fields.push((name.to_string(), String::from_utf8_lossy(value).into_owned()));
        });
        fields
    }

    #[test]
    fn carries_its_cause_in_proxy_status_and_body() {
        let page = Page {
            cause: Cause::NoHealthyEndpoint,
            status: StatusCode::SERVICE_UNAVAILABLE,
            location: None,
            request_id: "r1",
        };
        let expected = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields = fields(&page);
        assert!(fields.contains(&expected(
            "proxy-status",
            "lb; error=destination_unavailable; details=\"no_healthy_endpoint\""
        )));
        assert!(fields.contains(&expected("x-request-id", "r1")));
        assert!(fields.contains(&expected("cache-control", "no-store")));
        let mut body = Vec::new();
        page.write_body(&mut body);
        assert_eq!(body, b"503 Service Unavailable\ncause: no_healthy_endpoint\nrequest: r1\n");
    }

    #[test]
    fn redirects_carry_their_location() {
        let page = Page {
            cause: Cause::Redirect,
            status: StatusCode::MOVED_PERMANENTLY,
            location: Some("https://a/b?c"),
            request_id: "r1",
        };
        let fields = fields(&page);
        assert!(fields.contains(&("location".to_owned(), "https://a/b?c".to_owned())));
        assert!(fields.iter().all(|(name, _)| name != "cache-control"));
    }
}
