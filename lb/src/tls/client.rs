//! TLS towards endpoints.

use std::sync::Arc;

use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::LoadedCertificate;
use super::fingerprint::Fingerprint;

/// The configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A configured authority is not usable.
    #[error("an authority cannot be used: {0}")]
    Authority(rustls::Error),
    /// The system has no authorities and none are configured.
    #[error("the system has no certificate authorities; install ca-certificates or give tls.ca")]
    NoAuthorities,
    /// rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Whose signatures are believed.
#[derive(Debug)]
pub enum Trusted {
    /// Those that were configured.
    Configured(Vec<CertificateDer<'static>>),
    /// Those of the system.
    System(Vec<CertificateDer<'static>>),
}

/// The configured authorities, or else the system's.
pub fn trusted(configured: Option<Vec<CertificateDer<'static>>>) -> Trusted {
    configured.map_or_else(
        || Trusted::System(rustls_native_certs::load_native_certs().certs),
        Trusted::Configured,
    )
}

/// Tells sets of authorities apart.
pub fn digest_of(trusted: &Trusted) -> [u8; 32] {
    let mut fingerprint = Fingerprint::default();
    let (Trusted::Configured(authorities) | Trusted::System(authorities)) = trusted;
    authorities.iter().for_each(|authority| fingerprint.part(authority));
    fingerprint.finish()
}

/// Builds the client side of handshakes. `identity` is shown to endpoints that ask for a certificate.
pub fn client_config(
    authorities: &Trusted,
    identity: Option<&LoadedCertificate>,
    alpn: Vec<Vec<u8>>,
) -> Result<ClientConfig, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Trusted::Configured(authorities) => {
            for authority in authorities {
                roots.add(authority.clone()).map_err(ClientTlsError::Authority)?;
            }
        }
        Trusted::System(authorities) => {
            // Single broken certificates of a system store are passed over.
            roots.add_parsable_certificates(authorities.iter().cloned());
            if roots.is_empty() {
                return Err(ClientTlsError::NoAuthorities);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => {
            let resolver = SingleCertAndKey::from(Arc::clone(&identity.key));
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    Ok(config)
}
