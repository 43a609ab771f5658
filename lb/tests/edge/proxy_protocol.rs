//! The PROXY protocol: whose address counts, and who may say so.

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::setup::{
    GET, LAST, closed, connect_from, edge, is_served, read_response, read_to_end, tls_over,
};
use crate::support::{Client, Lb, Origin};

const REQUIRED: &str = "proxy_protocol: { mode: required, trusted: [127.0.0.1] }";
const OPTIONAL: &str = "proxy_protocol: { mode: optional, trusted: [127.0.0.1] }";

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";
const V1_IPV6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
/// 203.0.113.8, version 2, with an extension of three bytes (NOOP).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\
    \xcb\0\x71\x08\xc0\0\x02\x01\x9c\x40\x01\xbb\x04\0\x03abc";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn connect(lb: &Lb, listener: &str) -> TcpStream {
    TcpStream::connect(lb.address(listener)).await.unwrap()
}

/// Who the client of the last request was, in the access log and for the origin.
async fn client_of(lb: &Lb, origin: &Origin, path: &str) -> [String; 3] {
    let line = lb.access_line(|line| line.to_string().contains(path)).await;
    let request = origin.requests().into_iter().rfind(|request| request.target == path).unwrap();
    [
        line["client"].as_str().unwrap_or_default().to_owned(),
        request.header("x-forwarded-for").unwrap_or_default(),
        request.header("x-real-ip").unwrap_or_default(),
    ]
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_whom_the_header_names() {
    let origin = Origin::named("behind").await;
    let lb = edge(REQUIRED, origin.address).await;
    for (number, (header, client)) in [
        (V1, "203.0.113.7"),
        (V1_IPV6, "2001:db8::7"),
        (V2, "203.0.113.8"),
        (UNKNOWN, "127.0.0.1"),
        (LOCAL, "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        // In one segment with the request.
        let path = format!("/one-{number}");
        let mut stream = connect(&lb, "http").await;
        stream.write_all(&[header, &request(&path)].concat()).await.unwrap();
        assert!(read_to_end(&mut stream).await.ends_with("behind"));
        assert_eq!(client_of(&lb, &origin, &path).await, [client; 3], "{path}");
        // In pieces, each on its way before the next.
        let path = format!("/pieces-{number}");
        let mut stream = connect(&lb, "http").await;
        stream.set_nodelay(true).unwrap();
        for byte in header {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(&request(&path)).await.unwrap();
        assert!(read_to_end(&mut stream).await.ends_with("behind"));
        assert_eq!(client_of(&lb, &origin, &path).await, [client; 3], "{path}");
        // Before TLS.
        let path = format!("/tls-{number}");
        let mut stream = connect(&lb, "https").await;
        stream.write_all(header).await.unwrap();
        let mut stream = tls_over(&lb, stream).await;
        stream.write_all(&request(&path)).await.unwrap();
        assert!(read_to_end(&mut stream).await.ends_with("behind"));
        assert_eq!(client_of(&lb, &origin, &path).await, [client; 3], "{path}");
    }
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_and_the_tls_hello_may_share_a_segment() {
    let origin = Origin::named("behind").await;
    let lb = edge(REQUIRED, origin.address).await;
    // A relay that puts the header before the client's first bytes.
    let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (to_relay, to_lb) = (relay.local_addr().unwrap(), lb.address("https"));
    let relaying = tokio::spawn(async move {
        let (mut client, _) = relay.accept().await.unwrap();
        let mut server = TcpStream::connect(to_lb).await.unwrap();
        let mut hello = vec![0; 16384];
        let length = client.read(&mut hello).await.unwrap();
        server.write_all(&[V2, &hello[..length]].concat()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let stream = TcpStream::connect(to_relay).await.unwrap();
    let mut stream = tls_over(&lb, stream).await;
    stream.write_all(&request("/shared")).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("behind"));
    assert_eq!(client_of(&lb, &origin, "/shared").await, ["203.0.113.8"; 3]);
    drop(stream);
    relaying.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_header_that_is_missing_or_malformed_closes_the_connection() {
    let origin = Origin::named("behind").await;
    let lb = edge(REQUIRED, origin.address).await;
    for (listener, sent, cause) in [
        ("http", GET.as_bytes(), "proxy_header_missing"),
        ("https", b"\x16\x03\x01\0\x05hello", "proxy_header_missing"),
        ("http", b"PROXY TCP4 nobody 192.0.2.1 1 2\r\n", "proxy_header_invalid"),
        ("http", b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n", "proxy_header_invalid"),
        ("http", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", "proxy_header_invalid"),
        ("https", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "proxy_header_invalid"),
    ] {
        let label = format!("listener=\"{listener}\"");
        let labels = [cause, &label];
        let before = lb.metric("lb_connections_closed_total", &labels).await;
        let mut stream = connect(&lb, listener).await;
        stream.write_all(sent).await.unwrap();
        let (seen, _) = crate::setup::read_all(&mut stream).await;
        assert_eq!(seen, "", "{cause}");
        lb.metric_becomes("lb_connections_closed_total", &labels, before + 1.0).await;
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(lb.access_lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_trusted_is_refused_where_a_header_is_required() {
    let origin = Origin::named("behind").await;
    let keys = "proxy_protocol: { mode: required, trusted: [10.0.0.0/8] }";
    let lb = edge(keys, origin.address).await;
    for (count, sent) in [&[V1, GET.as_bytes()].concat(), GET.as_bytes()].iter().enumerate() {
        let mut stream = connect(&lb, "http").await;
        let _ = stream.write_all(sent).await;
        let (seen, _) = crate::setup::read_all(&mut stream).await;
        assert_eq!(seen, "");
        closed(&lb, "http", "proxy_untrusted_peer", count as u32 + 1).await;
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_header_may_be_left_out_by_those_who_may_send_one() {
    let origin = Origin::named("behind").await;
    let lb = edge(OPTIONAL, origin.address).await;
    let mut with = connect(&lb, "http").await;
    with.write_all(&[V2, &request("/with")].concat()).await.unwrap();
    assert!(read_to_end(&mut with).await.ends_with("behind"));
    assert_eq!(client_of(&lb, &origin, "/with").await, ["203.0.113.8"; 3]);
    let mut without = connect(&lb, "http").await;
    without.write_all(&request("/without")).await.unwrap();
    assert!(read_to_end(&mut without).await.ends_with("behind"));
    assert_eq!(client_of(&lb, &origin, "/without").await, ["127.0.0.1"; 3]);
    // "P" could be either.
    let mut post = connect(&lb, "http").await;
    post.write_all(b"P").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    post.write_all(b"UT /put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(read_response(&mut post).await.ends_with("behind"));
    let secure = lb.client().text(&lb.secure_url("localhost", "/secure")).await;
    assert_eq!(secure, "behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_header_from_a_stranger_is_400() {
    let origin = Origin::named("behind").await;
    let lb = edge(OPTIONAL, origin.address).await;
    for header in [V1, V2] {
        let mut stream = connect_from("127.0.0.9", lb.address("http")).await;
        stream.write_all(&[header, LAST.as_bytes()].concat()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("wrong_protocol"), "{answer}");
    }
    let line = lb.access_line(|line| line["cause"] == "wrong_protocol").await;
    assert_eq!(line["client"], "127.0.0.9");
    assert!(is_served(&mut connect_from("127.0.0.9", lb.address("http")).await).await);
    assert_eq!(origin.count(), 1);
    // Where TLS is expected, a header is neither that nor HTTP.
    let mut stream = connect_from("127.0.0.9", lb.address("https")).await;
    stream.write_all(V2).await.unwrap();
    let _ = crate::setup::read_all(&mut stream).await;
    closed(&lb, "https", "tls_handshake_failed", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_header_of_a_connection_is_one() {
    let origin = Origin::named("behind").await;
    let lb = edge(REQUIRED, origin.address).await;
    let mut stream = connect(&lb, "http").await;
    stream.write_all(&[V1, V1, LAST.as_bytes()].concat()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wrong_protocol"), "{answer}");
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_for_the_client_in_the_header() {
    let origin = Origin::named("behind").await;
    let keys = format!("{REQUIRED}, limits: {{ connections_per_client: 1 }}");
    let lb = edge(&keys, origin.address).await;
    let named = async |header: &[u8]| {
        let mut stream = connect(&lb, "http").await;
        stream.write_all(header).await.unwrap();
        let served = is_served(&mut stream).await;
        (served, stream)
    };
    let (served, _first) = named(V1).await;
    assert!(served);
    let (served, _) = named(V1).await;
    assert!(!served);
    closed(&lb, "http", "client_connection_limit", 1).await;
    // Through the same proxy, another client.
    let (served, _second) = named(V2).await;
    assert!(served);
    let (served, _) = named(V2).await;
    assert!(!served);
    closed(&lb, "http", "client_connection_limit", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_count_the_client_in_the_header() {
    let origin = Origin::named("behind").await;
    let lb = Lb::start(&format!(
        r#"
listeners:
  http: {{ bind: ["127.0.0.1:0"], {REQUIRED} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
rate_limits: {{ each: {{ rate: 1/h, key: client_ip }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, rate_limits: [each] }}]
"#,
        origin.address
    ))
    .await;
    for (header, status) in [(V1, 200), (V1, 429), (V2, 200), (V2, 429), (LOCAL, 200)] {
        let mut stream = connect(&lb, "http").await;
        stream.write_all(&[header, LAST.as_bytes()].concat()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[test]
fn nobody_trusted_is_a_problem_of_the_configuration() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("lb.yaml");
    for mode in ["required", "optional"] {
        let listener = format!(
            "{{ bind: [\"127.0.0.1:0\"], proxy_protocol: {{ mode: {mode}, trusted: [] }} }}"
        );
        std::fs::write(&file, format!("version: 1\nlisteners: {{ http: {listener} }}\n")).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_lb"))
            .args(["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(checked.status.code(), Some(1));
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(said.contains("listeners.http.proxy_protocol.trusted: "), "{said}");
    }
}
