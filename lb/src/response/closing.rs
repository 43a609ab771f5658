//! Why the proxy closed a connection, where no response says so.

/// One table: the identifier of each closing, as logs and metrics show it.
macro_rules! closings {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// Why a connection from a client was closed by us. The names are part of
        /// the contract: dashboards select by them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Closing {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Closing {
            /// Every closing, in the order of its discriminant.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable identifier.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

closings! {
    /// The process has `max_connections` open.
    ConnectionLimit = "connection_limit";
    /// The listener has `limits.connections` open.
    ListenerLimit = "listener_connection_limit";
    /// The client has `limits.connections_per_client` open.
    ClientLimit = "client_connection_limit";
    /// The process has no descriptor left.
    DescriptorsExhausted = "descriptors_exhausted";
    /// No PROXY header in `deadlines.proxy_header`.
    ProxyHeaderTimeout = "proxy_header_timeout";
    /// The PROXY header is malformed.
    ProxyHeaderInvalid = "proxy_header_invalid";
    /// The connection does not begin with the PROXY header that is required.
    ProxyHeaderMissing = "proxy_header_missing";
    /// The peer is not one whose PROXY header is believed.
    ProxyUntrusted = "proxy_untrusted_peer";
    /// No handshake in `deadlines.tls_handshake`.
    TlsHandshakeTimeout = "tls_handshake_timeout";
    /// The TLS handshake failed.
    TlsHandshakeFailed = "tls_handshake_failed";
    /// A request in clear on a listener with TLS.
    HttpOnTls = "http_on_tls_listener";
    /// A TLS handshake on a listener without.
    TlsOnHttp = "tls_on_plain_listener";
    /// Nothing came for `deadlines.idle`.
    IdleTimeout = "idle_timeout";
    /// The head of a request took longer than `deadlines.head`.
    HeadTimeout = "request_head_timeout";
    /// The body of a request came slower than `deadlines.min_rate`.
    BodyTooSlow = "request_body_too_slow";
    /// The response was taken slower than `deadlines.min_rate`.
    ResponseTooSlow = "response_too_slow";
    /// The connection has carried `limits.requests_per_connection`.
    RequestLimit = "request_limit";
    /// No preface and SETTINGS in `deadlines.http2_handshake`.
    Http2HandshakeTimeout = "http2_handshake_timeout";
    /// The preface of HTTP/2 was malformed.
    Http2HandshakeFailed = "http2_handshake_failed";
    /// Streams opened and reset faster than anybody honest does (CVE-2023-44487).
    Http2ResetFlood = "http2_reset_flood";
    /// Streams that the client made us reset (CVE-2025-8671, MadeYouReset).
    Http2MadeYouReset = "http2_made_you_reset";
    /// More PING frames than anybody honest sends (CVE-2019-9512).
    Http2PingFlood = "http2_ping_flood";
    /// More SETTINGS frames than anybody honest sends (CVE-2019-9515).
    Http2SettingsFlood = "http2_settings_flood";
    /// A header block in endless CONTINUATION frames (CVE-2024-27316).
    Http2ContinuationFlood = "http2_continuation_flood";
    /// A header list beyond any bound (CVE-2016-6581, the HPACK bomb).
    Http2HeaderBomb = "http2_header_bomb";
    /// Frames that carry nothing, without end (CVE-2019-9518).
    Http2EmptyFrameFlood = "http2_empty_frame_flood";
    /// More malformed requests than a client may send.
    Http2MalformedFlood = "http2_malformed_flood";
    /// Any other breach of the protocol.
    Http2ProtocolError = "http2_protocol_error";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = Closing::ALL.iter().map(|closing| closing.name()).collect();
        assert_eq!(names.len(), Closing::ALL.len());
        for (index, closing) in Closing::ALL.iter().enumerate() {
            assert_eq!(*closing as usize, index);
        }
    }
}
