//! TLS towards endpoints: whom we trust, for whom we ask, who we are.

use std::net::SocketAddr;

use crate::authority::Pki;
use crate::origin::{OpensslServer, TlsOrigin};
use crate::support::{Client, Lb};

/// One upstream by path: `/NAME` goes to the upstream NAME.
pub(crate) async fn edge(upstreams: &[(&str, SocketAddr, String)]) -> Lb {
    Lb::start(&routed(upstreams)).await
}

fn routed(upstreams: &[(&str, SocketAddr, String)]) -> String {
    let mut yaml =
        "listeners: { http: { bind: [\"127.0.0.1:0\"] } }\nworkers: 1\nupstreams:\n".to_owned();
    for (name, address, settings) in upstreams {
        yaml += &format!("  {name}: {{ endpoints: [{{ address: \"{address}\" }}], {settings} }}\n");
    }
    yaml += "virtual_hosts:\n  - hosts: [\"*\"]\n    routes:\n";
    for (name, ..) in upstreams {
        yaml += &format!("      - {{ match: {{ path_prefix: /{name} }}, upstream: {name} }}\n");
    }
    yaml
}

/// The status and the body of `/NAME`.
pub(crate) async fn get(lb: &Lb, name: &str) -> (u16, String) {
    let response = Client::plain().get(&lb.url(&format!("/{name}"))).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn is_refused(lb: &Lb, name: &str, why: &str) {
    let (status, body) = get(lb, name).await;
    assert_eq!(status, 502, "{name}: {body}");
    let target = format!("/{name}");
    let line = lb.access_line(|line| line.to_string().contains(&format!("\"{target}\""))).await;
    let line = line.to_string();
    assert!(line.contains("upstream_tls_failed"), "{name}: {line}");
    assert!(line.contains(why), "{name}: {why}: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_verified_by_authority_and_name() {
    let pki = Pki::new();
    pki.authority("stranger");
    let ca = pki.file("ca.pem");
    let stranger = pki.file("stranger.pem");
    for (protocol, http2) in [("https", false), ("h2", true)] {
        let origin = TlsOrigin::start(&pki, "api", None, http2).await;
        let with = |tls: &str| format!("protocol: {protocol}, tls: {{ {tls} }}");
        let lb = edge(&[
            ("right", origin.address, with(&format!("ca: {ca}, server_name: api.test"))),
            ("name", origin.address, with(&format!("ca: {ca}, server_name: other.test"))),
            ("own-name", origin.address, with(&format!("ca: {ca}"))),
            ("stranger", origin.address, with(&format!("ca: {stranger}, server_name: api.test"))),
            ("system", origin.address, with("server_name: api.test")),
        ])
        .await;
        assert_eq!(get(&lb, "right").await, (200, "secured".to_owned()));
        is_refused(&lb, "name", "not valid for name").await;
        is_refused(&lb, "own-name", "not valid for name").await;
        is_refused(&lb, "stranger", "UnknownIssuer").await;
        is_refused(&lb, "system", "UnknownIssuer").await;
        // Those that are refused do not spoil the one that is not.
        assert_eq!(get(&lb, "right").await, (200, "secured".to_owned()));
        let seen = origin.requested();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen.iter().all(|seen| seen.name.as_deref() == Some("api.test")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_by_name_is_asked_for_by_its_name() {
    let pki = Pki::new();
    pki.issue("ca", "local", "/CN=local", &["localhost"]);
    let origin = TlsOrigin::start(&pki, "local", None, false).await;
    let yaml = routed(&[(
        "api",
        origin.address,
        format!("protocol: https, tls: {{ ca: {} }}", pki.file("ca.pem")),
    )])
    .replace("127.0.0.1:", "localhost:")
    .replacen("localhost:0", "127.0.0.1:0", 1);
    let lb = Lb::start(&yaml).await;
    assert_eq!(get(&lb, "api").await, (200, "secured".to_owned()));
    assert_eq!(origin.requested()[0].name.as_deref(), Some("localhost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_upstream_presents_its_own_certificate_or_none() {
    let pki = Pki::new();
    for name in ["one", "two"] {
        pki.issue("ca", name, &format!("/CN={name}"), &[]);
    }
    pki.authority("stranger");
    pki.issue("stranger", "mallory", "/CN=mallory", &[]);
    let ca = pki.file("ca.pem");
    for (protocol, http2) in [("https", false), ("h2", true)] {
        let origin = TlsOrigin::start(&pki, "api", Some("ca"), http2).await;
        let with = |name: &str| {
            let pair = pki.pair(name);
            let tls = format!("ca: {ca}, server_name: api.test, client_certificate: {pair}");
            format!("protocol: {protocol}, tls: {{ {tls} }}")
        };
        let none = format!("protocol: {protocol}, tls: {{ ca: {ca}, server_name: api.test }}");
        let lb = edge(&[
            ("one", origin.address, with("one")),
            ("two", origin.address, with("two")),
            ("none", origin.address, none),
            ("mallory", origin.address, with("mallory")),
        ])
        .await;
        for _ in 0..2 {
            for name in ["one", "two"] {
                assert_eq!(get(&lb, name).await, (200, "secured".to_owned()));
                let seen = origin.requested().pop().unwrap();
                assert_eq!(seen.client, Some(pki.leaf(name).to_vec()), "{protocol}, {name}");
            }
            for name in ["none", "mallory"] {
                let (status, _) = get(&lb, name).await;
                assert_eq!(status, 502, "{protocol}, {name}");
            }
        }
        assert_eq!(origin.requested().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_certificate_is_a_failure_of_tls() {
    let pki = Pki::new();
    let ca = pki.file("ca.pem");
    for (protocol, http2) in [("https", false), ("h2", true)] {
        let origin = TlsOrigin::start(&pki, "api", Some("ca"), http2).await;
        let none = format!("protocol: {protocol}, tls: {{ ca: {ca}, server_name: api.test }}");
        let lb = edge(&[("none", origin.address, none)]).await;
        is_refused(&lb, "none", "CertificateRequired").await;
        assert_eq!(origin.requested().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_key_is_presented_too() {
    let pki = Pki::new();
    std::fs::write(pki.path("password"), "correct horse\n").unwrap();
    crate::authority::openssl(
        std::process::Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:correct horse", "-in"])
            .arg(pki.path("api.key"))
            .arg("-out")
            .arg(pki.path("encrypted.key")),
    );
    let server = OpensslServer::start(
        &pki,
        "api",
        &["-Verify", "1", "-CAfile", &pki.file("ca.pem"), "-verify_return_error"],
    )
    .await;
    let tls = format!(
        "ca: {}, server_name: api.test, \
         client_certificate: {{ cert: {}, key: {}, key_password_file: {} }}",
        pki.file("ca.pem"),
        pki.file("api.pem"),
        pki.file("encrypted.key"),
        pki.file("password"),
    );
    let lb = edge(&[("api", server.address, format!("protocol: https, tls: {{ {tls} }}"))]).await;
    let (status, page) = get(&lb, "api").await;
    assert_eq!(status, 200);
    assert!(page.contains("Client certificate") && page.contains("CN=api"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_use_the_same_identity() {
    let pki = Pki::new();
    pki.issue("ca", "node", "/CN=node", &[]);
    let ca = pki.file("ca.pem");
    for (protocol, http2) in [("https", false), ("h2", true)] {
        let origin = TlsOrigin::start(&pki, "api", Some("ca"), http2).await;
        let check = "health_check: { path: /check, interval: 50ms, unhealthy_after: 1 }";
        let pair = pki.pair("node");
        let tls = format!("ca: {ca}, server_name: api.test");
        let known =
            format!("protocol: {protocol}, tls: {{ {tls}, client_certificate: {pair} }}, {check}");
        let unknown = format!("protocol: {protocol}, tls: {{ {tls} }}, {check}");
        let lb =
            edge(&[("known", origin.address, known), ("unknown", origin.address, unknown)]).await;
        let healthy = "lb_endpoint_healthy";
        lb.metric_becomes(healthy, &["upstream=\"known\""], 1.0).await;
        lb.metric_becomes(healthy, &["upstream=\"unknown\""], 0.0).await;
        assert_eq!(get(&lb, "known").await, (200, "secured".to_owned()));
        assert_eq!(get(&lb, "unknown").await.0, 503);
        let checks = crate::support::eventually("checks", || {
            let all = origin.all();
            (all.len() > 5).then_some(all)
        })
        .await;
        let node = Some(pki.leaf("node").to_vec());
        assert!(checks.iter().all(|seen| seen.client == node), "{protocol}");
        assert!(checks.iter().skip(1).any(|seen| seen.resumed), "{protocol}: {checks:?}");
    }
}
