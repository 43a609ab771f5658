//! Certificates and keys from PEM files, checked before anything uses them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::private_key::{KeyDecryptionError, load_private_key};

/// A chain with its key, and what its leaf says.
#[derive(Debug, Clone)]
pub struct LoadedCertificate {
    /// Ready for handshakes.
    pub key: Arc<CertifiedKey>,
    /// The DNS names of the leaf, lower case, wildcards as they stand.
    pub names: Vec<String>,
    /// The common name of the leaf's subject. For people: TLS does not look at it.
    pub common_name: Option<String>,
    /// When the leaf expires, in seconds since the epoch.
    pub expires: i64,
}

impl LoadedCertificate {
    /// What to call it: its first name, or else the common name.
    pub fn label(&self) -> &str {
        self.names.first().or(self.common_name.as_ref()).map_or("", String::as_str)
    }
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
    #[error("{place} is not valid PEM: {error}")]
    Malformed {
        /// The file, and where in it.
        place: PemPlace,
        /// Why.
        error: pem::Error,
    },
    /// The key is encrypted.
    #[error("{file} is encrypted; give key_password_file, or decrypt it with openssl pkey")]
    Encrypted {
        /// The file.
        file: String,
    },
    /// The key is encrypted, and there is a password, but it does not help.
    #[error("{file} cannot be decrypted: {error}")]
    NotDecrypted {
        /// The file.
        file: String,
        /// Why.
        error: KeyDecryptionError,
    },
    /// A file for a password has none.
    #[error("{file} holds no password in its first line")]
    NoPassword {
        /// The file.
        file: String,
    },
    /// A certificate cannot be parsed.
    #[error("{place} holds a certificate that cannot be parsed")]
    BadCertificate {
        /// The file, and where the certificate begins.
        place: PemPlace,
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

/// A place in a PEM file: `file:line`, or the file alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemPlace {
    /// The file.
    pub file: String,
    /// The line, from 1, where it can be told.
    pub line: Option<usize>,
}

impl fmt::Display for PemPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(formatter, ":{line}"))
    }
}

/// Loads a chain (leaf first) and its key. `password` is for a key that is
/// encrypted; for any other it does not matter.
pub fn load_certificate(
    cert: &Path,
    key: &Path,
    password: Option<&[u8]>,
) -> Result<LoadedCertificate, CertificateError> {
    let chain = load_authorities(cert)?;
    let cert_file = cert.display().to_string();
    let key_file = key.display().to_string();

    let private = load_private_key(key, password)?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| CertificateError::BadKey { file: key_file.clone(), error })?;

    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // Unknown: the key cannot tell its public half; nothing speaks against it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => return Err(CertificateError::Mismatch { cert: cert_file, key: key_file }),
    }
    loaded(Arc::new(certified))
        .ok_or(CertificateError::BadCertificate { place: PemPlace { file: cert_file, line: None } })
}

/// Loads every certificate of a PEM file; at least one.
pub fn load_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let file = path.display().to_string();
    let text = read(path)?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&file, &text, error))?;
    if certificates.is_empty() {
        return Err(CertificateError::Missing { file, what: "certificate" });
    }
    for (index, certificate) in certificates.iter().enumerate() {
        if X509Certificate::from_der(certificate).is_err() {
            let line = certificate_lines(&text).nth(index);
            return Err(CertificateError::BadCertificate { place: PemPlace { file, line } });
        }
    }
    Ok(certificates)
}

/// Reads what the leaf says; None if it cannot be parsed.
pub(super) fn loaded(key: Arc<CertifiedKey>) -> Option<LoadedCertificate> {
    let (_, parsed) = X509Certificate::from_der(key.cert.first()?).ok()?;
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
    let common_name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let common_name = common_name.map(str::to_owned);
    let expires = parsed.validity().not_after.timestamp();
    Some(LoadedCertificate { names, common_name, expires, key })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path)
        .map_err(|error| CertificateError::Unreadable { file: path.display().to_string(), error })
}

pub(super) fn malformed(file: &str, text: &[u8], error: pem::Error) -> CertificateError {
    let place = PemPlace { file: file.to_owned(), line: broken_line(text) };
    CertificateError::Malformed { place, error }
}

/// Where sections with certificates begin.
fn certificate_lines(text: &[u8]) -> impl Iterator<Item = usize> {
    lines(text)
        .filter(|(_, line)| line.starts_with(b"-----BEGIN CERTIFICATE-----"))
        .map(|(number, _)| number)
}

/// The first line that is wrong, which the parser's errors do not say: not
/// base64, an end of something else, or the beginning of what has no end.
fn broken_line(text: &[u8]) -> Option<usize> {
    let mut open: Option<(usize, &[u8])> = None;
    for (number, line) in lines(text) {
        match open {
            None => {
                if let Some(rest) = line.strip_prefix(b"-----BEGIN ") {
                    let Some(label) = rest.strip_suffix(b"-----") else { return Some(number) };
                    open = Some((number, label));
                }
            }
            Some((_, label)) if line.starts_with(b"-----") => {
                let end = line.strip_prefix(b"-----END ");
                if end.and_then(|rest| rest.strip_suffix(b"-----")) != Some(label) {
                    return Some(number);
                }
                open = None;
            }
            Some(_) => {
                let base64 =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
                if !line.iter().all(base64) {
                    return Some(number);
                }
            }
        }
    }
    open.map(|(number, _)| number)
}

/// Lines from 1, without white space at their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pem: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pem");
        std::fs::write(&path, pem).expect("written");
        let error = load_authorities(&path).expect_err("broken").to_string();
        error.replace(&format!("{}/", directory.path().display()), "")
    }

    #[test]
    fn errors_say_the_line() {
        let good = super::super::testing::pem(&["a.test"]);
        let lines = good.lines().count();
        let cut = good.replace("-----END CERTIFICATE-----", "");
        assert!(error(&cut).starts_with("a.pem:1 is not valid PEM: "), "{}", error(&cut));
        let second = format!("{good}{}", cut.trim_end());
        let line = lines + 1;
        assert!(error(&second).starts_with(&format!("a.pem:{line} is not")), "{}", error(&second));
        let binary = good.replacen("\nM", "\n\u{7f}", 1);
        assert!(error(&binary).starts_with("a.pem:2 is not valid PEM: "), "{}", error(&binary));
        let not_one =
            format!("about:\n{good}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert_eq!(
            error(&not_one),
            format!("a.pem:{} holds a certificate that cannot be parsed", lines + 2)
        );
        assert_eq!(error("nothing"), "a.pem holds no certificate in PEM form");
    }
}
