//! `listeners`: addresses to accept on and their TLS.

use schemars::JsonSchema;
use serde::Deserialize;

use super::HeaderEdits;
use crate::values::BindAddress;

/// A set of addresses with the same treatment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Addresses to accept on.
    pub bind: Vec<BindAddress>,
    /// Header edits on every response of this listener, our own errors included.
    pub response_headers: Option<HeaderEdits>,
    /// Present on listeners that terminate TLS.
    pub tls: Option<ListenerTls>,
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
}
