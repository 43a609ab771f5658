//! What is on the wire before and after HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::authority::Pki;
use crate::negotiation::edge;
use crate::openssl;
use crate::support::{Lb, Origin, RawConnection};

/// openssl complains of an end that was not announced, for it may be an
/// attacker's (RFC 8446 §6.1).
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_connection_is_announced() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    for version in ["-tls1_2", "-tls1_3"] {
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "200"),
            ("GET / HTTP/1.0\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET /\u{7f} HTTP/1.1\r\nHost: api.test\r\n\r\n", "400"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let arguments = [version, "-ign_eof", "-servername", "api.test"];
            let said = openssl::run(lb.address("https"), &arguments, request.as_bytes()).await;
            assert!(said.contains(&format!("HTTP/1.1 {status} ")), "{request}: {said}");
            assert!(!said.contains("unexpected eof"), "{request}: {said}");
        }
    }
}

async fn impatient(pki: &Pki) -> (Origin, Lb) {
    let origin = Origin::named("secured").await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  https:
    bind: ["127.0.0.1:0"]
    deadlines: {{ tls_handshake: 300ms, idle: 400ms }}
    tls: {{ certificates: [{}] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api }}]
"#,
        pki.pair("api"),
        origin.address
    ))
    .await;
    (origin, lb)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let pki = Pki::new();
    let (_origin, lb) = impatient(&pki).await;
    // Nothing, and the beginning of a ClientHello.
    for (count, beginning) in
        [&b""[..], &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..]].into_iter().enumerate()
    {
        let mut stream = TcpStream::connect(lb.address("https")).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
        closed.expect("it is closed").unwrap();
        let labels = ["cause=\"tls_handshake_timeout\""];
        lb.metric_becomes("lb_connections_closed_total", &labels, (count + 1) as f64).await;
    }
    lb.metric_becomes("lb_tls_handshakes_total", &["result=\"failed\""], 2.0).await;
    // One that is idle after its handshake is told of the end, too.
    let arguments = ["-ign_eof", "-servername", "api.test"];
    let said = openssl::run(lb.address("https"), &arguments, b"").await;
    assert!(said.contains("New, TLSv1.3") && !said.contains("unexpected eof"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_comes_in_pieces_is_read() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    let address = lb.address("https");
    // A relay that passes on what the client sends byte by byte.
    let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = relay.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = relay.accept().await.unwrap();
        let server = TcpStream::connect(address).await.unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        });
        while let Ok(byte) = from_client.read_u8().await {
            if to_server.write_u8(byte).await.is_err() {
                return;
            }
        }
    });
    let said = openssl::request(through, &["-servername", "api.test"]).await;
    assert!(said.contains("secured"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_ended_and_counted() {
    let pki = Pki::new();
    let (_origin, lb) = edge(&[pki.pair("api")], "").await;
    for garbage in [&[0_u8; 64][..], b"\x80\x2e\x01\x03\x01\x00\x15", b"\x16\x03\x01\xff\xff\x01"] {
        let mut connection = RawConnection::open(lb.address("https")).await;
        connection.send(garbage).await;
        let answer = connection.read_to_end().await;
        assert!(!answer.contains("HTTP"), "{answer}");
    }
    let labels = ["cause=\"tls_handshake_failed\""];
    lb.metric_becomes("lb_connections_closed_total", &labels, 3.0).await;
}
