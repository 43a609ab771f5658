//! A client of rustls, for what openssl's cannot do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Pki;

const PATIENCE: Duration = Duration::from_secs(30);

/// Trusts the authority `ca`, shows the certificate `identity`, remembers no
/// sessions.
pub(crate) fn config(pki: &Pki, identity: Option<&str>) -> Arc<ClientConfig> {
    config_with(pki, identity, aws_lc_rs::default_provider())
}

pub(crate) fn config_with(
    pki: &Pki,
    identity: Option<&str>,
    provider: CryptoProvider,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(pki.leaf("ca")).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::pem_file_iter(pki.path(&format!("{name}.pem")))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let key = PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Connects and asks for api.test.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("api.test").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Writes, and reads until what came contains `text`.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: impl AsRef<[u8]>,
    text: &str,
) -> String {
    stream.write_all(bytes.as_ref()).await.unwrap();
    // What the socket did not take, as when the task's turn is over, TLS still holds.
    stream.flush().await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut seen))
            .await
            .expect("bytes come")
            .unwrap();
        assert!(read > 0, "closed before {text:?}: {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// A request on a connection that stays open.
pub(crate) const KEEP_ALIVE: &str = "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n";
