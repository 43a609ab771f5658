//! Sessions with endpoints are resumed.

use crate::authority::Pki;
use crate::origin::{OpensslServer, TlsOrigin};
use crate::upstreams::{edge, get};

const REQUESTS: usize = 8;

/// One worker, and an endpoint that closes after each answer: every request
/// shakes hands. The first in full, the others not.
async fn resumes(protocol: &str, client: Option<&str>) {
    let pki = Pki::new();
    pki.issue("ca", "node", "/CN=node", &[]);
    let authority = client.map(|_| "ca");
    let origin = TlsOrigin::start(&pki, "api", authority, protocol == "h2").await;
    let mut tls = format!("ca: {}, server_name: api.test", pki.file("ca.pem"));
    if let Some(client) = client {
        tls += &format!(", client_certificate: {}", pki.pair(client));
    }
    let lb = edge(&[
        ("api", origin.address, format!("protocol: {protocol}, tls: {{ {tls} }}")),
        // The same in TLS: it may resume what the other has begun.
        ("twin", origin.address, format!("protocol: {protocol}, tls: {{ {tls} }}")),
    ])
    .await;
    for _ in 0..REQUESTS {
        assert_eq!(get(&lb, "api").await, (200, "secured".to_owned()));
    }
    assert_eq!(get(&lb, "twin").await, (200, "secured".to_owned()));
    let seen = origin.requested();
    assert_eq!(seen.len(), REQUESTS + 1, "{seen:?}");
    let expected = client.map(|client| pki.leaf(client).to_vec());
    assert!(seen.iter().all(|seen| seen.client == expected), "resumed sessions know it, too");
    let resumed: Vec<bool> = seen.iter().map(|seen| seen.resumed).collect();
    assert!(!resumed[0]);
    assert!(resumed[1..].iter().all(|resumed| *resumed), "{protocol}: {resumed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_of_ones_own_over_http1() {
    resumes("https", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_of_ones_own_over_http2() {
    resumes("h2", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_client_certificate_over_http1() {
    resumes("https", Some("node")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_client_certificate_over_http2() {
    resumes("h2", Some("node")).await;
}

/// openssl's server says so itself.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_agrees_in_both_versions() {
    let pki = Pki::new();
    let ca = pki.file("ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        for asks in [&[][..], &["-Verify", "1", "-CAfile", &ca, "-verify_return_error"]] {
            let server = OpensslServer::start(&pki, "api", &[&[version], asks].concat()).await;
            let tls =
                format!("ca: {ca}, server_name: api.test, client_certificate: {}", pki.pair("api"));
            let lb = edge(&[("api", server.address, format!("protocol: https, tls: {{ {tls} }}"))])
                .await;
            let (status, first) = get(&lb, "api").await;
            assert!(status == 200 && first.contains("New, TLSv1."), "{version}: {first}");
            let (status, again) = get(&lb, "api").await;
            assert!(status == 200 && again.contains("Reused, TLSv1."), "{version}: {again}");
        }
    }
}

/// What one upstream has established is not another's who would trust, or be,
/// somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_of_other_identities_share_no_sessions() {
    let pki = Pki::new();
    pki.authority("stranger");
    pki.issue("ca", "node", "/CN=node", &[]);
    let origin = TlsOrigin::start(&pki, "api", None, false).await;
    let with = |ca: &str, more: &str| {
        let ca = pki.file(ca);
        format!("protocol: https, tls: {{ ca: {ca}, server_name: api.test{more} }}")
    };
    let pair = format!(", client_certificate: {}", pki.pair("node"));
    let lb = edge(&[
        ("plain", origin.address, with("ca.pem", "")),
        ("known", origin.address, with("ca.pem", &pair)),
        ("stranger", origin.address, with("stranger.pem", "")),
    ])
    .await;
    assert_eq!(get(&lb, "plain").await.0, 200);
    assert_eq!(get(&lb, "plain").await.0, 200);
    assert_eq!(get(&lb, "known").await.0, 200);
    assert_eq!(get(&lb, "stranger").await.0, 502, "no session vouches for whom it does not trust");
    let resumed: Vec<bool> = origin.requested().iter().map(|seen| seen.resumed).collect();
    assert_eq!(resumed, [false, true, false]);
}
