//! An authority and certificates of our own, new for every test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub struct Certificates {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub authority: String,
}

impl Certificates {
    /// Makes an authority in `directory`: `ca.pem`.
    pub fn new(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Not the name of the leaves, or they would seem to sign themselves.
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.join("ca.pem"), &authority).unwrap();
        Self { directory: directory.to_owned(), issuer: Issuer::new(params, key), authority }
    }

    /// Issues `NAME.pem` and `NAME.key` for `names`.
    pub fn issue(&self, name: &str, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.directory.join(format!("{name}.pem")), leaf.pem()).unwrap();
        std::fs::write(self.directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
