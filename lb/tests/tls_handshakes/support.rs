//! An authority, and both ends of a connection without a socket.

use std::sync::Arc;

use lb::tls::{
    LoadedCertificate, ServerTls, ServerTlsSettings, TicketSource, Trusted, UnknownSni,
    client_config, load_certificate, server_config,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SignatureAlgorithm,
};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        let key = KeyPair::generate_for(algorithm).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self, names: &[&str]) -> LoadedCertificate {
        self.issue_for(names, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn issue_for(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> LoadedCertificate {
        let (cert, key) = self.pem(names, algorithm);
        let directory = tempfile::tempdir().unwrap();
        let (cert_file, key_file) =
            (directory.path().join("a.pem"), directory.path().join("a.key"));
        std::fs::write(&cert_file, cert).unwrap();
        std::fs::write(&key_file, key).unwrap();
        load_certificate(&cert_file, &key_file, None).unwrap()
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self, identity: Option<&LoadedCertificate>) -> ClientConfig {
        let config = client_config(&Trusted::Configured(vec![self.der()]), identity, Vec::new());
        config.unwrap()
    }
}

/// Settings of a listener that says nothing but its certificates.
pub(crate) fn settings(certificates: Vec<LoadedCertificate>) -> ServerTlsSettings {
    ServerTlsSettings {
        certificates,
        unknown_sni: UnknownSni::Default,
        only_tls13: false,
        alpn: Vec::new(),
        ciphers: None,
        key_exchange: None,
        client_auth: None,
        tickets: TicketSource::Off,
    }
}

pub(crate) fn server(settings: ServerTlsSettings) -> ServerTls {
    server_config(settings).unwrap()
}

/// What only speaks this version.
pub(crate) fn only(
    version: &'static rustls::SupportedProtocolVersion,
    client: &ClientConfig,
) -> ClientConfig {
    let mut restricted = ClientConfig::builder_with_provider(Arc::clone(client.crypto_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    // Everything else is as in `client`, the verifier included.
    let verifier = Arc::new(Trusting);
    restricted.dangerous().set_certificate_verifier(verifier);
    restricted.client_auth_cert_resolver = Arc::clone(&client.client_auth_cert_resolver);
    restricted
}

/// Both ends after a handshake.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

impl Connected {
    pub(crate) fn resumed(&self) -> bool {
        assert_eq!(self.client.handshake_kind(), self.server.handshake_kind());
        self.server.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the client was shown.
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// Which end gave up, and why.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    ByClient(rustls::Error),
    ByServer(rustls::Error),
}

pub(crate) fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<Connected, Refused> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut connected = Connected { client, server };
    connected.pump()?;
    assert!(!connected.client.is_handshaking() && !connected.server.is_handshaking());
    Ok(connected)
}

impl Connected {
    /// Carries records until nobody has any left.
    pub(crate) fn pump(&mut self) -> Result<(), Refused> {
        while self.client.wants_write() || self.server.wants_write() {
            let mut records = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut records).unwrap();
            }
            let mut unread = records.as_slice();
            while !unread.is_empty() {
                self.server.read_tls(&mut unread).unwrap();
                self.server.process_new_packets().map_err(Refused::ByServer)?;
            }
            let mut records = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut records).unwrap();
            }
            let mut unread = records.as_slice();
            while !unread.is_empty() {
                self.client.read_tls(&mut unread).unwrap();
                self.client.process_new_packets().map_err(Refused::ByClient)?;
            }
        }
        Ok(())
    }
}

/// Believes every server; these tests are about what the server does.
#[derive(Debug)]
struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
