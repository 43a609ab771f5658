//! `listeners`: addresses to accept on and their TLS.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConnectionLimits, Deadlines, HeaderEdits, Http2, ProxyProtocol, Tcp};
use crate::values::BindAddress;

/// A set of addresses with the same treatment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Addresses to accept on.
    pub bind: Vec<BindAddress>,
    /// Connections that the kernel holds until they are accepted, for each socket.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub backlog: Option<u32>,
    /// Options of TCP sockets.
    pub tcp: Option<Tcp>,
    /// How many connections, and how much on each.
    pub limits: Option<ConnectionLimits>,
    /// How long a client may take.
    pub deadlines: Option<Deadlines>,
    /// HTTP/2 towards clients.
    pub http2: Option<Http2>,
    /// The PROXY protocol; without it, connections begin with HTTP or TLS.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What carries its requests.
    pub engine: Option<Engine>,
    /// Header edits on every response of this listener, our own errors included.
    pub response_headers: Option<HeaderEdits>,
    /// Present on listeners that terminate TLS.
    pub tls: Option<ListenerTls>,
}

/// What carries the requests of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The fast lane where it can: HTTP/1.1 on both sides.
    Auto,
    /// Pingora, always.
    Pingora,
}

/// TLS towards clients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// The lowest version accepted.
    pub min_version: Option<TlsVersion>,
    /// Application protocols offered, most wanted first.
    pub alpn: Option<Vec<Alpn>>,
    /// Certificates, chosen by the name that the client asks for; the first is
    /// the default.
    pub certificates: Vec<Certificate>,
    /// What becomes of a client that asks for a name without certificate, or for none.
    pub unknown_sni: Option<UnknownSni>,
    /// Cipher suites by their IANA names, most wanted first; the library's, in
    /// the client's order, if omitted.
    pub ciphers: Option<Vec<String>>,
    /// Key exchange groups by name; of those in common the client's first is used.
    pub key_exchange: Option<Vec<String>>,
    /// Certificates of clients.
    pub client_auth: Option<ClientAuth>,
    /// Files with the secret of session tickets, shared by several nodes: the
    /// first encrypts, all decrypt.
    pub ticket_key_files: Option<Vec<String>>,
}

/// What becomes of a client that asks for a name without certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownSni {
    /// The first certificate is presented.
    Default,
    /// The handshake fails.
    Reject,
}

/// Certificates of clients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuth {
    /// PEM file with the authorities that sign them.
    pub ca: String,
    /// Whether a client without one is refused.
    pub mode: ClientAuthMode,
    /// Tell endpoints the subject and the fingerprint of a verified certificate.
    pub forward: Option<bool>,
}

/// Whether a client without certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// It is.
    Require,
    /// It is not; but one that is sent must be valid.
    Request,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// An application protocol (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Alpn {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// A certificate chain and its key, PEM files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: String,
    /// The private key of the leaf.
    pub key: String,
    /// File with the password of an encrypted key.
    pub key_password_file: Option<String>,
}
