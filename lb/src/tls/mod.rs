//! TLS: certificates from files, the one to present by SNI, resumption, client
//! certificates, and both sides' configurations. The provider is aws-lc-rs,
//! installed first thing in `main`.
//!
//! What changes while a listener is in use stands behind pointers that are
//! swapped: the certificates ([`CertificateStore`]) and the keys of tickets
//! ([`Ticketer`]). A [`Reloader`] swaps them when files change, on the thread
//! that [`watch`] starts; nothing here knows sockets or an executor.

mod client;
mod client_auth;
mod encode;
mod fingerprint;
mod pem;
mod private_key;
mod reload;
mod server;
mod sessions;
mod store;
mod suites;
#[cfg(test)]
mod testing;
mod ticket_secret;
mod tickets;
mod watch;

pub use client::{ClientTlsError, Trusted, client_config, digest_of, trusted};
pub use client_auth::{
    ClientAuth, ClientAuthError, ClientAuthMode, ClientIdentity, client_identity,
};
pub use encode::{certificates_to_pem, pair_to_pem};
pub use fingerprint::Fingerprint;
pub use pem::{CertificateError, LoadedCertificate, PemPlace, load_authorities, load_certificate};
pub use private_key::{KeyDecryptionError, load_password};
pub use reload::{CertificateFiles, ReloadError, ReloadOutcome, Reloader};
pub use server::{ServerTls, ServerTlsError, ServerTlsSettings, server_config};
pub use store::{CertificateStore, NoCertificate, UnknownSni};
pub use suites::{CipherSuiteName, KeyExchangeName, known_ciphers, known_key_exchanges};
pub use ticket_secret::{ProcessSecret, TicketKeyError, TicketSecret};
pub use tickets::{TicketClock, TicketPolicy, TicketSource, Ticketer};
pub use watch::{Watch, WatchTimes, watch};

/// Makes aws-lc-rs the process's provider. The first call wins; Pingora would
/// install ring otherwise. Called in `main` and in tests.
pub fn install_provider() {
    // Err means that a provider is already there: ours, from an earlier call.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
