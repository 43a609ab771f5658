//! Versions, cipher suites and key exchange.

use std::sync::Arc;

use lb::tls::{CipherSuiteName, KeyExchangeName, ServerTlsSettings};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use super::support::{Authority, Refused, connect, only, server, settings};

fn group(name: &str) -> Vec<KeyExchangeName> {
    vec![KeyExchangeName::parse(name).unwrap()]
}

#[test]
fn the_hybrid_key_exchange_is_negotiated_by_default() {
    let authority = Authority::new();
    let tls = server(settings(vec![authority.issue(&["a.test"])]));
    let connected = connect(&Arc::new(authority.client(None)), &tls.config, "a.test").unwrap();
    let group = connected.server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(connected.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn the_key_exchange_is_the_one_that_is_configured() {
    let authority = Authority::new();
    let certificate = authority.issue(&["a.test"]);
    for (name, expected) in [("secp384r1", NamedGroup::secp384r1), ("x25519", NamedGroup::X25519)] {
        let tls = server(ServerTlsSettings {
            key_exchange: Some(group(name)),
            ..settings(vec![certificate.clone()])
        });
        for version in [&TLS12, &TLS13] {
            let client = Arc::new(only(version, &authority.client(None)));
            let connected = connect(&client, &tls.config, "a.test").unwrap();
            let group = connected.server.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, expected);
        }
    }
}

#[test]
fn the_cipher_suite_is_one_of_those_that_are_configured() {
    let authority = Authority::new();
    let names = ["TLS_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"];
    let ciphers = names.iter().map(|name| CipherSuiteName::parse(name).unwrap()).collect();
    let tls = server(ServerTlsSettings {
        ciphers: Some(ciphers),
        ..settings(vec![authority.issue(&["a.test"])])
    });
    for (version, expected) in [
        (&TLS13, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ] {
        let client = Arc::new(only(version, &authority.client(None)));
        let connected = connect(&client, &tls.config, "a.test").unwrap();
        assert_eq!(connected.server.negotiated_cipher_suite().unwrap().suite(), expected);
    }
}

#[test]
fn tls12_is_refused_where_only_tls13_is_allowed() {
    let authority = Authority::new();
    let tls = server(ServerTlsSettings {
        only_tls13: true,
        ..settings(vec![authority.issue(&["a.test"])])
    });
    let old = Arc::new(only(&TLS12, &authority.client(None)));
    let refused = connect(&old, &tls.config, "a.test").unwrap_err();
    assert!(matches!(refused, Refused::ByServer(_)), "{refused:?}");
    assert!(connect(&Arc::new(authority.client(None)), &tls.config, "a.test").is_ok());
}
