//! Ticket keys from files: shared by nodes, rotated in use.

use std::fs;
use std::process::Command;

use crate::authority::{self, Pki};
use crate::openssl;
use crate::support::{Lb, Origin};

/// One node; the others are like it.
async fn node(pki: &Pki, origin: &Origin, key_files: &[&str]) -> Lb {
    let files: Vec<String> = key_files.iter().map(|name| pki.file(name)).collect();
    Lb::start(&format!(
        r#"
listeners:
  https:
    bind: ["127.0.0.1:0"]
    tls: {{ certificates: [{}], ticket_key_files: [{}] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        pki.pair("api"),
        files.join(", "),
        origin.address
    ))
    .await
}

fn make_key(pki: &Pki, name: &str) {
    let staged = pki.file("staged");
    authority::openssl(Command::new("openssl").args(["rand", "-out", &staged, "80"]));
    fs::rename(staged, pki.path(name)).unwrap();
}

async fn begin(lb: &Lb, version: &str, session: &str) {
    let arguments = [version, "-servername", "api.test", "-sess_out", session];
    let said = openssl::request(lb.address("https"), &arguments).await;
    assert!(said.contains("New, TLSv1.") && said.contains("secured"), "{version}: {said}");
}

async fn resumes(lb: &Lb, version: &str, session: &str) -> bool {
    let arguments = [version, "-servername", "api.test", "-sess_in", session];
    let said = openssl::request(lb.address("https"), &arguments).await;
    assert!(said.contains("secured"), "{version}: {said}");
    said.contains("Reused, TLSv1.")
}

const VERSIONS: [&str; 2] = ["-tls1_3", "-tls1_2"];

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_the_same_key_file_resume_each_others_sessions() {
    let pki = Pki::new();
    let origin = Origin::named("secured").await;
    make_key(&pki, "shared.key");
    make_key(&pki, "other.key");
    let one = node(&pki, &origin, &["shared.key"]).await;
    let two = node(&pki, &origin, &["other.key", "shared.key"]).await;
    let stranger = node(&pki, &origin, &["other.key"]).await;
    let alone = node(&pki, &origin, &[]).await;
    let session = pki.file("session");
    for version in VERSIONS {
        begin(&one, version, &session).await;
        assert!(resumes(&one, version, &session).await, "{version}");
        assert!(resumes(&two, version, &session).await, "{version}");
        assert!(!resumes(&stranger, version, &session).await, "{version}");
        assert!(!resumes(&alone, version, &session).await, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_ticket_is_accepted_while_its_key_is_second() {
    let pki = Pki::new();
    let origin = Origin::named("secured").await;
    make_key(&pki, "current.key");
    make_key(&pki, "previous.key");
    let lb = node(&pki, &origin, &["current.key", "previous.key"]).await;
    let (old, new) = (pki.file("old"), pki.file("new"));
    let reloads = "lb_certificate_reloads_total";
    let mut reloaded = 0.0;
    for version in VERSIONS {
        begin(&lb, version, &old).await;
        // Both in one go, as far as anybody who looks at the directory can tell.
        fs::rename(pki.path("current.key"), pki.path("previous.key")).unwrap();
        make_key(&pki, "current.key");
        reloaded += 1.0;
        lb.metric_becomes(reloads, &[], reloaded).await;
        assert!(resumes(&lb, version, &old).await, "{version}: by the second key");
        begin(&lb, version, &new).await;
        fs::rename(pki.path("current.key"), pki.path("previous.key")).unwrap();
        make_key(&pki, "current.key");
        reloaded += 1.0;
        lb.metric_becomes(reloads, &[], reloaded).await;
        assert!(!resumes(&lb, version, &old).await, "{version}: its key is gone");
        assert!(resumes(&lb, version, &new).await, "{version}: made by the first key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_key_file_leaves_the_old_keys() {
    let pki = Pki::new();
    let origin = Origin::named("secured").await;
    make_key(&pki, "current.key");
    let lb = node(&pki, &origin, &["current.key"]).await;
    let session = pki.file("session");
    begin(&lb, "-tls1_3", &session).await;
    fs::write(pki.path("current.key"), "short").unwrap();
    lb.metric_becomes("lb_certificate_reload_failed", &[], 1.0).await;
    let line = lb.logged("certificate_reload_failed").await;
    assert!(line.contains("has 5 bytes"), "{line}");
    assert!(resumes(&lb, "-tls1_3", &session).await);
    make_key(&pki, "current.key");
    lb.metric_becomes("lb_certificate_reload_failed", &[], 0.0).await;
    assert!(!resumes(&lb, "-tls1_3", &session).await);
}
