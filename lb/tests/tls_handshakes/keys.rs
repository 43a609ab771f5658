//! Keys with passwords.

use std::path::{Path, PathBuf};
use std::process::Command;

use lb::tls::{CertificateError, KeyDecryptionError, load_certificate, load_password};

use super::support::Authority;

fn openssl(arguments: &[&str], input: &Path, output: &Path) {
    let run = Command::new("openssl")
        .args(arguments)
        .arg("-in")
        .arg(input)
        .arg("-out")
        .arg(output)
        .output()
        .expect("openssl is installed");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn files(directory: &tempfile::TempDir) -> (PathBuf, PathBuf, PathBuf) {
    let at = |name| directory.path().join(name);
    let (cert, key) = Authority::new().pem(&["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    std::fs::write(at("a.pem"), cert).unwrap();
    std::fs::write(at("plain.key"), key).unwrap();
    (at("a.pem"), at("plain.key"), at("a.key"))
}

#[test]
fn a_password_opens_an_encrypted_key() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, plain, key) = files(&directory);
    for how in [
        &["pkcs8", "-topk8", "-passout", "pass:secret"][..],
        &[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes128",
            "-v2prf",
            "hmacWithSHA512",
            "-passout",
            "pass:secret",
        ],
        &["pkcs8", "-topk8", "-scrypt", "-scrypt_N", "1024", "-passout", "pass:secret"],
    ] {
        openssl(how, &plain, &key);
        load_certificate(&cert, &key, Some(b"secret")).unwrap();
        let wrong = load_certificate(&cert, &key, Some(b"Secret")).unwrap_err();
        assert!(
            matches!(
                wrong,
                CertificateError::NotDecrypted { error: KeyDecryptionError::WrongPassword, .. }
            ),
            "{wrong}"
        );
        assert!(wrong.to_string().ends_with("a.key cannot be decrypted: the password is wrong"));
        let none = load_certificate(&cert, &key, None).unwrap_err();
        assert!(matches!(none, CertificateError::Encrypted { .. }), "{none}");
    }
    // Of no use where there is nothing to open, and no harm.
    load_certificate(&cert, &plain, Some(b"secret")).unwrap();
}

#[test]
fn an_encryption_that_is_not_supported_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, plain, key) = files(&directory);
    openssl(&["ec", "-aes128", "-passout", "pass:secret"], &plain, &key);
    let error = load_certificate(&cert, &key, Some(b"secret")).unwrap_err();
    assert!(
        matches!(
            error,
            CertificateError::NotDecrypted { error: KeyDecryptionError::Unsupported, .. }
        ),
        "{error}"
    );
}

#[test]
fn a_password_is_the_first_line_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for (content, expected) in [
        ("secret", Some("secret")),
        ("secret\n", Some("secret")),
        ("secret\r\nother\n", Some("secret")),
        (" with spaces \n", Some(" with spaces ")),
        ("", None),
        ("\nsecret\n", None),
    ] {
        std::fs::write(&path, content).unwrap();
        let password = load_password(&path).ok();
        assert_eq!(password.as_ref().map(|word| word.as_slice()), expected.map(str::as_bytes));
    }
}
