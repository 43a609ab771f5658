//! Causes: the stable identifiers of why the proxy itself answered.
//!
//! This is the one table from cause to HTTP status, to the `error` of
//! Proxy-Status (RFC 9209 §2.3) and to whose fault it was. Names are part of
//! the contract: dashboards and alerts select by them.

/// Whose fault a response of our own was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client sent something wrong, or too much.
    Client,
    /// The upstream failed.
    Upstream,
    /// The configuration says so, or we failed.
    Proxy,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $error:literal, $fault:ident;)+) => {
        /// Why the proxy itself answered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Cause {
            $($(#[$doc])* $variant,)+
        }

        impl Cause {
            /// Every cause, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable identifier.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The status unless the configuration says otherwise. 499 (nginx's)
            /// is only ever logged: nobody is there to read it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The registered error type of Proxy-Status (RFC 9209 §2.3).
            pub const fn proxy_status_error(self) -> &'static str {
                match self { $(Self::$variant => $error,)+ }
            }

            /// The whole value of Proxy-Status: us, the error and the cause.
            pub const fn proxy_status(self) -> &'static str {
                match self {
                    $(Self::$variant =>
                        concat!("lb; error=", $error, "; details=\"", $name, "\""),)+
                }
            }

            /// Whose fault it was.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }
        }
    };
}

causes! {
    /// The request is malformed beyond the cases below.
    BadRequest = "bad_request", 400, "http_request_error", Client;
    /// Where the message ends is in doubt: two lengths, an unknown coding, a chunk
    /// that is none (RFC 9112 §6, §7, §11.2).
    BadFraming = "bad_framing", 400, "http_request_error", Client;
    /// What came is no HTTP: the preface of HTTP/2 or a PROXY header where none
    /// is expected, a request in clear on a TLS listener.
    WrongProtocol = "wrong_protocol", 400, "http_protocol_error", Client;
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    MissingHost = "missing_host", 400, "http_request_error", Client;
    /// The Host is no host.
    BadHost = "bad_host", 400, "http_request_error", Client;
    /// The path climbs above the root, or holds a broken escape or a NUL.
    BadPath = "bad_path", 400, "http_request_error", Client;
    /// No virtual host of a plain listener has this name.
    UnknownHost = "unknown_host", 404, "destination_not_found", Client;
    /// No route of the virtual host takes this request.
    NoRoute = "no_route", 404, "destination_not_found", Client;
    /// CONNECT is not proxied.
    ConnectRefused = "connect_refused", 405, "http_request_denied", Client;
    /// The head of the request took longer than `deadlines.head`.
    RequestHeadTimeout = "request_head_timeout", 408, "http_request_error", Client;
    /// The body came slower than `deadlines.min_rate`, or stopped.
    ClientBodyTimeout = "client_body_timeout", 408, "http_request_error", Client;
    /// The body is over the route's limit.
    BodyTooLarge = "body_too_large", 413, "http_request_error", Client;
    /// The target is over the limit.
    UriTooLong = "uri_too_long", 414, "http_request_error", Client;
    /// A TLS connection asked for a name that is not served on it.
    MisdirectedRequest = "misdirected_request", 421, "http_request_denied", Client;
    /// A token bucket is empty.
    RateLimited = "rate_limited", 429, "http_request_denied", Client;
    /// Too many exchanges of this key are in flight.
    ConcurrencyLimited = "concurrency_limited", 429, "http_request_denied", Client;
    /// More or longer header lines than the limit.
    HeadersTooLarge = "headers_too_large", 431, "http_request_error", Client;
    /// The client went away before its response was complete.
    ClientClosed = "client_closed", 499, "http_request_error", Client;
    /// The response was taken slower than `deadlines.min_rate`.
    ResponseTooSlow = "response_too_slow", 499, "http_request_error", Client;
    /// The route redirects.
    Redirect = "redirect", 302, "proxy_internal_response", Proxy;
    /// Neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported = "version_not_supported", 505, "http_protocol_error", Client;
    /// A defect of ours.
    InternalError = "internal_error", 500, "proxy_internal_error", Proxy;
    /// The endpoint refused the connection or could not be reached.
    UpstreamConnectFailed = "upstream_connect_failed", 502, "connection_refused", Upstream;
    /// The TLS handshake with the endpoint failed.
    UpstreamTlsFailed = "upstream_tls_failed", 502, "tls_protocol_error", Upstream;
    /// The endpoint closed or reset the connection before it answered.
    UpstreamReset = "upstream_reset", 502, "connection_terminated", Upstream;
    /// What the endpoint answered is not HTTP.
    UpstreamInvalidResponse = "upstream_invalid_response", 502, "http_protocol_error", Upstream;
    /// The endpoint broke off inside a response that had begun.
    UpstreamIncomplete = "upstream_incomplete", 502, "http_response_incomplete", Upstream;
    /// Active checks leave no endpoint.
    NoHealthyEndpoint = "no_healthy_endpoint", 503, "destination_unavailable", Upstream;
    /// No connection in `timeouts.connect`.
    UpstreamConnectTimeout = "upstream_connect_timeout", 504, "connection_timeout", Upstream;
    /// Nothing came from the endpoint in `timeouts.read`.
    UpstreamReadTimeout = "upstream_read_timeout", 504, "http_response_timeout", Upstream;
    /// Nothing could be sent to the endpoint in `timeouts.send`.
    UpstreamSendTimeout = "upstream_send_timeout", 504, "connection_write_timeout", Upstream;
    /// No response head in `timeouts.request`, retries included.
    RequestTimeout = "request_timeout", 504, "http_response_timeout", Upstream;
    /// A reload took its listener or its endpoint away, and `drain_timeout` is over.
    DrainTimeout = "drain_timeout", 503, "connection_terminated", Proxy;
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// RFC 9209 §2.3, the types registered there.
    const REGISTERED: &[&str] = &[
        "dns_timeout",
        "dns_error",
        "destination_not_found",
        "destination_unavailable",
        "destination_ip_prohibited",
        "destination_ip_unroutable",
        "connection_refused",
        "connection_terminated",
        "connection_timeout",
        "connection_read_timeout",
        "connection_write_timeout",
        "connection_limit_reached",
        "tls_protocol_error",
        "tls_certificate_error",
        "tls_alert_received",
        "http_request_error",
        "http_request_denied",
        "http_response_incomplete",
        "http_response_header_section_size",
        "http_response_header_size",
        "http_response_body_size",
        "http_response_trailer_section_size",
        "http_response_trailer_size",
        "http_response_transfer_coding",
        "http_response_content_coding",
        "http_response_timeout",
        "http_upgrade_failed",
        "http_protocol_error",
        "proxy_internal_response",
        "proxy_internal_error",
        "proxy_configuration_error",
        "proxy_loop_detected",
    ];

    #[test]
    fn names_are_unique_and_errors_registered() {
        let names: HashSet<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert!(REGISTERED.contains(&cause.proxy_status_error()), "{}", cause.name());
        }
    }
}
