//! TLS towards clients: a listener's settings, checked and put together.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::LoadedCertificate;
use super::client_auth::{ClientAuth, ClientAuthError};
use super::fingerprint::Fingerprint;
use super::sessions::SessionStore;
use super::store::{CertificateStore, NoCertificate, UnknownSni};
use super::suites::{CipherSuiteName, KeyExchangeName};
use super::tickets::{TicketPolicy, TicketSource, Ticketer};

/// What a listener says about TLS.
#[derive(Debug)]
pub struct ServerTlsSettings {
    /// Certificates; the first is for names that none has.
    pub certificates: Vec<LoadedCertificate>,
    /// What clients get that ask for a name that none has, or for no name.
    pub unknown_sni: UnknownSni,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// Application protocols, most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// Cipher suites, most wanted first; rustls' own if None.
    pub ciphers: Option<Vec<CipherSuiteName>>,
    /// Key exchange groups, of which the client's order chooses; rustls' own if
    /// None.
    pub key_exchange: Option<Vec<KeyExchangeName>>,
    /// What is asked of clients; nothing if None.
    pub client_auth: Option<ClientAuth>,
    /// Where the keys of session tickets come from.
    pub tickets: TicketSource,
}

impl ServerTlsSettings {
    /// Tells settings apart, certificates and secrets included.
    pub fn digest(&self) -> [u8; 32] {
        let Self {
            certificates,
            unknown_sni,
            only_tls13,
            alpn,
            ciphers,
            key_exchange,
            client_auth,
            tickets,
        } = self;
        let mut fingerprint = Fingerprint::default();
        let mut part = |bytes: &[u8]| fingerprint.part(bytes);
        for certificate in certificates {
            certificate.key.cert.iter().for_each(|link| part(link));
            part(&[]);
        }
        if let TicketSource::Files(secrets) = tickets {
            secrets.iter().for_each(|secret| part(secret.fingerprint()));
        }
        let names = (unknown_sni, only_tls13, alpn, ciphers, key_exchange, tickets);
        part(format!("{names:?}").as_bytes());
        if let Some(ClientAuth { authorities, mode }) = client_auth {
            part(format!("{mode:?}").as_bytes());
            authorities.iter().for_each(|authority| part(authority));
        }
        fingerprint.finish()
    }
}

/// A listener's side of handshakes, and what of it changes while it is in use.
#[derive(Debug)]
pub struct ServerTls {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// The certificates that `config` presents.
    pub certificates: Arc<CertificateStore>,
    /// Whom `config` lets in: equal for listeners that ask the same of clients.
    pub policy: TicketPolicy,
    /// What makes the tickets of `config`, if there are any.
    pub tickets: Option<Arc<Ticketer>>,
}

/// The configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// There is no certificate.
    #[error(transparent)]
    NoCertificate(#[from] NoCertificate),
    /// No cipher suite of TLS 1.3, which is always on.
    #[error("none of the ciphers is for TLS 1.3; add TLS_AES_128_GCM_SHA256 for one")]
    NoSuiteForTls13,
    /// No cipher suite of TLS 1.2 although it is on.
    #[error("none of the ciphers is for TLS 1.2; add one, or set min_version to \"1.3\"")]
    NoSuiteForTls12,
    /// The suites of TLS 1.2 are for another kind of key than the certificates
    /// have: the suite decides between ECDSA and RSA there.
    #[error(
        "none of the ciphers for TLS 1.2 suits a certificate; \
         ECDSA keys need TLS_ECDHE_ECDSA_…, RSA keys TLS_ECDHE_RSA_…"
    )]
    NoSuiteForCertificate,
    /// No groups at all.
    #[error("there is no key exchange")]
    NoKeyExchange,
    /// The groups exist in TLS 1.3 only.
    #[error(
        "none of the key exchanges is for TLS 1.2; \
         add X25519 or secp256r1, or set min_version to \"1.3\""
    )]
    NoKeyExchangeForTls12,
    /// Client authentication cannot be set up.
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthError),
    /// There is no randomness, or no key can be derived.
    #[error("keys for session tickets cannot be made")]
    Tickets,
    /// rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Builds a listener's side of handshakes.
pub fn server_config(settings: ServerTlsSettings) -> Result<ServerTls, ServerTlsError> {
    let ServerTlsSettings {
        certificates,
        unknown_sni,
        only_tls13,
        alpn,
        ciphers,
        key_exchange,
        client_auth,
        tickets,
    } = settings;
    let versions: &[&SupportedProtocolVersion] =
        if only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let in_our_order = ciphers.is_some();
    if let Some(ciphers) = ciphers {
        provider.cipher_suites = ciphers.into_iter().map(CipherSuiteName::suite).collect();
        check_suites(&provider.cipher_suites, only_tls13, &certificates)?;
    }
    if let Some(groups) = key_exchange {
        provider.kx_groups = groups.into_iter().map(KeyExchangeName::group).collect();
        check_groups(&provider.kx_groups, only_tls13)?;
    }
    let provider: Arc<CryptoProvider> = Arc::new(provider);

    let policy = TicketPolicy::new(only_tls13, client_auth.as_ref());
    let tickets =
        Ticketer::new(policy, tickets).map_err(|_| ServerTlsError::Tickets)?.map(Arc::new);
    let verifier = match &client_auth {
        Some(client_auth) => client_auth.verifier(&provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let certificates = Arc::new(CertificateStore::new(certificates, unknown_sni)?);

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&certificates) as _);
    config.alpn_protocols = alpn;
    // Who writes an order means it. Left to itself a client knows better whether
    // it has AES in hardware.
    config.ignore_client_order = in_our_order;
    config.session_storage = Arc::new(SessionStore::new());
    if let Some(tickets) = &tickets {
        config.ticketer = Arc::clone(tickets) as _;
    }
    Ok(ServerTls { config: Arc::new(config), certificates, policy, tickets })
}

/// Every version that is on needs a suite, and for TLS 1.2 one that goes with a
/// certificate; rustls would fail handshake after handshake instead.
fn check_suites(
    suites: &[SupportedCipherSuite],
    only_tls13: bool,
    certificates: &[LoadedCertificate],
) -> Result<(), ServerTlsError> {
    if !suites.iter().any(|suite| suite.tls13().is_some()) {
        return Err(ServerTlsError::NoSuiteForTls13);
    }
    if only_tls13 {
        return Ok(());
    }
    let mut of_tls12 = suites.iter().filter(|suite| suite.tls13().is_none()).peekable();
    if of_tls12.peek().is_none() {
        return Err(ServerTlsError::NoSuiteForTls12);
    }
    let suits = |suite: &SupportedCipherSuite| {
        certificates.iter().any(|certificate| {
            suite.usable_for_signature_algorithm(certificate.key.key.algorithm())
        })
    };
    if !certificates.is_empty() && !of_tls12.any(suits) {
        return Err(ServerTlsError::NoSuiteForCertificate);
    }
    Ok(())
}

fn check_groups(
    groups: &[&'static dyn SupportedKxGroup],
    only_tls13: bool,
) -> Result<(), ServerTlsError> {
    if groups.is_empty() {
        return Err(ServerTlsError::NoKeyExchange);
    }
    let for_tls12 =
        |group: &&dyn SupportedKxGroup| group.usable_for_version(ProtocolVersion::TLSv1_2);
    if !only_tls13 && !groups.iter().any(for_tls12) {
        return Err(ServerTlsError::NoKeyExchangeForTls12);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::certificate;
    use super::*;

    fn settings() -> ServerTlsSettings {
        ServerTlsSettings {
            // ECDSA.
            certificates: vec![certificate(&["a.test"])],
            unknown_sni: UnknownSni::Default,
            only_tls13: false,
            alpn: Vec::new(),
            ciphers: None,
            key_exchange: None,
            client_auth: None,
            tickets: TicketSource::Off,
        }
    }

    fn with_ciphers(only_tls13: bool, names: &[&str]) -> Result<ServerTls, ServerTlsError> {
        let ciphers = names.iter().map(|name| CipherSuiteName::parse(name).expect("known"));
        server_config(ServerTlsSettings {
            only_tls13,
            ciphers: Some(ciphers.collect()),
            ..settings()
        })
    }

    fn with_groups(only_tls13: bool, names: &[&str]) -> Result<ServerTls, ServerTlsError> {
        let groups = names.iter().map(|name| KeyExchangeName::parse(name).expect("known"));
        server_config(ServerTlsSettings {
            only_tls13,
            key_exchange: Some(groups.collect()),
            ..settings()
        })
    }

    #[test]
    fn a_version_without_a_suite_is_refused() {
        let (new, ecdsa, rsa) = (
            "TLS_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        );
        assert!(matches!(with_ciphers(false, &[]), Err(ServerTlsError::NoSuiteForTls13)));
        assert!(matches!(with_ciphers(true, &[ecdsa]), Err(ServerTlsError::NoSuiteForTls13)));
        assert!(matches!(with_ciphers(false, &[new]), Err(ServerTlsError::NoSuiteForTls12)));
        let unsuitable = with_ciphers(false, &[new, rsa]);
        assert!(matches!(unsuitable, Err(ServerTlsError::NoSuiteForCertificate)));
        assert!(with_ciphers(true, &[new]).is_ok());
        assert!(with_ciphers(false, &[new, rsa, ecdsa]).is_ok());
    }

    #[test]
    fn a_version_without_a_key_exchange_is_refused() {
        assert!(matches!(with_groups(true, &[]), Err(ServerTlsError::NoKeyExchange)));
        let hybrid = with_groups(false, &["X25519MLKEM768"]);
        assert!(matches!(hybrid, Err(ServerTlsError::NoKeyExchangeForTls12)), "{hybrid:?}");
        assert!(with_groups(true, &["X25519MLKEM768"]).is_ok());
        assert!(with_groups(false, &["X25519MLKEM768", "secp256r1"]).is_ok());
    }

    #[test]
    fn the_hybrid_key_exchange_comes_first_by_default() {
        let tls = server_config(settings()).expect("a configuration");
        let groups = &tls.config.crypto_provider().kx_groups;
        assert_eq!(groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn client_authentication_needs_authorities() {
        let client_auth = Some(ClientAuth {
            authorities: Vec::new(),
            mode: super::super::ClientAuthMode::Require,
        });
        let refused = server_config(ServerTlsSettings { client_auth, ..settings() });
        assert!(matches!(refused, Err(ServerTlsError::ClientAuth(ClientAuthError::NoAuthority))));
    }
}
