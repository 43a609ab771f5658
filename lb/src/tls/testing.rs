//! Certificates made up on the spot, for the tests of this module.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;

use super::LoadedCertificate;
use super::pem::loaded;

/// Self-signed, for these names.
pub(super) fn certificate(names: &[&str]) -> LoadedCertificate {
    let key = KeyPair::generate().expect("a key");
    let leaf = params(names).self_signed(&key).expect("a certificate").der().clone();
    let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).expect("a key");
    loaded(Arc::new(CertifiedKey::new(vec![leaf], signing))).expect("a certificate")
}

/// The same as text, without its key.
pub(super) fn pem(names: &[&str]) -> String {
    pair(names).0
}

/// The same as text, with its key.
pub(super) fn pair(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let certificate = params(names).self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("valid names")
}
