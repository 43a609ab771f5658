//! TLS termination.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Client, Lb, Origin};

async fn edge(tls: &str) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  http: {{ bind: ["127.0.0.1:0", "[::1]:0"] }}
  https:
    bind: ["127.0.0.1:0"]
    response_headers: {{ set: {{ Strict-Transport-Security: max-age=31536000 }} }}
    tls:
      {tls}
      certificates:
        - {{ cert: api.pem, key: api.key }}
        - {{ cert: www.pem, key: www.key }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    listeners: [http]
    routes: [{{ match: {{ path_prefix: / }}, redirect: {{ scheme: https, status: 301 }} }}]
  - hosts: [api.test, www.test, "*.wild.test"]
    listeners: [https]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        origin.address
    ))
    .await;
    (origin, lb)
}

/// What openssl's client says of a handshake.
async fn openssl(lb: &Lb, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &lb.address("https").to_string(), "-CAfile"])
        .arg(lb.path("ca.pem"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected_with_path_and_query() {
    let (_origin, lb) = edge("").await;
    let client = Client::plain();
    let port = lb.address("http").port();
    let response = client.get(&format!("http://api.test:{port}/a%20b/c?d=e&f=%2F")).await.unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], "https://api.test/a%20b/c?d=e&f=%2F");
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("redirect"));
    assert!(!response.headers().contains_key("strict-transport-security"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_below_the_minimum_are_refused() {
    let (_origin, lb) = edge("").await;
    let old =
        openssl(&lb, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-servername", "api.test"])
            .await;
    // The alert is the server's: the client was willing.
    assert!(
        old.contains("SSL alert number") && old.contains("no peer certificate available"),
        "{old}"
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let new = openssl(&lb, &[version, "-servername", "api.test"]).await;
        assert!(new.contains("Verify return code: 0 (ok)"), "{new}");
    }
    lb.metric_becomes("lb_tls_handshakes_total", &["result=\"failed\""], 1.0).await;
    let (_origin, strict) = edge("min_version: \"1.3\"").await;
    assert!(openssl(&strict, &["-tls1_2"]).await.contains("alert protocol version"));
    assert!(openssl(&strict, &["-tls1_3"]).await.contains("Verify return code: 0 (ok)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_choose_certificates() {
    let (_origin, lb) = edge("").await;
    for (name, expected) in [
        ("api.test", "DNS:api.test"),
        ("www.test", "DNS:www.test"),
        ("a.wild.test", "DNS:www.test"),
        ("unknown.test", "DNS:api.test"),
    ] {
        let text = openssl(&lb, &["-servername", name]).await;
        let pem = &text[text.find("-----BEGIN").unwrap()..text.find("-----END").unwrap() + 25];
        std::fs::write(lb.path("seen.pem"), pem).unwrap();
        let names = Command::new("openssl")
            .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
            .arg(lb.path("seen.pem"))
            .output()
            .await
            .unwrap();
        let names = String::from_utf8_lossy(&names.stdout).into_owned();
        assert!(names.contains(expected), "{name}: {names}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_negotiated_and_both_versions_serve() {
    let (origin, lb) = edge("").await;
    let response = lb.client().get(&lb.secure_url("api.test", "/")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000");
    assert_eq!(response.text().await.unwrap(), "secured");
    assert_eq!(origin.requests()[0].header("x-forwarded-proto").as_deref(), Some("https"));
    assert!(openssl(&lb, &["-alpn", "http/1.1"]).await.contains("ALPN protocol: http/1.1"));

    let (_origin, only_h1) = edge("alpn: [http/1.1]").await;
    let response = only_h1.client().get(&only_h1.secure_url("www.test", "/")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_served_is_421_on_tls_and_carries_the_headers() {
    let (_origin, lb) = edge("").await;
    let response = lb.client().get(&lb.secure_url("localhost", "/")).await.unwrap();
    assert_eq!(response.status(), 421);
    assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000");
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("misdirected_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed() {
    let (_origin, lb) = edge("").await;
    let session = lb.path("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        // A request first: TLS 1.3 tickets come with the first bytes.
        let connect = lb.address("https").to_string();
        let first = std::process::Command::new("sh")
            .args(["-c", &format!(
                "printf 'GET / HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -connect {connect} {version} -servername api.test -ign_eof -sess_out {session}"
            )])
            .output()
            .unwrap();
        assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
        let second =
            openssl(&lb, &[version, "-servername", "api.test", "-sess_in", &session]).await;
        assert!(second.contains("Reused, "), "{version}: {second}");
    }
    assert!(lb.metric("lb_tls_handshakes_total", &["result=\"resumed\""]).await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_is_served() {
    let origin = Origin::named("six").await;
    let yaml = crate::routing::simple(&origin).replace("127.0.0.1:0", "[::1]:0");
    let lb = Lb::start(&yaml).await;
    assert!(lb.address("http").is_ipv6());
    assert_eq!(Client::plain().text(&lb.url("/")).await, "six");
    assert_eq!(origin.requests()[0].header("x-real-ip").as_deref(), Some("::1"));
}
