//! Which certificate a client gets, and what happens when they are swapped.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lb::tls::{
    CertificateFiles, ReloadOutcome, Reloader, ServerTlsSettings, UnknownSni, WatchTimes,
    load_certificate, watch,
};
use rustls::version::TLS12;

use super::support::{Authority, Refused, connect, only, server, settings};

#[test]
fn a_swap_under_handshakes_fails_none() {
    let authority = Authority::new();
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let tls = server(settings(vec![old.clone()]));
    let client = Arc::new(authority.client(None));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                tls.certificates.replace(vec![new.clone()]).unwrap();
                tls.certificates.replace(vec![old.clone()]).unwrap();
            }
        });
        for _ in 0..200 {
            connect(&client, &tls.config, "a.test").unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });

    let mut before = connect(&client, &tls.config, "a.test").unwrap();
    tls.certificates.replace(vec![new.clone()]).unwrap();
    let full = Arc::new(authority.client(None));
    assert_eq!(connect(&full, &tls.config, "a.test").unwrap().leaf(), new.key.cert[0]);

    // The connection from before goes on.
    before.client.writer().write_all(b"still here").unwrap();
    before.pump().unwrap();
    let mut heard = [0; 10];
    before.server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
}

#[test]
fn files_that_change_reach_the_next_handshake() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateFiles {
        cert: directory.path().join("a.pem"),
        key: directory.path().join("a.key"),
        password_file: None,
    };
    let write = || {
        let (cert, key) = authority.pem(&["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
    };
    write();
    let old = load_certificate(&files.cert, &files.key, None).unwrap();
    let tls = server(settings(vec![old.clone()]));
    let mut reloader = Reloader::new();
    reloader.add_certificates("https", vec![files.clone()], &tls.certificates);
    let (sender, outcomes) = std::sync::mpsc::channel();
    let watch = watch(reloader, WatchTimes::default(), move |outcomes| {
        let _ = sender.send(outcomes);
    });
    let _watch = watch.unwrap();
    write();
    // A failure on the way is one of a pair that was half there.
    while !matches!(
        outcomes.recv_timeout(std::time::Duration::from_secs(30)).unwrap()[..],
        [ReloadOutcome::Reloaded { .. }]
    ) {}
    let client = Arc::new(authority.client(None));
    assert_ne!(connect(&client, &tls.config, "a.test").unwrap().leaf(), old.key.cert[0]);
}

#[test]
fn names_choose_and_the_first_is_for_the_rest() {
    let authority = Authority::new();
    let names: [&[&str]; 3] = [&["a.test"], &["*.b.test"], &["c.b.test"]];
    let certificates: Vec<_> = names.iter().map(|names| authority.issue(names)).collect();
    let tls = server(settings(certificates.clone()));
    let client = Arc::new(only(&TLS12, &authority.client(None)));
    for (name, expected) in [
        ("a.test", 0),
        ("A.TEST", 0),
        ("x.b.test", 1),
        ("c.b.test", 2),
        ("x.c.b.test", 0),
        ("other.test", 0),
        ("127.0.0.1", 0),
    ] {
        let leaf = connect(&client, &tls.config, name).unwrap().leaf();
        assert_eq!(leaf, certificates[expected].key.cert[0], "{name}");
    }
}

#[test]
fn unknown_names_are_rejected_where_that_is_wanted() {
    let authority = Authority::new();
    let tls = server(ServerTlsSettings {
        unknown_sni: UnknownSni::Reject,
        ..settings(vec![authority.issue(&["a.test", "127.0.0.1"])])
    });
    let client = Arc::new(authority.client(None));
    assert!(connect(&client, &tls.config, "a.test").is_ok());
    // An address is not a name that clients send.
    for name in ["b.test", "x.a.test", "127.0.0.1"] {
        let refused = connect(&client, &tls.config, name).unwrap_err();
        assert!(matches!(refused, Refused::ByServer(_)), "{name}: {refused:?}");
    }
}

#[test]
fn of_two_kinds_of_keys_a_client_gets_the_one_that_it_can_verify() {
    let authority = Authority::new();
    let ecdsa = authority.issue(&["a.test"]);
    let rsa = authority.issue_for(&["a.test"], &rcgen::PKCS_RSA_SHA256);
    let tls = server(settings(vec![ecdsa.clone(), rsa.clone()]));
    let client = authority.client(None);
    let old = |kind: &str| {
        let mut provider = (**client.crypto_provider()).clone();
        provider.cipher_suites.retain(|suite| format!("{suite:?}").contains(kind));
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS12])
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    };
    for (kind, expected) in [("ECDHE_RSA", &rsa), ("ECDHE_ECDSA", &ecdsa)] {
        let leaf = connect(&old(kind), &tls.config, "a.test").unwrap().leaf();
        assert_eq!(leaf, expected.key.cert[0], "{kind}");
    }
    let leaf = connect(&Arc::new(client.clone()), &tls.config, "a.test").unwrap().leaf();
    assert_eq!(leaf, ecdsa.key.cert[0]);
}
