//! The certificates of a listener and which of them a client gets. The table is
//! swapped as a whole; handshakes under way keep the one that they began with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use super::LoadedCertificate;

/// What a client gets that asks for a name that no certificate has, or for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownSni {
    /// The first certificate.
    #[default]
    Default,
    /// No certificate: the handshake fails (nginx's `ssl_reject_handshake`).
    Reject,
}

/// There has to be a certificate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a TLS listener needs at least one certificate")]
pub struct NoCertificate;

/// Certificates by name: exact, then the wildcard one label up (RFC 6125
/// §6.4.3), then what [`UnknownSni`] says.
#[derive(Debug)]
pub struct CertificateStore {
    table: ArcSwap<Table>,
    unknown_sni: UnknownSni,
}

impl CertificateStore {
    /// The first of `certificates` is the default.
    pub fn new(
        certificates: Vec<LoadedCertificate>,
        unknown_sni: UnknownSni,
    ) -> Result<Self, NoCertificate> {
        Ok(Self { table: ArcSwap::from_pointee(Table::new(certificates)?), unknown_sni })
    }

    /// Puts `certificates` in the place of those there are. Connections are not
    /// touched; the next handshake sees the new ones.
    pub fn replace(&self, certificates: Vec<LoadedCertificate>) -> Result<(), NoCertificate> {
        self.table.store(Arc::new(Table::new(certificates)?));
        Ok(())
    }

    /// The certificates as they are now, in the order that they were given.
    pub fn certificates(&self) -> Vec<LoadedCertificate> {
        self.table.load().certificates.clone()
    }

    /// Whether the certificates are these now, each with its chain.
    pub fn presents(&self, chains: &[Vec<CertificateDer<'static>>]) -> bool {
        let table = self.table.load();
        table.certificates.iter().map(|each| &each.key.cert).eq(chains)
    }

    /// Of each certificate what to call it (its first name, or else the common
    /// name of its subject) and when it expires, in seconds since the epoch.
    pub fn expiries(&self) -> Vec<(String, i64)> {
        let table = self.table.load();
        let label = |certificate: &LoadedCertificate| certificate.label().to_owned();
        table.certificates.iter().map(|each| (label(each), each.expires)).collect()
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        // rustls hands the name over in lower case.
        let candidates = match hello.server_name().and_then(|name| table.find(name)) {
            Some(candidates) => candidates,
            None if self.unknown_sni == UnknownSni::Reject => return None,
            None => &table.default,
        };
        // Of several for one name, such as ECDSA and RSA, the first that the
        // client can verify.
        let usable = candidates
            .iter()
            .find(|candidate| candidate.key.choose_scheme(hello.signature_schemes()).is_some());
        usable.or(candidates.first()).cloned()
    }
}

/// Several keys under one name, most wanted first.
type Candidates = Vec<Arc<CertifiedKey>>;

#[derive(Debug)]
struct Table {
    certificates: Vec<LoadedCertificate>,
    exact: HashMap<String, Candidates>,
    /// By the name without `*.`.
    wildcard: HashMap<String, Candidates>,
    default: Candidates,
}

impl Table {
    fn new(certificates: Vec<LoadedCertificate>) -> Result<Self, NoCertificate> {
        let first = certificates.first().ok_or(NoCertificate)?;
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in &certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, name.as_str()),
                };
                let candidates: &mut Candidates = names.entry(name.to_owned()).or_default();
                candidates.push(Arc::clone(&certificate.key));
            }
        }
        // Its twin with another kind of key stands in for the default as well.
        let default = first
            .names
            .first()
            .and_then(|name| match name.strip_prefix("*.") {
                Some(parent) => wildcard.get(parent),
                None => exact.get(name),
            })
            .cloned()
            .unwrap_or_else(|| vec![Arc::clone(&first.key)]);
        Ok(Self { certificates, exact, wildcard, default })
    }

    fn find(&self, name: &str) -> Option<&Candidates> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::certificate;
    use super::*;

    fn chosen(table: &Table, name: &str) -> Option<Arc<CertifiedKey>> {
        table.find(name).and_then(|candidates| candidates.first().cloned())
    }

    #[test]
    fn exact_precedes_wildcard_and_a_wildcard_covers_one_label() {
        let (first, second) = (certificate(&["*.a.test"]), certificate(&["b.a.test"]));
        let table = Table::new(vec![first.clone(), second.clone()]).expect("two certificates");
        assert!(Arc::ptr_eq(&chosen(&table, "b.a.test").expect("exact"), &second.key));
        assert!(Arc::ptr_eq(&chosen(&table, "c.a.test").expect("wildcard"), &first.key));
        for name in ["a.test", "d.c.a.test", "other.test", "test", ""] {
            assert!(chosen(&table, name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_first_certificate_that_has_a_name_is_the_first_candidate() {
        let (first, second) = (certificate(&["a.test"]), certificate(&["a.test"]));
        let table = Table::new(vec![first.clone(), second]).expect("two certificates");
        assert!(Arc::ptr_eq(&chosen(&table, "a.test").expect("exact"), &first.key));
        assert_eq!(table.default.len(), 2);
    }

    #[test]
    fn a_store_is_never_left_without_a_certificate() {
        let store = CertificateStore::new(vec![certificate(&["a.test"])], UnknownSni::Default)
            .expect("one certificate");
        assert_eq!(store.replace(Vec::new()), Err(NoCertificate));
        assert_eq!(store.expiries().len(), 1);
        assert_eq!(store.expiries()[0].0, "a.test");
    }
}
