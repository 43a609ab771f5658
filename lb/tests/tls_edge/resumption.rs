//! Sessions that openssl's client resumes.

use crate::authority::Pki;
use crate::openssl;
use crate::support::{Lb, Origin};

/// Listeners that trust different clients, all on one process's ticket secret.
async fn edge(pki: &Pki) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let (pair, ca) = (pki.pair("api"), pki.file("ca.pem"));
    let lb = Lb::start(&format!(
        r#"
listeners:
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{pair}] }} }}
  twin: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{pair}] }} }}
  asking:
    bind: ["127.0.0.1:0"]
    tls: {{ certificates: [{pair}], client_auth: {{ ca: {ca}, mode: request }} }}
  strict:
    bind: ["127.0.0.1:0"]
    tls: {{ certificates: [{pair}], client_auth: {{ ca: {ca}, mode: require }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        origin.address
    ))
    .await;
    (origin, lb)
}

/// What kinds of resumption there are.
const KINDS: &[&[&str]] = &[&["-tls1_3"], &["-tls1_2"], &["-tls1_2", "-no_ticket"]];

async fn request(lb: &Lb, listener: &str, parts: &[&[&str]]) -> String {
    let arguments = [&["-servername", "api.test"], &parts.concat()[..]].concat();
    openssl::request(lb.address(listener), &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_session_is_resumed_and_counted() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&pki).await;
    let session = pki.file("session");
    for (index, kind) in KINDS.iter().enumerate() {
        let first = request(&lb, "https", &[kind, &["-sess_out", &session]]).await;
        assert!(first.contains("New, TLSv1.") && first.contains("secured"), "{kind:?}: {first}");
        let again = request(&lb, "https", &[kind, &["-sess_in", &session]]).await;
        assert!(again.contains("Reused, TLSv1.") && again.contains("secured"), "{kind:?}: {again}");
        let done = (index + 1) as f64;
        for result in ["full", "resumed"] {
            let labels = ["listener=\"https\"", &format!("result=\"{result}\"")];
            assert_eq!(lb.metric("lb_tls_handshakes_total", &labels).await, done, "{result}");
        }
    }
    assert_eq!(lb.metric("lb_tls_handshakes_total", &["result=\"failed\""]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tickets_name_has_to_be_asked_for_again() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&pki).await;
    let session = pki.file("session");
    for kind in KINDS {
        request(&lb, "https", &[kind, &["-sess_out", &session]]).await;
        let arguments = [kind, &["-servername", "other.test", "-sess_in", &session][..]].concat();
        let other = openssl::request(lb.address("https"), &arguments).await;
        assert!(!other.contains("Reused, "), "{kind:?}: {other}");
    }
}

/// CVE-2025-23419.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_certificate_does_not_pass_where_one_is_required() {
    let pki = Pki::new();
    let (origin, lb) = edge(&pki).await;
    let session = pki.file("session");
    for kind in KINDS {
        for from in ["https", "asking"] {
            request(&lb, from, &[kind, &["-sess_out", &session]]).await;
            let before = origin.count();
            let refused = request(&lb, "strict", &[kind, &["-sess_in", &session]]).await;
            assert!(!refused.contains("Reused, "), "{kind:?}, {from}: {refused}");
            assert!(refused.contains("SSL alert number"), "{kind:?}, {from}: {refused}");
            assert_eq!(origin.count(), before);
        }
        request(&lb, "https", &[kind, &["-sess_out", &session]]).await;
        let asked = request(&lb, "asking", &[kind, &["-sess_in", &session]]).await;
        assert!(asked.contains("New, TLSv1.") && asked.contains("secured"), "{kind:?}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_known_client_is_resumed_where_it_began() {
    let pki = Pki::new();
    pki.issue("ca", "alice", "/CN=alice", &[]);
    let (_origin, lb) = edge(&pki).await;
    let (session, cert, key) = (pki.file("session"), pki.file("alice.pem"), pki.file("alice.key"));
    let alice: &[&str] = &["-cert", &cert, "-key", &key];
    for kind in KINDS {
        let first = request(&lb, "strict", &[kind, alice, &["-sess_out", &session]]).await;
        assert!(first.contains("secured"), "{first}");
        let again = request(&lb, "strict", &[kind, alice, &["-sess_in", &session]]).await;
        assert!(again.contains("Reused, ") && again.contains("secured"), "{kind:?}: {again}");
    }
}

/// Equal listeners may share tickets; session ids are a listener's own.
#[tokio::test(flavor = "multi_thread")]
async fn equal_listeners_share_tickets() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&pki).await;
    let session = pki.file("session");
    for (kind, expected) in KINDS.iter().zip(["Reused, ", "Reused, ", "New, "]) {
        request(&lb, "https", &[kind, &["-sess_out", &session]]).await;
        let twin = request(&lb, "twin", &[kind, &["-sess_in", &session]]).await;
        assert!(twin.contains(expected) && twin.contains("secured"), "{kind:?}: {twin}");
    }
}
