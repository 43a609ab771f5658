//! Private keys from PEM files, those included that a password protects
//! (PKCS#8 with PBES2, RFC 8018 §6.2). What openssl calls traditional encryption
//! is refused: it makes the key from the password with one round of MD5.

use std::path::Path;

use pkcs8::der::SecretDocument;
use pkcs8::{EncryptedPrivateKeyInfoRef, pkcs5};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::pem::{CertificateError, malformed, read};

/// Why a password does not open a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyDecryptionError {
    /// It is another password.
    #[error("the password is wrong")]
    WrongPassword,
    /// It is encrypted by something old or unknown.
    #[error(
        "its encryption is not supported; \
         convert it with openssl pkcs8 -topk8 -v2 aes256"
    )]
    Unsupported,
}

/// Reads a password from a file: its first line, without the end of the line.
pub fn load_password(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let mut text = Zeroizing::new(read(path)?);
    if let Some(end) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        text.truncate(end);
    }
    if text.is_empty() {
        let file = path.display().to_string();
        return Err(CertificateError::NoPassword { file });
    }
    Ok(text)
}

pub(super) fn load_private_key(
    path: &Path,
    password: Option<&[u8]>,
) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let file = path.display().to_string();
    let text = Zeroizing::new(read(path)?);
    match (PrivateKeyDer::from_pem_slice(&text), password) {
        (Ok(private), _) => Ok(private),
        (Err(_), None) if is_encrypted(&text) => Err(CertificateError::Encrypted { file }),
        (Err(_), Some(password)) if is_encrypted(&text) => {
            decrypt(&text, password).map_err(|error| CertificateError::NotDecrypted { file, error })
        }
        (Err(pem::Error::NoItemsFound), _) => {
            Err(CertificateError::Missing { file, what: "private key" })
        }
        (Err(error), _) => Err(malformed(&file, &text, error)),
    }
}

/// Either form says so in capitals: in its label, or in `Proc-Type`.
fn is_encrypted(text: &[u8]) -> bool {
    text.windows(9).any(|window| window == b"ENCRYPTED")
}

fn decrypt(text: &[u8], password: &[u8]) -> Result<PrivateKeyDer<'static>, KeyDecryptionError> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(text).map_err(|_| KeyDecryptionError::Unsupported)?;
    // Other sections may precede it, a certificate for instance.
    let begin = text.find(BEGIN).ok_or(KeyDecryptionError::Unsupported)?;
    let (_, encrypted) =
        SecretDocument::from_pem(&text[begin..]).map_err(|_| KeyDecryptionError::Unsupported)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes())
        .map_err(|_| KeyDecryptionError::Unsupported)?;
    let decrypted = encrypted.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::NoPbes1CryptSupport
            | pkcs5::Error::AlgorithmParametersInvalid { .. },
        ) => KeyDecryptionError::Unsupported,
        // One wrong password in 256 leaves valid padding and then no DER.
        _ => KeyDecryptionError::WrongPassword,
    })?;
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}
