//! TLS towards clients: which certificate for which name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::LoadedCertificate;

/// Sessions of TLS 1.2 clients without tickets that are remembered. About
/// 300 bytes each.
const REMEMBERED_SESSIONS: usize = 20_480;

/// What a listener says about TLS.
#[derive(Debug)]
pub struct ServerTlsSettings {
    /// Certificates; the first is for names that none has.
    pub certificates: Vec<LoadedCertificate>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Application protocols, most wanted first.
    pub alpn: Vec<Vec<u8>>,
}

/// The configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// There is no certificate.
    #[error("a TLS listener needs at least one certificate")]
    NoCertificate,
    /// rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Builds a listener's side of handshakes.
pub fn server_config(settings: ServerTlsSettings) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let ServerTlsSettings { certificates, only_tls13, alpn } = settings;
    let versions: &[&rustls::SupportedProtocolVersion] =
        if only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni::new(certificates)?));
    config.alpn_protocols = alpn;
    config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
    // Stateless resumption; the keys are this process's own and rotate.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Chooses by the name that the client asks for: exact, then the wildcard one
/// label up (RFC 6125 §6.4.3), then the default.
#[derive(Debug)]
struct BySni {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl BySni {
    fn new(certificates: Vec<LoadedCertificate>) -> Result<Self, ServerTlsError> {
        let default = certificates.first().ok_or(ServerTlsError::NoCertificate)?.key.clone();
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in certificates {
            for name in certificate.names {
                // The first certificate that has a name keeps it.
                match name.strip_prefix("*.") {
                    Some(parent) => {
                        wildcard
                            .entry(parent.to_owned())
                            .or_insert_with(|| certificate.key.clone());
                    }
                    None => {
                        exact.entry(name).or_insert_with(|| certificate.key.clone());
                    }
                }
            }
        }
        Ok(Self { exact, wildcard, default })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls hands the name over in lower case.
        let chosen = hello.server_name().and_then(|name| self.find(name)).unwrap_or(&self.default);
        Some(Arc::clone(chosen))
    }
}
