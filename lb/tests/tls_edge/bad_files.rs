//! What `lb check` says of files that are not what they should be.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::authority::{Pki, openssl};

/// The exit code of `lb check`, and what it says.
pub(crate) fn check(path: &Path, yaml: &str) -> (Option<i32>, String) {
    fs::write(path, yaml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lb"))
        .args(["check", "--config"])
        .arg(path)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A configuration with one certificate, whose `cert` is on line 7, `key` on 8
/// and `more` on 9.
fn yaml(cert: &str, key: &str, more: &str) -> String {
    format!(
        "version: 1
listeners:
  https:
    bind: [\"127.0.0.1:0\"]
    tls:
      certificates:
        - cert: {cert}
          key: {key}
          {more}
upstreams: {{ api: {{ endpoints: [{{ address: \"127.0.0.1:1\" }}] }} }}
virtual_hosts:
  - {{ hosts: [\"*\"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}
"
    )
}

const CERTIFICATE: &str = "listeners.https.tls.certificates[0]";

/// Files beside `api.pem` and `api.key`, each broken in its way.
fn files(pki: &Pki) {
    let (pem, key) = (
        fs::read_to_string(pki.path("api.pem")).unwrap(),
        fs::read_to_string(pki.path("api.key")).unwrap(),
    );
    pki.issue("ca", "other", "/CN=other", &["api.test"]);
    for (name, content) in [
        ("empty", String::new()),
        ("text", "nothing of the kind\n".to_owned()),
        ("truncated.pem", pem[..pem.len() / 2].to_owned()),
        ("truncated.key", key[..key.len() / 2].to_owned()),
        ("second.pem", format!("{pem}{}", &pem[..pem.len() / 2])),
        ("broken.pem", pem.replacen("\nM", "\n*", 1)),
        (
            "no-certificate.pem",
            format!("{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ),
        ("right", "correct horse\n".to_owned()),
        ("wrong", "battery staple\n".to_owned()),
        ("blank", "\n".to_owned()),
    ] {
        fs::write(pki.path(name), content).unwrap();
    }
    let password = format!("file:{}", pki.file("right"));
    openssl(
        Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", &password, "-in"])
            .arg(pki.path("api.key"))
            .arg("-out")
            .arg(pki.path("encrypted.key")),
    );
    openssl(
        Command::new("openssl")
            .args(["ec", "-aes128", "-passout", &password, "-in"])
            .arg(pki.path("api.key"))
            .arg("-out")
            .arg(pki.path("traditional.key")),
    );
    fs::create_dir(pki.path("directory")).unwrap();
}

#[test]
fn every_broken_file_is_told_with_its_place() {
    let pki = Pki::new();
    files(&pki);
    let lines = fs::read_to_string(pki.path("api.pem")).unwrap().lines().count();
    let second = format!("second.pem:{} is not valid PEM", lines + 1);
    let unparsed = format!("no-certificate.pem:{} holds a certificate that cannot", lines + 1);
    // The certificate, the key, more; the line and key of the problem, the file
    // and what it says of it.
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        ("empty", "api.key", "", "7:17: C.cert", "empty holds no certificate in PEM form"),
        ("text", "api.key", "", "7:17: C.cert", "text holds no certificate in PEM form"),
        ("api.key", "api.key", "", "7:17: C.cert", "api.key holds no certificate in PEM form"),
        ("truncated.pem", "api.key", "", "7:17: C.cert", "truncated.pem:1 is not valid PEM"),
        ("second.pem", "api.key", "", "7:17: C.cert", &second),
        ("broken.pem", "api.key", "", "7:17: C.cert", "broken.pem:2 is not valid PEM"),
        ("no-certificate.pem", "api.key", "", "7:17: C.cert", &unparsed),
        ("directory", "api.key", "", "7:17: C.cert", "directory cannot be read: Is a directory"),
        ("none.pem", "api.key", "", "7:17: C.cert", "none.pem cannot be read: No such file"),
        ("api.pem", "empty", "", "8:16: C.key", "empty holds no private key in PEM form"),
        ("api.pem", "text", "", "8:16: C.key", "text holds no private key in PEM form"),
        ("api.pem", "api.pem", "", "8:16: C.key", "api.pem holds no private key in PEM form"),
        ("api.pem", "truncated.key", "", "8:16: C.key", "truncated.key:1 is not valid PEM"),
        ("api.pem", "directory", "", "8:16: C.key", "directory cannot be read: Is a directory"),
        (
            "api.pem",
            "other.key",
            "",
            "8:16: C.key",
            "other.key does not belong to the certificate in",
        ),
        (
            "api.pem",
            "encrypted.key",
            "",
            "8:16: C.key",
            "encrypted.key is encrypted; give key_password_file",
        ),
        (
            "api.pem",
            "encrypted.key",
            "wrong",
            "8:16: C.key",
            "encrypted.key cannot be decrypted: the password is wrong",
        ),
        ("api.pem", "traditional.key", "", "8:16: C.key", "traditional.key is encrypted"),
        ("api.pem", "traditional.key", "right", "8:16: C.key", "openssl pkcs8 -topk8 -v2 aes256"),
        (
            "api.pem",
            "encrypted.key",
            "blank",
            "9:30: C.key_password_file",
            "blank holds no password in its first line",
        ),
        (
            "api.pem",
            "encrypted.key",
            "none",
            "9:30: C.key_password_file",
            "none cannot be read: No such file",
        ),
        (
            "api.pem",
            "encrypted.key",
            "directory",
            "9:30: C.key_password_file",
            "directory cannot be read",
        ),
    ];
    for (cert, key, password, place, message) in cases {
        let more = match *password {
            "" => String::new(),
            file => format!("key_password_file: {}", pki.file(file)),
        };
        let yaml = yaml(&pki.file(cert), &pki.file(key), &more);
        let (code, said) = check(&pki.path("lb.yaml"), &yaml);
        let case = format!("{cert}, {key}, {password}: {said}");
        assert_eq!(code, Some(1), "{case}");
        let place = format!("lb.yaml:{}: ", place.replace('C', CERTIFICATE));
        assert!(said.contains(&place), "{place}: {case}");
        assert!(said.contains(message), "{message}: {case}");
        assert_eq!(said.lines().count(), 1, "{case}");
    }
}

#[test]
fn the_right_password_opens_a_key() {
    let pki = Pki::new();
    files(&pki);
    let more = format!("key_password_file: {}", pki.file("right"));
    let yaml = yaml(&pki.file("api.pem"), &pki.file("encrypted.key"), &more);
    let (code, said) = check(&pki.path("lb.yaml"), &yaml);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("lb.yaml: the configuration is sound\n"), "{said}");
}

/// It may still be better than none.
#[test]
fn an_expired_certificate_is_a_warning() {
    let pki = Pki::new();
    pki.issue("ca", "late", "/CN=late", &[]);
    pki.expire("ca", "late");
    let yaml = yaml(&pki.file("late.pem"), &pki.file("late.key"), "");
    let (code, said) = check(&pki.path("lb.yaml"), &yaml);
    assert_eq!(code, Some(0), "{said}");
    let warning = format!("lb.yaml:7:17: {CERTIFICATE}.cert: warning: the certificate has expired");
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn both_files_that_are_missing_are_told() {
    let pki = Pki::new();
    let yaml = yaml(&pki.file("none.pem"), &pki.file("none.key"), "");
    let (code, said) = check(&pki.path("lb.yaml"), &yaml);
    assert_eq!(code, Some(1));
    assert!(said.contains("none.pem cannot be read"), "{said}");
    assert!(said.contains("none.key cannot be read"), "{said}");
}

#[test]
fn files_of_client_auth_and_tickets_are_told_at_their_keys() {
    let pki = Pki::new();
    files(&pki);
    for (tls, place, message) in [
        (
            format!("client_auth: {{ mode: require, ca: {} }}", pki.file("empty")),
            "C.client_auth.ca",
            "empty holds no certificate",
        ),
        (
            format!("client_auth: {{ mode: require, ca: {} }}", pki.file("second.pem")),
            "C.client_auth.ca",
            "second.pem:",
        ),
        (
            format!("ticket_key_files: [{}]", pki.file("right")),
            "C.ticket_key_files[0]",
            "has 14 bytes",
        ),
        (
            format!("ticket_key_files: [{}, {}]", pki.file("api.key"), pki.file("directory")),
            "C.ticket_key_files[1]",
            "directory cannot be read",
        ),
    ] {
        let yaml = yaml(&pki.file("api.pem"), &pki.file("api.key"), "")
            .replace("      certificates:", &format!("      {tls}\n      certificates:"));
        let (code, said) = check(&pki.path("lb.yaml"), &yaml);
        assert_eq!(code, Some(1), "{said}");
        let place = place.replace('C', "listeners.https.tls");
        assert!(said.contains("lb.yaml:6:") && said.contains(&format!(" {place}: ")), "{said}");
        assert!(said.contains(message), "{said}");
    }
}

/// The certificate towards endpoints is read the same way.
#[test]
fn files_of_upstreams_are_told_at_their_keys() {
    let pki = Pki::new();
    files(&pki);
    for (tls, place, message) in [
        (format!("ca: {}", pki.file("text")), "ca", "text holds no certificate"),
        (
            format!(
                "client_certificate: {{ cert: {}, key: {} }}",
                pki.file("api.pem"),
                pki.file("other.key")
            ),
            "client_certificate.key",
            "does not belong to the certificate",
        ),
        (
            "server_name: \"not a name\"".to_owned(),
            "server_name",
            "is not a name that TLS can ask for",
        ),
        ("server_name: \"\"".to_owned(), "server_name", "is not a name that TLS can ask for"),
    ] {
        let yaml = yaml(&pki.file("api.pem"), &pki.file("api.key"), "").replace(
            "upstreams: { api: { ",
            &format!("upstreams: {{ api: {{ protocol: https, tls: {{ {tls} }}, "),
        );
        let (code, said) = check(&pki.path("lb.yaml"), &yaml);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!(" upstreams.api.tls.{place}: ")), "{said}");
        assert!(said.contains(message), "{said}");
    }
}
