//! Responses that the proxy makes itself: bland for the client, exact in
//! Proxy-Status and in the log.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Cause;

/// A complete response of our own, before header edits.
#[derive(Debug, Clone)]
pub struct OwnResponse {
    /// The status.
    pub status: StatusCode,
    /// The header, Content-Length included.
    pub headers: HeaderMap,
    /// The body; not sent to HEAD.
    pub body: String,
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The response for `cause`. `status` overrides the table's (a limit's own
/// status, a redirect's); `location` is for redirects.
pub fn own_response(
    cause: Cause,
    status: Option<StatusCode>,
    location: Option<&str>,
    request_id: &str,
) -> OwnResponse {
    let status = status
        .or_else(|| StatusCode::from_u16(cause.status()).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Error");
    let body =
        format!("{} {reason}\ncause: {}\nrequest: {request_id}\n", status.as_u16(), cause.name());

    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    // An error of the moment must not be kept by a cache in front of us
    // (RFC 9111 §4.2.2 allows it for 404, 405, 414, ...).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let proxy_status =
        format!("lb; error={}; details=\"{}\"", cause.proxy_status_error(), cause.name());
    if let Ok(value) = HeaderValue::try_from(proxy_status) {
        headers.insert(PROXY_STATUS, value);
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(location) = location {
        // A permanent redirect may be kept, as from any server.
        headers.remove(CACHE_CONTROL);
        if let Ok(value) = HeaderValue::try_from(location) {
            headers.insert(LOCATION, value);
        }
    }
    OwnResponse { status, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_its_cause_in_proxy_status_and_body() {
        let response = own_response(Cause::NoHealthyEndpoint, None, None, "r1");
        assert_eq!(response.status, 503);
        assert_eq!(
            response.headers.get("proxy-status").unwrap(),
            "lb; error=destination_unavailable; details=\"no_healthy_endpoint\""
        );
        assert_eq!(response.headers.get("x-request-id").unwrap(), "r1");
        assert!(response.body.contains("cause: no_healthy_endpoint"));
    }

    #[test]
    fn redirects_carry_their_location() {
        let response = own_response(
            Cause::Redirect,
            Some(StatusCode::MOVED_PERMANENTLY),
            Some("https://a/b?c"),
            "r1",
        );
        assert_eq!(response.status, 301);
        assert_eq!(response.headers.get("location").unwrap(), "https://a/b?c");
        assert!(response.headers.get("cache-control").is_none());
    }
}
