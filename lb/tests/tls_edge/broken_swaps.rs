//! Files that change into something that cannot be used.

use std::fs;
use std::process::Command;

use crate::authority::{Pki, openssl};
use crate::client;
use crate::support::{Lb, Origin};

async fn edge(pairs: &[String]) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{}] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        pairs.join(", "),
        origin.address
    ))
    .await;
    (origin, lb)
}

const FAILED: &str = "lb_certificate_reload_failed";
const LISTENER: &[&str] = &["listener=\"https\""];

async fn presents(pki: &Pki, lb: &Lb, name: &str) {
    let stream = client::connect(&client::config(pki, None), lb.address("https")).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], pki.leaf(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_leaves_the_old_one_until_it_is_repaired() {
    let pki = Pki::new();
    for name in ["live", "next", "other"] {
        pki.issue("ca", name, "/CN=api", &["api.test"]);
    }
    pki.replace("live", "api");
    let (_origin, lb) = edge(&[pki.pair("live")]).await;
    let (pem, key) = (pki.path("live.pem"), pki.path("live.key"));
    let half = fs::read(pki.path("next.pem")).unwrap();
    let half = half[..half.len() / 2].to_vec();
    type Break<'a> = Box<dyn Fn() + Send + Sync + 'a>;
    let breaks: Vec<(&str, Break<'_>)> = vec![
        ("holds no certificate in PEM form", Box::new(|| fs::write(&pem, "garbage").unwrap())),
        (
            "does not belong to the certificate",
            Box::new(|| assert!(fs::copy(pki.path("other.key"), &key).unwrap() > 0)),
        ),
        ("is not valid PEM", Box::new(|| fs::write(&pem, &half).unwrap())),
        ("holds no private key", Box::new(|| fs::write(&key, "").unwrap())),
        ("cannot be read", Box::new(|| fs::remove_file(&pem).unwrap())),
    ];
    assert_eq!(lb.metric(FAILED, LISTENER).await, 0.0);
    for (what, break_it) in breaks {
        break_it();
        lb.metric_becomes(FAILED, LISTENER, 1.0).await;
        let line = lb.logged(what).await;
        assert!(line.contains("certificate_reload_failed"), "{line}");
        assert!(line.contains("listener=https") && line.contains("live.pem"), "{line}");
        presents(&pki, &lb, "api").await;
        pki.replace("live", "api");
        lb.metric_becomes(FAILED, LISTENER, 0.0).await;
        presents(&pki, &lb, "api").await;
    }
    pki.replace("live", "next");
    lb.metric_becomes("lb_certificate_reloads_total", LISTENER, 6.0).await;
    presents(&pki, &lb, "next").await;
}

/// A renewed key may have another password.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_read_again_with_its_key() {
    let pki = Pki::new();
    pki.issue("ca", "live", "/CN=api", &["api.test"]);
    let encrypt = |name: &str, password: &str| {
        let word = format!("pass:{password}");
        openssl(
            Command::new("openssl")
                .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", &word, "-in"])
                .args([&pki.file(&format!("{name}.key")), "-out", &pki.file("staged.key")]),
        );
        fs::write(pki.path("staged.password"), password).unwrap();
        for kind in ["key", "password"] {
            let live = pki.path(&format!("encrypted.{kind}"));
            fs::rename(pki.path(&format!("staged.{kind}")), live).unwrap();
        }
    };
    encrypt("live", "one");
    let (_origin, lb) = edge(&[format!(
        "{{ cert: {}, key: {}, key_password_file: {} }}",
        pki.file("live.pem"),
        pki.file("encrypted.key"),
        pki.file("encrypted.password"),
    )])
    .await;
    presents(&pki, &lb, "live").await;
    fs::copy(pki.path("api.pem"), pki.path("live.pem")).unwrap();
    encrypt("api", "two");
    lb.metric_becomes("lb_certificate_reloads_total", LISTENER, 1.0).await;
    presents(&pki, &lb, "api").await;
    // Wrong first, and then right without a change of the key.
    fs::write(pki.path("encrypted.password"), "three").unwrap();
    lb.metric_becomes(FAILED, LISTENER, 1.0).await;
    fs::write(pki.path("encrypted.password"), "two").unwrap();
    lb.metric_becomes(FAILED, LISTENER, 0.0).await;
}

/// One good pair says nothing of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_has_failed_while_any_of_its_pairs_is_broken() {
    let pki = Pki::new();
    for (name, host) in [("www", "www.test"), ("next", "www.test")] {
        pki.issue("ca", name, "/CN=www", &[host]);
    }
    pki.issue("ca", "kept", "/CN=api", &["api.test"]);
    pki.replace("kept", "api");
    let (_origin, lb) = edge(&[pki.pair("api"), pki.pair("www")]).await;
    fs::write(pki.path("api.pem"), "garbage").unwrap();
    lb.metric_becomes(FAILED, LISTENER, 1.0).await;
    pki.replace("www", "next");
    lb.metric_becomes("lb_certificate_reloads_total", LISTENER, 1.0).await;
    assert_eq!(lb.metric(FAILED, LISTENER).await, 1.0, "api.pem is still broken");
    pki.replace("api", "kept");
    lb.metric_becomes(FAILED, LISTENER, 0.0).await;
    presents(&pki, &lb, "kept").await;
}
