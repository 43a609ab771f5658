//! What compilation says of certificates and keys that can be read.

#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use lb::compile::{Compiled, compile_text};
use lb::snapshot::Registry;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

fn compile(directory: &TempDir) -> Compiled {
    let yaml = r#"
version: 1
listeners:
  https: { bind: ["127.0.0.1:443"], tls: { certificates: [{ cert: leaf.pem, key: leaf.key }] } }
virtual_hosts:
  - { hosts: ["*"], routes: [{ match: { path_prefix: / }, redirect: { host: a.test } }] }
"#;
    compile_text(yaml, directory.path(), &|_| None, &Registry::default())
}

/// A certificate that ended on a day long ago, or ends so many days from now.
fn certificate(directory: &TempDir, days: Option<u64>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match days {
        None => date_time_ymd(2021, 1, 1),
        Some(days) => {
            // An hour more, so that the whole days are those.
            (std::time::SystemTime::now() + std::time::Duration::from_secs(days * 86_400 + 3600))
                .into()
        }
    };
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.path().join("leaf.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.path().join("leaf.key"), key.serialize_pem()).unwrap();
}

#[test]
fn an_end_that_is_near_is_a_warning() {
    let directory = TempDir::new().unwrap();
    for (days, expected) in [
        (None, Some("the certificate has expired")),
        (Some(0), Some("the certificate expires in 0 days")),
        (Some(13), Some("the certificate expires in 13 days")),
        (Some(14), None),
        (Some(400), None),
    ] {
        certificate(&directory, days);
        let compiled = compile(&directory);
        assert!(compiled.snapshot.is_some(), "{:?}", compiled.problems);
        let warnings: Vec<&str> =
            compiled.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(warnings, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn encrypted_keys_of_either_form_are_named_as_such() {
    let directory = TempDir::new().unwrap();
    certificate(&directory, Some(400));
    let key = directory.path().join("leaf.key");
    let plain = directory.path().join("plain.key");
    for arguments in
        [&["pkcs8", "-topk8", "-passout", "pass:x"][..], &["ec", "-aes128", "-passout", "pass:x"]]
    {
        std::fs::copy(&key, &plain).unwrap();
        let output = Command::new("openssl")
            .args(arguments)
            .arg("-in")
            .arg(&plain)
            .arg("-out")
            .arg(&key)
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let problem = &compile(&directory).problems[0];
        assert!(
            problem.message.contains("leaf.key is encrypted; give key_password_file"),
            "{problem}"
        );
        std::fs::copy(&plain, &key).unwrap();
    }
}
