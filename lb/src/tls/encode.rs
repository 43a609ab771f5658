//! PEM again: what was read and checked, for those who take files only.

use pkcs8::der::pem::{LineEnding, encode_string};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::private_key::load_private_key;
use super::{CertificateError, CertificateFiles, load_authorities};

/// Certificates as one PEM text.
pub fn certificates_to_pem(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    certificates.iter().flat_map(|der| encode("CERTIFICATE", der)).collect()
}

/// The chain and the key of a pair of files as PEM texts, the key decrypted.
pub fn pair_to_pem(files: &CertificateFiles) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
    let password = files.password()?;
    let key = load_private_key(&files.key, password.as_ref().map(|word| word.as_slice()))?;
    let label = match &key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Ok((certificates_to_pem(&load_authorities(&files.cert)?), encode(label, key.secret_der())))
}

fn encode(label: &str, der: &[u8]) -> Vec<u8> {
    // It fails for labels that are none; these are.
    encode_string(label, LineEnding::LF, der).unwrap_or_default().into_bytes()
}
