//! Versions, ciphers and key exchange, as openssl's client sees them.

use rustls::crypto::aws_lc_rs::{self, kx_group};

use crate::authority::{Kind, Pki};
use crate::support::{Lb, Origin};
use crate::{client, openssl};

pub(crate) async fn edge(certificates: &[String], tls: &str) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  https:
    bind: ["127.0.0.1:0"]
    tls:
      certificates: [{}]
      {tls}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        certificates.join(", "),
        origin.address
    ))
    .await;
    (origin, lb)
}

async fn handshake(lb: &Lb, arguments: &[&str]) -> String {
    openssl::handshake(lb.address("https"), &[&["-servername", "api.test"], arguments].concat())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_those_that_are_written() {
    let pki = Pki::new();
    let (_origin, both) = edge(&[pki.pair("api")], "").await;
    let (_origin, strict) = edge(&[pki.pair("api")], "min_version: \"1.3\"").await;
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = handshake(&both, &[version]).await;
        assert!(said.contains(&format!("New, {name}, Cipher is")), "{said}");
    }
    for old in ["-tls1", "-tls1_1"] {
        let said = handshake(&both, &[old, "-cipher", "ALL:@SECLEVEL=0"]).await;
        // Which alert depends on what else the client lacks.
        assert!(said.contains("SSL alert number"), "{old}: {said}");
        assert!(said.contains("no peer certificate available"), "{old}: {said}");
    }
    let said = handshake(&strict, &["-tls1_2"]).await;
    assert!(said.contains("alert protocol version"), "{said}");
    assert!(handshake(&strict, &[]).await.contains("New, TLSv1.3"));
    both.metric_becomes("lb_tls_handshakes_total", &["result=\"failed\""], 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_ciphers_that_are_written_are_spoken() {
    let pki = Pki::new();
    let ciphers = "ciphers: [TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, \
                   TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
                   TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]";
    let (_origin, lb) = edge(&[pki.pair("api")], ciphers).await;
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"] {
        let said = handshake(&lb, &["-tls1_3", "-ciphersuites", suite]).await;
        assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
    }
    for suite in ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"] {
        let said = handshake(&lb, &["-tls1_2", "-cipher", suite]).await;
        assert!(said.contains(&format!("Cipher is {suite}")), "{said}");
    }
    for refused in [
        ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        ["-tls1_2", "-cipher", "AES128-SHA"],
    ] {
        let said = handshake(&lb, &refused).await;
        assert!(said.contains("alert handshake failure"), "{refused:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cipher_that_is_written_wins_over_the_clients_order() {
    let pki = Pki::new();
    let ciphers = "ciphers: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, \
                   TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
                   TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]";
    let (_origin, lb) = edge(&[pki.pair("api")], ciphers).await;
    let order = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
    let said = handshake(&lb, &["-tls1_3", "-ciphersuites", order]).await;
    assert!(said.contains("Cipher is TLS_AES_128_GCM_SHA256"), "{said}");
    let order = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
    let said = handshake(&lb, &["-tls1_2", "-cipher", order]).await;
    assert!(said.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"), "{said}");
    // Left out, clients choose: a phone without AES in hardware wants ChaCha20.
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    let order = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
    let said = handshake(&lb, &["-tls1_3", "-ciphersuites", order]).await;
    assert!(said.contains("Cipher is TLS_CHACHA20_POLY1305_SHA256"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_groups_that_are_written_are_spoken() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&[pki.pair("api")], "key_exchange: [secp384r1, X25519]").await;
    for (group, said_as) in [
        ("P-384", "Server Temp Key: ECDH, secp384r1, 384 bits"),
        ("X25519", "Server Temp Key: X25519"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = handshake(&lb, &[version, "-groups", group]).await;
            assert!(said.contains(said_as), "{version}, {group}: {said}");
        }
    }
    // With a share for another group first: the client is asked to try again.
    let said = handshake(&lb, &["-tls1_3", "-groups", "P-256:P-384"]).await;
    assert!(said.contains("secp384r1"), "{said}");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = handshake(&lb, &[version, "-groups", "P-256"]).await;
        assert!(said.contains("alert handshake failure"), "{version}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hybrid_key_exchange_is_spoken_by_default_and_can_be_the_only_one() {
    let pki = Pki::new();
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    let hybrid = client::config_with(&pki, None, provider);
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    let stream = client::connect(&hybrid, lb.address("https")).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);

    let only = "min_version: \"1.3\"\n      key_exchange: [X25519MLKEM768]";
    let (_origin, lb) = edge(&[pki.pair("api")], only).await;
    client::connect(&hybrid, lb.address("https")).await.unwrap();
    let said = handshake(&lb, &["-groups", "X25519"]).await;
    assert!(said.contains("alert handshake failure"), "{said}");
    let (_origin, lb) = edge(&[pki.pair("api")], "key_exchange: [X25519]").await;
    client::connect(&hybrid, lb.address("https")).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_kinds_of_key_a_client_gets_the_one_it_can_use() {
    let pki = Pki::new();
    pki.issue_as(Kind::Rsa, 20, "ca", "rsa", "/CN=rsa", &["api.test"]);
    let (_origin, lb) = edge(&[pki.pair("api"), pki.pair("rsa")], "").await;
    for (arguments, key) in [
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"][..], "rsaEncryption"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "id-ecPublicKey"),
        (&["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsaEncryption"),
        (&["-tls1_3"], "id-ecPublicKey"),
    ] {
        let said = handshake(&lb, arguments).await;
        assert!(said.contains(&format!("a:PKEY: {key}")), "{arguments:?}: {said}");
    }
}
