//! Authorities and certificates that openssl makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

const CONFIG: &str = "\
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
";

/// What kind of key.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Ecdsa,
    Rsa,
}

/// A directory of authorities and certificates: `NAME.pem` and `NAME.key`.
pub(crate) struct Pki {
    directory: TempDir,
}

impl Pki {
    /// With the authority `ca` and its certificate `api` for api.test.
    pub(crate) fn new() -> Self {
        let pki = Self { directory: TempDir::new().unwrap() };
        fs::write(pki.path("openssl.cnf"), CONFIG).unwrap();
        pki.authority("ca");
        pki.issue("ca", "api", "/CN=api", &["api.test"]);
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text, for arguments and YAML.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn authority(&self, name: &str) {
        let subject = format!("/CN={name} of the tests");
        self.request(name, &subject, Kind::Ecdsa, &["-extensions", "authority", "-days", "30"]);
    }

    /// An authority that another has signed.
    pub(crate) fn intermediate(&self, authority: &str, name: &str) {
        let by = |kind| self.file(&format!("{authority}.{kind}"));
        let subject = format!("/CN={name} of the tests");
        let arguments =
            ["-extensions", "authority", "-days", "30", "-CA", &by("pem"), "-CAkey", &by("key")];
        self.request(name, &subject, Kind::Ecdsa, &arguments);
    }

    pub(crate) fn issue(&self, authority: &str, name: &str, subject: &str, names: &[&str]) {
        self.issue_as(Kind::Ecdsa, 20, authority, name, subject, names);
    }

    pub(crate) fn issue_as(
        &self,
        kind: Kind,
        days: u32,
        authority: &str,
        name: &str,
        subject: &str,
        names: &[&str],
    ) {
        let (pem, key) =
            (self.file(&format!("{authority}.pem")), self.file(&format!("{authority}.key")));
        let days = days.to_string();
        let mut arguments =
            vec!["-CA", &pem, "-CAkey", &key, "-extensions", "leaf", "-days", &days];
        let names: Vec<String> = names
            .iter()
            .map(|name| match name.parse::<std::net::IpAddr>() {
                Ok(address) => format!("IP:{address}"),
                Err(_) => format!("DNS:{name}"),
            })
            .collect();
        let extension = format!("subjectAltName={}", names.join(","));
        if !names.is_empty() {
            arguments.extend(["-addext", &extension]);
        }
        self.request(name, subject, kind, &arguments);
    }

    fn request(&self, name: &str, subject: &str, kind: Kind, arguments: &[&str]) {
        let key: &[&str] = match kind {
            Kind::Ecdsa => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::Rsa => &["-newkey", "rsa:2048"],
        };
        openssl(
            Command::new("openssl")
                .args(["req", "-x509", "-nodes", "-utf8", "-config"])
                .arg(self.path("openssl.cnf"))
                .args(["-subj", subject, "-keyout"])
                .arg(self.path(&format!("{name}.key")))
                .arg("-out")
                .arg(self.path(&format!("{name}.pem")))
                .args(key)
                .args(arguments),
        );
    }

    /// Signs a certificate again, so that it has expired a day before.
    pub(crate) fn expire(&self, authority: &str, name: &str) {
        let file = |kind| self.file(&format!("{name}.{kind}"));
        let by = |kind| self.file(&format!("{authority}.{kind}"));
        let config = self.file("openssl.cnf");
        openssl(
            Command::new("openssl")
                .args(["req", "-new", "-config", &config, "-subj", "/CN=late"])
                .args(["-key", &file("key"), "-out", &file("csr")]),
        );
        openssl(
            Command::new("openssl")
                .args(["x509", "-req", "-in", &file("csr"), "-days", "-1", "-out", &file("pem")])
                .args(["-CA", &by("pem"), "-CAkey", &by("key"), "-set_serial", "1"])
                .args(["-extfile", &config, "-extensions", "leaf"]),
        );
    }

    /// Puts a pair where another is, as renewals do: written beside, renamed.
    pub(crate) fn replace(&self, old: &str, new: &str) {
        for kind in ["pem", "key"] {
            fs::copy(self.path(&format!("{new}.{kind}")), self.path("staged")).unwrap();
            fs::rename(self.path("staged"), self.path(&format!("{old}.{kind}"))).unwrap();
        }
    }

    pub(crate) fn leaf(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()
    }

    /// `- { cert: NAME.pem, key: NAME.key }` of YAML.
    pub(crate) fn pair(&self, name: &str) -> String {
        format!(
            "{{ cert: {}, key: {} }}",
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key"))
        )
    }

    /// SHA-256 of a certificate in lower-case hexadecimal, as openssl says it.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let text = x509(&self.path(&format!("{name}.pem")), &["-fingerprint", "-sha256"]);
        let (_, pairs) = text.trim().split_once('=').unwrap();
        pairs.replace(':', "").to_lowercase()
    }

    /// When a certificate expires, in seconds since the epoch, by openssl and date.
    pub(crate) fn expires(&self, name: &str) -> f64 {
        let text = x509(&self.path(&format!("{name}.pem")), &["-enddate"]);
        let (_, date) = text.trim().split_once('=').unwrap();
        let seconds = openssl(Command::new("date").args(["-u", "-d", date, "+%s"]));
        seconds.trim().parse().unwrap()
    }
}

/// What openssl says of a certificate.
pub(crate) fn x509(path: &Path, arguments: &[&str]) -> String {
    openssl(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(path).args(arguments))
}

/// Runs what must succeed, and gives what it says.
pub(crate) fn openssl(command: &mut Command) -> String {
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
