//! A certificate for this run, and the client that trusts it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustls::{ClientConfig, RootCertStore};

/// The name that the load asks for.
pub(crate) const SERVER_NAME: &str = "localhost";

/// TLS of the clients, for each protocol.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
}

/// Writes `server.pem` and `server.key` into `directory`.
pub(crate) fn make(directory: &Path) -> Result<Trust, Box<dyn Error + Send + Sync>> {
    let names = [SERVER_NAME, "127.0.0.1"].map(str::to_owned).to_vec();
    let made = generate_simple_self_signed(names)?;
    std::fs::write(directory.join("server.pem"), made.cert.pem())?;
    std::fs::write(directory.join("server.key"), made.signing_key.serialize_pem())?;

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let with_alpn = |protocol: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    };
    Ok(Trust { http1: with_alpn(b"http/1.1"), http2: with_alpn(b"h2") })
}
