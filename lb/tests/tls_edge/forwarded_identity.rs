//! What endpoints are told of a client's certificate, and by whom.

use std::net::SocketAddr;

use crate::authority::Pki;
use crate::client::{self, exchange};
use crate::support::{Client, Lb, Origin, RawConnection, RawOrigin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Listeners: `https` forwards, `quiet` asks and does not tell, `open` does not
/// ask, `http` is in clear.
async fn edge(pki: &Pki, address: SocketAddr, more: &str) -> Lb {
    let (pair, ca) = (pki.pair("api"), pki.file("ca.pem"));
    Lb::start(&format!(
        r#"
{more}
listeners:
  https:
    bind: ["127.0.0.1:0"]
    tls:
      certificates: [{pair}]
      client_auth: {{ ca: {ca}, mode: request, forward: true }}
  quiet:
    bind: ["127.0.0.1:0"]
    tls: {{ certificates: [{pair}], client_auth: {{ ca: {ca}, mode: request }} }}
  open: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{pair}] }} }}
  http: {{ bind: ["127.0.0.1:0"] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{address}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: /ws }}, upstream: api, websocket: true }}
      - {{ match: {{ path_prefix: / }}, upstream: api }}
"#
    ))
    .await
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.issue("ca", "alice", "/C=DE/O=Example, Inc./OU=a\\+b/CN=alice \u{eb}", &[]);
    pki
}

const SUBJECT: &str = "CN=alice \\C3\\AB,OU=a\\+b,O=Example\\, Inc.,C=DE";

/// Every spelling that some endpoint would take for ours.
const FORGED: &str = "\
X-Client-Cert-Subject: CN=root\r\n\
x-client-cert-subject: CN=root\r\n\
X-CLIENT-CERT-FINGERPRINT: 00\r\n\
X-Client-Cert-Fingerprint: 00\r\n\
X_Client_Cert_Subject: CN=root\r\n\
x-client_cert-subject: CN=root\r\n\
X_CLIENT-CERT_FINGERPRINT: 00\r\n";

/// Names and values of all fields that a lax endpoint could take for ours.
fn identity_of(origin: &Origin) -> Vec<(String, String)> {
    let requests = origin.requests();
    let seen = requests.last().unwrap();
    let mut fields: Vec<_> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name.replace('_', "-").starts_with("x-client-cert"))
        .collect();
    fields.sort();
    fields
}

fn alice(pki: &Pki) -> Vec<(String, String)> {
    vec![
        ("x-client-cert-fingerprint".to_owned(), pki.fingerprint("alice")),
        ("x-client-cert-subject".to_owned(), SUBJECT.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_learn_the_subject_and_the_fingerprint_and_nobody_forges_them() {
    let pki = pki();
    let origin = Origin::named("secured").await;
    let lb = edge(&pki, origin.address, "").await;
    for (listener, who, expected) in [
        ("https", Some("alice"), alice(&pki)),
        ("https", None, Vec::new()),
        ("quiet", Some("alice"), Vec::new()),
        ("quiet", None, Vec::new()),
        ("open", None, Vec::new()),
    ] {
        let config = client::config(&pki, who);
        for (forged, connection) in [
            ("", ""),
            (FORGED, ""),
            ("", "Connection: X-Client-Cert-Subject, x-client-cert-fingerprint\r\n"),
            (FORGED, "Connection: X-Client-Cert-Subject, x-client-cert-fingerprint\r\n"),
            (FORGED, "Connection: keep-alive\r\nConnection: x_client_cert_subject\r\n"),
        ] {
            let mut stream = client::connect(&config, lb.address(listener)).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nHost: api.test\r\n{forged}{connection}\r\n");
            // Twice on one connection: it is the connection's.
            for _ in 0..2 {
                let answer = exchange(&mut stream, &request, "secured").await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                assert_eq!(identity_of(&origin), expected, "{listener}, {who:?}: {request}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_same_over_http2_and_in_clear() {
    let pki = pki();
    let origin = Origin::named("secured").await;
    let lb = edge(&pki, origin.address, "").await;
    let mut identity = std::fs::read(pki.path("alice.pem")).unwrap();
    identity.extend(std::fs::read(pki.path("alice.key")).unwrap());
    let identity = reqwest::Identity::from_pem(&identity).unwrap();
    let ca = reqwest::Certificate::from_pem(&std::fs::read(pki.path("ca.pem")).unwrap()).unwrap();
    for (listener, expected) in [("https", alice(&pki)), ("quiet", vec![]), ("open", vec![])] {
        let address = lb.address(listener);
        let client = reqwest::Client::builder()
            .tls_certs_only([ca.clone()])
            .identity(identity.clone())
            .resolve("api.test", address)
            .build()
            .unwrap();
        for forge in [false, true] {
            let mut request = client.get(format!("https://api.test:{}/", address.port()));
            if forge {
                for name in [
                    "x-client-cert-subject",
                    "x-client-cert-fingerprint",
                    "x_client_cert_subject",
                    "x-client_cert-fingerprint",
                ] {
                    request = request.header(name, "root").header(name, "admin");
                }
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
            assert_eq!(identity_of(&origin), expected, "{listener}, {forge}");
        }
    }
    let request = format!("GET / HTTP/1.1\r\nHost: api.test\r\n{FORGED}Connection: close\r\n\r\n");
    let answer = RawConnection::exchange(lb.address("http"), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(identity_of(&origin), []);
    assert_eq!(Client::plain().text(&lb.url("/")).await, "secured");
}

/// What the endpoint of an upgrade gets, as bytes: it may be a proxy, which would
/// drop what Connection names.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_request_cannot_have_them_dropped_on_the_way() {
    let pki = pki();
    let (sender, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let origin = RawOrigin::start(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let _ = sender.send(String::from_utf8(head).unwrap());
            let _ = stream
                .write_all(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .await;
        }
    })
    .await;
    let lb = edge(&pki, origin.address, "").await;
    let config = client::config(&pki, Some("alice"));
    let mut stream = client::connect(&config, lb.address("https")).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: api.test\r\n{FORGED}\
         Connection: Upgrade, X-Client-Cert-Subject, x-client-cert-fingerprint\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    exchange(&mut stream, request, "403").await;
    let head = heads.recv().await.unwrap().to_lowercase();
    let lines: Vec<&str> =
        head.lines().filter(|line| line.replace('_', "-").contains("-cert-")).collect();
    assert_eq!(lines.len(), 2, "{head}");
    assert!(head.contains(&format!("x-client-cert-fingerprint: {}", pki.fingerprint("alice"))));
    assert!(head.contains(&SUBJECT.to_lowercase()), "{head}");
}

/// A trusted proxy has verified the client where we do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peer_tells_only_where_we_do_not_tell_ourselves() {
    let pki = pki();
    let origin = Origin::named("secured").await;
    let lb = edge(&pki, origin.address, "client_ip: { trusted_proxies: [127.0.0.0/8] }").await;
    let told = "X-Client-Cert-Subject: CN=bob\r\nX_Client_Cert_Subject: CN=root\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: api.test\r\n{told}\r\n");
    let bob = vec![("x-client-cert-subject".to_owned(), "CN=bob".to_owned())];
    for (listener, who, expected) in [
        ("open", None, bob.clone()),
        ("https", None, Vec::new()),
        ("https", Some("alice"), alice(&pki)),
    ] {
        let config = client::config(&pki, who);
        let mut stream = client::connect(&config, lb.address(listener)).await.unwrap();
        exchange(&mut stream, &request, "secured").await;
        assert_eq!(identity_of(&origin), expected, "{listener}");
    }
}
