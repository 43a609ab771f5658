//! Which certificate a name gets, and names of ciphers and groups.

use crate::authority::Pki;
use crate::bad_files::check;
use crate::negotiation::edge;
use crate::openssl::{handshake, names_of_leaf};

fn certificates(pki: &Pki) -> Vec<String> {
    pki.issue("ca", "wild", "/CN=wild", &["*.wild.test"]);
    pki.issue("ca", "exact", "/CN=exact", &["exact.wild.test", "UPPER.test"]);
    ["api", "wild", "exact"].map(|name| pki.pair(name)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_names_come_before_wildcards_and_the_first_certificate_is_for_the_rest() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&certificates(&pki), "unknown_sni: default").await;
    for (asked, expected) in [
        (&["-servername", "api.test"][..], "api.test"),
        (&["-servername", "a.wild.test"], "*.wild.test"),
        (&["-servername", "A.WILD.TEST"], "*.wild.test"),
        (&["-servername", "exact.wild.test"], "exact.wild.test"),
        (&["-servername", "upper.test"], "exact.wild.test"),
        (&["-servername", "a.b.wild.test"], "api.test"),
        (&["-servername", "wild.test"], "api.test"),
        (&["-servername", "unknown.test"], "api.test"),
        (&["-noservername"], "api.test"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = handshake(lb.address("https"), &[asked, &[version]].concat()).await;
            let names = names_of_leaf(&said, &pki.path("seen.pem"));
            assert!(names.contains(&format!("DNS:{expected}")), "{asked:?}: {names}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_missing_names_can_be_refused() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&certificates(&pki), "unknown_sni: reject").await;
    let mut refused = 0.0;
    for version in ["-tls1_2", "-tls1_3"] {
        for asked in [
            &["-servername", "unknown.test"][..],
            &["-servername", "wild.test"],
            &["-servername", "a.b.wild.test"],
            &["-noservername"],
        ] {
            let said = handshake(lb.address("https"), &[asked, &[version]].concat()).await;
            assert!(said.contains("no peer certificate available"), "{asked:?}: {said}");
            assert!(said.contains("SSL alert number"), "{asked:?}: {said}");
            refused += 1.0;
        }
        let known = ["-servername", "a.wild.test", version];
        let said = handshake(lb.address("https"), &known).await;
        assert!(said.contains("-----BEGIN CERTIFICATE-----"), "{said}");
    }
    lb.metric_becomes("lb_tls_handshakes_total", &["result=\"failed\""], refused).await;
    let closed = ["cause=\"tls_handshake_failed\""];
    lb.metric_becomes("lb_connections_closed_total", &closed, refused).await;
}

/// The problems that `lb check` finds in these lines of `tls`, which begin at
/// line 6.
fn problems(pki: &Pki, tls: &str) -> String {
    let (code, said) = check(
        &pki.path("lb.yaml"),
        &format!(
            "version: 1
listeners:
  https:
    bind: [\"127.0.0.1:0\"]
    tls:
{tls}
      certificates: [{}]
upstreams: {{ api: {{ endpoints: [{{ address: \"127.0.0.1:1\" }}] }} }}
virtual_hosts:
  - {{ hosts: [\"*\"], routes: [{{ match: {{ path_prefix: / }}, upstream: api }}] }}
",
            pki.pair("api")
        ),
    );
    assert_eq!(code, Some(1), "{said}");
    said
}

#[test]
fn a_name_of_no_cipher_or_group_is_an_error_with_a_suggestion() {
    let pki = Pki::new();
    let said = problems(
        &pki,
        "      ciphers: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA348]
      key_exchange: [X25519MLKEM786, x25519]",
    );
    let cipher = said.lines().find(|line| line.contains("ciphers")).expect(&said);
    assert!(cipher.contains("lb.yaml:6:41: listeners.https.tls.ciphers[1]: "), "{said}");
    assert!(cipher.contains("there is no cipher suite \"TLS_AES_256_GCM_SHA348\""), "{said}");
    assert!(cipher.contains("did you mean \"TLS_AES_256_GCM_SHA384\"?"), "{said}");
    let group = said.lines().find(|line| line.contains("key_exchange")).expect(&said);
    assert!(group.contains("lb.yaml:7:22: listeners.https.tls.key_exchange[0]: "), "{said}");
    assert!(group.contains("did you mean \"X25519MLKEM768\"?"), "{said}");
    // Nothing is like it: all there are.
    let said = problems(&pki, "      ciphers: [RC4]\n      key_exchange: [ffdhe2048]");
    assert!(said.contains("known: TLS_AES_256_GCM_SHA384, "), "{said}");
    assert!(said.contains("known: X25519MLKEM768, "), "{said}");
}

#[test]
fn ciphers_and_groups_that_fit_nothing_are_told() {
    let pki = Pki::new();
    for (tls, expected) in [
        ("      ciphers: [TLS_AES_128_GCM_SHA256]", "none of the ciphers is for TLS 1.2"),
        (
            "      ciphers: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
            "none of the ciphers is for TLS 1.3",
        ),
        (
            "      ciphers: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]",
            "none of the ciphers for TLS 1.2 suits a certificate",
        ),
        ("      ciphers: []", "name at least one cipher suite"),
        ("      key_exchange: []", "name at least one key exchange group"),
        ("      key_exchange: [X25519MLKEM768]", "none of the key exchanges is for TLS 1.2"),
    ] {
        let said = problems(&pki, tls);
        assert!(said.contains(expected), "{tls}: {said}");
        let line = said.lines().find(|line| line.contains(expected)).unwrap();
        let key = tls.trim().split(':').next().unwrap();
        assert!(
            line.contains(&format!("lb.yaml:6:7: listeners.https.tls.{key}: ")),
            "{tls}: {line}"
        );
    }
}
