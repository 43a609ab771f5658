//! Certificates and keys from PEM files, checked before anything uses them.

use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A chain with its key, and what its leaf says.
#[derive(Debug, Clone)]
pub struct LoadedCertificate {
    /// Ready for handshakes.
    pub key: Arc<CertifiedKey>,
    /// The DNS names of the leaf, lower case, wildcards as they stand.
    pub names: Vec<String>,
    /// When the leaf expires, in seconds since the epoch.
    pub expires: i64,
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file has nothing of the kind.
    #[error("{file} holds no {what} in PEM form")]
    Missing {
        /// The file.
        file: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The file is broken.
    #[error("{file} is not valid PEM: {error}")]
    Malformed {
        /// The file.
        file: String,
        /// Why.
        error: pem::Error,
    },
    /// The key is encrypted.
    #[error("{file} is encrypted; decrypt it first, for instance with openssl pkey")]
    Encrypted {
        /// The file.
        file: String,
    },
    /// A certificate cannot be parsed.
    #[error("{file} holds a certificate that cannot be parsed")]
    BadCertificate {
        /// The file.
        file: String,
    },
    /// The key cannot be used for signing.
    #[error("the key in {file} cannot be used: {error}")]
    BadKey {
        /// The file.
        file: String,
        /// Why.
        error: rustls::Error,
    },
    /// Certificate and key do not belong together.
    #[error("the key in {key} does not belong to the certificate in {cert}")]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
    },
}

/// Loads a chain (leaf first) and its key.
pub fn load_certificate(cert: &Path, key: &Path) -> Result<LoadedCertificate, CertificateError> {
    let chain = load_authorities(cert)?;
    let cert_file = cert.display().to_string();
    let key_file = key.display().to_string();

    let text = read(key)?;
    let private = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(private) => private,
        Err(_) if text.windows(9).any(|window| window == b"ENCRYPTED") => {
            return Err(CertificateError::Encrypted { file: key_file });
        }
        Err(pem::Error::NoItemsFound) => {
            return Err(CertificateError::Missing { file: key_file, what: "private key" });
        }
        Err(error) => return Err(CertificateError::Malformed { file: key_file, error }),
    };
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| CertificateError::BadKey { file: key_file.clone(), error })?;

    let (names, expires) = describe(&chain[0], &cert_file)?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // Unknown: the key cannot tell its public half; nothing speaks against it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => return Err(CertificateError::Mismatch { cert: cert_file, key: key_file }),
    }
    Ok(LoadedCertificate { key: Arc::new(certified), names, expires })
}

/// Loads every certificate of a PEM file; at least one.
pub fn load_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let file = path.display().to_string();
    let text = read(path)?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::Malformed { file: file.clone(), error })?;
    if certificates.is_empty() {
        return Err(CertificateError::Missing { file, what: "certificate" });
    }
    for certificate in &certificates {
        if X509Certificate::from_der(certificate).is_err() {
            return Err(CertificateError::BadCertificate { file });
        }
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path)
        .map_err(|error| CertificateError::Unreadable { file: path.display().to_string(), error })
}

fn describe(leaf: &CertificateDer<'_>, file: &str) -> Result<(Vec<String>, i64), CertificateError> {
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|_| CertificateError::BadCertificate { file: file.to_owned() })?;
    let names = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    Ok((names, parsed.validity().not_after.timestamp()))
}
