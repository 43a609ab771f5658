//! Cipher suites and key exchange groups by the names that operators write.
//! What cannot be named here cannot be enabled: rustls has no weak suites to
//! begin with.

use rustls::SupportedCipherSuite;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};

/// A cipher suite, parsed from its IANA name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CipherSuiteName(SupportedCipherSuite);

impl CipherSuiteName {
    /// Reads an IANA name. The suites of TLS 1.3 are also known by the names
    /// that rustls gives them (`TLS13_…`). None if there is no such suite.
    pub fn parse(name: &str) -> Option<Self> {
        let written = name.strip_prefix("TLS13_").map(|rest| format!("TLS_{rest}"));
        let written = written.as_deref().unwrap_or(name);
        let known = CIPHERS.iter().find(|(known, suite)| {
            // `TLS13_` before a suite of 1.2 is a mistake, not a spelling.
            *known == written && (written == name || suite.tls13().is_some())
        })?;
        Some(Self(known.1))
    }

    pub(super) fn suite(self) -> SupportedCipherSuite {
        self.0
    }
}

/// A key exchange group, parsed from its name.
#[derive(Debug, Clone, Copy)]
pub struct KeyExchangeName(&'static dyn SupportedKxGroup);

impl KeyExchangeName {
    /// Reads a name in any case: RFC 8446 writes `secp256r1`, the IANA registry
    /// `SecP256r1MLKEM768`. None if there is no such group.
    pub fn parse(name: &str) -> Option<Self> {
        let known = KEY_EXCHANGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(Self(known.1))
    }

    pub(super) fn group(self) -> &'static dyn SupportedKxGroup {
        self.0
    }
}

/// Every cipher suite's IANA name, strongest first.
pub fn known_ciphers() -> impl Iterator<Item = &'static str> {
    CIPHERS.iter().map(|(name, _)| *name)
}

/// Every key exchange group's name, in the order of preference.
pub fn known_key_exchanges() -> impl Iterator<Item = &'static str> {
    KEY_EXCHANGES.iter().map(|(name, _)| *name)
}

/// In rustls' order of preference.
static CIPHERS: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The hybrids first: what is recorded today should not be readable once there
/// are quantum computers.
static KEY_EXCHANGES: &[(&str, &dyn SupportedKxGroup)] = &[
    ("X25519MLKEM768", kx_group::X25519MLKEM768),
    ("SECP256R1MLKEM768", kx_group::SECP256R1MLKEM768),
    ("X25519", kx_group::X25519),
    ("secp256r1", kx_group::SECP256R1),
    ("secp384r1", kx_group::SECP384R1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_provider_has_its_name() {
        let suites = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
        assert_eq!(CIPHERS.len(), suites.len());
        for (name, suite) in CIPHERS {
            let as_rustls = format!("{:?}", suite.suite());
            assert_eq!(as_rustls.replace("TLS13_", "TLS_"), *name);
            assert_eq!(CipherSuiteName::parse(name), Some(CipherSuiteName(*suite)));
            assert_eq!(CipherSuiteName::parse(&as_rustls), Some(CipherSuiteName(*suite)));
        }
    }

    #[test]
    fn a_name_of_no_suite_is_none() {
        for name in [
            "",
            "TLS13_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "TLS13_",
        ] {
            assert_eq!(CipherSuiteName::parse(name), None, "{name}");
        }
        assert!(KeyExchangeName::parse("ffdhe2048").is_none());
    }

    #[test]
    fn groups_are_known_in_any_case() {
        for name in known_key_exchanges() {
            for spelling in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                let parsed = KeyExchangeName::parse(&spelling).expect("known");
                assert!(format!("{:?}", parsed.group().name()).eq_ignore_ascii_case(name));
            }
        }
    }
}
