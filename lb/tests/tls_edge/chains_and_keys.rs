//! Chains with intermediates, and the forms that keys come in.

use std::fs;
use std::process::Command;

use crate::authority::{Kind, Pki, openssl};
use crate::negotiation::edge;
use crate::openssl::{handshake, request};
use crate::origin::TlsOrigin;
use crate::support::Lb;
use crate::{client, upstreams};

/// `NAME.pem` is a leaf of an authority that `ca` has signed, with its chain.
fn chained(pki: &Pki, name: &str, names: &[&str]) {
    pki.intermediate("ca", "middle");
    pki.issue("middle", name, &format!("/CN={name}"), names);
    let chain = [format!("{name}.pem"), "middle.pem".to_owned()]
        .map(|file| fs::read_to_string(pki.path(&file)).unwrap());
    fs::write(pki.path(&format!("{name}.pem")), chain.concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_presented_whole_and_one_of_a_client_is_accepted() {
    let pki = Pki::new();
    chained(&pki, "leaf", &["api.test"]);
    let (ca, leaf, key) = (pki.file("ca.pem"), pki.file("leaf.pem"), pki.file("leaf.key"));
    let auth = format!("client_auth: {{ ca: {ca}, mode: require, forward: true }}");
    let (origin, lb) = edge(&[pki.pair("leaf")], &auth).await;
    let trusting = ["-servername", "api.test", "-CAfile", &ca, "-verify_return_error"];
    let known = ["-cert", &leaf, "-key", &key, "-cert_chain", &leaf];
    for version in ["-tls1_2", "-tls1_3"] {
        let said =
            request(lb.address("https"), &[&trusting[..], &known[..], &[version]].concat()).await;
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("secured"), "{said}");
    }
    let fingerprint = Some(pki.fingerprint("leaf"));
    assert_eq!(origin.requests()[0].header("x-client-cert-fingerprint"), fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_shown_the_whole_chain() {
    let pki = Pki::new();
    chained(&pki, "node", &[]);
    let origin = TlsOrigin::start(&pki, "api", Some("ca"), false).await;
    let tls = format!(
        "ca: {}, server_name: api.test, client_certificate: {}",
        pki.file("ca.pem"),
        pki.pair("node")
    );
    let settings = format!("protocol: https, tls: {{ {tls} }}");
    let lb = upstreams::edge(&[("api", origin.address, settings)]).await;
    assert_eq!(upstreams::get(&lb, "api").await, (200, "secured".to_owned()));
    assert_eq!(origin.requested()[0].client, Some(pki.leaf("node").to_vec()));
}

/// PKCS#8, PKCS#1 and SEC1, towards clients and towards endpoints.
#[tokio::test(flavor = "multi_thread")]
async fn keys_come_in_any_form() {
    let pki = Pki::new();
    pki.issue_as(Kind::Rsa, 20, "ca", "rsa", "/CN=rsa", &["api.test"]);
    pki.issue("ca", "ec", "/CN=ec", &["api.test"]);
    for (name, tool) in [("rsa", &["rsa", "-traditional"][..]), ("ec", &["ec"])] {
        let old = pki.file(&format!("{name}.key"));
        let new = pki.file("converted.key");
        openssl(Command::new("openssl").args(tool).args(["-in", &old, "-out", &new]));
        let text = fs::read_to_string(&new).unwrap();
        let label = format!("-----BEGIN {} PRIVATE KEY-----", name.to_uppercase());
        assert!(text.starts_with(&label), "{text}");
        fs::write(&old, text).unwrap();

        let origin = TlsOrigin::start(&pki, "api", Some("ca"), false).await;
        let tls = format!(
            "ca: {}, server_name: api.test, client_certificate: {}",
            pki.file("ca.pem"),
            pki.pair(name)
        );
        let settings = format!("protocol: https, tls: {{ {tls} }}");
        let lb = upstreams::edge(&[("api", origin.address, settings)]).await;
        assert_eq!(upstreams::get(&lb, "api").await, (200, "secured".to_owned()), "{name}");
        assert_eq!(origin.requested()[0].client, Some(pki.leaf(name).to_vec()), "{name}");

        let (_origin, lb) = edge(&[pki.pair(name)], "").await;
        presents(&pki, &lb, name).await;
    }
}

async fn presents(pki: &Pki, lb: &Lb, name: &str) {
    let stream = client::connect(&client::config(pki, None), lb.address("https")).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], pki.leaf(name));
}

/// The parameters of a curve may precede the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_parameters_before_it_is_read() {
    let pki = Pki::new();
    let parameters = openssl(Command::new("openssl").args(["ecparam", "-name", "prime256v1"]));
    let key = fs::read_to_string(pki.path("api.key")).unwrap();
    fs::write(pki.path("api.key"), format!("{parameters}{key}")).unwrap();
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    let said = handshake(lb.address("https"), &["-servername", "api.test"]).await;
    assert!(said.contains("New, TLSv1.3"), "{said}");
}

/// Two certificates of one name have one series: whoever watches it has to hear
/// of the first to expire.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_certificates_of_one_name_the_first_to_expire_is_told() {
    let pki = Pki::new();
    pki.issue_as(Kind::Rsa, 25, "ca", "rsa", "/CN=rsa", &["api.test"]);
    for pairs in [[pki.pair("api"), pki.pair("rsa")], [pki.pair("rsa"), pki.pair("api")]] {
        let (_origin, lb) = edge(&pairs, "").await;
        let expiry = "lb_certificate_expiry_timestamp_seconds";
        assert_eq!(lb.metric(expiry, &["certificate=\"api.test\""]).await, pki.expires("api"));
    }
}
