//! Listeners that ask clients for a certificate.

use crate::authority::Pki;
use crate::negotiation::edge;
use crate::openssl;
use crate::support::Lb;

/// An authority that is not trusted, and a certificate of each.
fn clients(pki: &Pki) {
    pki.authority("stranger");
    pki.issue("ca", "alice", "/CN=alice", &[]);
    pki.issue("stranger", "mallory", "/CN=alice", &[]);
}

/// What comes of a request as `who`.
async fn request(pki: &Pki, lb: &Lb, version: &str, who: Option<&str>) -> String {
    let (cert, key);
    let mut arguments = vec![version, "-servername", "api.test"];
    if let Some(who) = who {
        (cert, key) = (pki.file(&format!("{who}.pem")), pki.file(&format!("{who}.key")));
        arguments.extend(["-cert", &cert, "-key", &key]);
    }
    openssl::request(lb.address("https"), &arguments).await
}

fn served(said: &str) -> bool {
    said.contains("HTTP/1.1 200 ") && said.contains("secured")
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[tokio::test(flavor = "multi_thread")]
async fn a_required_certificate_has_to_be_of_the_authority() {
    let pki = Pki::new();
    clients(&pki);
    let ca = pki.file("ca.pem");
    let (origin, lb) =
        edge(&[pki.pair("api")], &format!("client_auth: {{ ca: {ca}, mode: require }}")).await;
    for version in VERSIONS {
        let known = request(&pki, &lb, version, Some("alice")).await;
        assert!(served(&known), "{version}: {known}");
        assert!(known.contains("CN = ca of the tests"), "whom we trust is said: {known}");
        let none = request(&pki, &lb, version, None).await;
        // certificate_required, in both versions.
        assert!(none.contains("SSL alert number 116") && !served(&none), "{version}: {none}");
        let wrong = request(&pki, &lb, version, Some("mallory")).await;
        assert!(wrong.contains("SSL alert number 48") && !served(&wrong), "{version}: {wrong}");
    }
    assert_eq!(origin.count(), 2);
    lb.metric_becomes("lb_tls_handshakes_total", &["result=\"failed\""], 4.0).await;
    // Nobody asked for them to be told.
    assert_eq!(origin.requests()[0].header("x-client-cert-subject"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_certificate_may_be_missing_but_not_wrong() {
    let pki = Pki::new();
    clients(&pki);
    let ca = pki.file("ca.pem");
    let auth = format!("client_auth: {{ ca: {ca}, mode: request, forward: true }}");
    let (origin, lb) = edge(&[pki.pair("api")], &auth).await;
    for version in VERSIONS {
        for who in [None, Some("alice")] {
            let said = request(&pki, &lb, version, who).await;
            assert!(served(&said), "{version}: {said}");
        }
        let wrong = request(&pki, &lb, version, Some("mallory")).await;
        assert!(wrong.contains("SSL alert number 48") && !served(&wrong), "{version}: {wrong}");
    }
    let subjects: Vec<_> =
        origin.requests().iter().map(|seen| seen.header("x-client-cert-subject")).collect();
    let alice = Some("CN=alice".to_owned());
    assert_eq!(subjects, [None, alice.clone(), None, alice]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let pki = Pki::new();
    pki.issue("ca", "late", "/CN=late", &["late.test"]);
    pki.expire("ca", "late");
    let ca = pki.file("ca.pem");
    let (_origin, lb) =
        edge(&[pki.pair("api")], &format!("client_auth: {{ ca: {ca}, mode: require }}")).await;
    for version in VERSIONS {
        let said = request(&pki, &lb, version, Some("late")).await;
        assert!(said.contains("alert certificate expired"), "{version}: {said}");
    }
}
