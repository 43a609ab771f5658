//! TLS: certificates from files, the one to present by SNI, and both sides'
//! configurations. The provider is aws-lc-rs, installed first thing in `main`.

mod client;
mod pem;
mod server;

pub use client::{ClientTlsError, client_config};
pub use pem::{CertificateError, LoadedCertificate, load_authorities, load_certificate};
pub use server::{ServerTlsError, ServerTlsSettings, server_config};

/// Makes aws-lc-rs the process's provider. The first call wins; Pingora would
/// install ring otherwise. Called in `main` and in tests.
pub fn install_provider() {
    // Err means that a provider is already there: ours, from an earlier call.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
