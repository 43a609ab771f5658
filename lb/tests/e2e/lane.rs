//! What the lane does and Pingora does not: its tests name the engine themselves.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Lb, RawConnection, RawOrigin};

fn config(origin: SocketAddr) -> String {
    format!(
        r#"
defaults: {{ timeouts: {{ request: 1s, read: 1s, send: 1s }} }}
listeners: {{ http: {{ bind: ["127.0.0.1:0"], engine: auto }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{origin}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, websocket: true }}]
"#
    )
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Sends what it is told, piece by piece, when a request has come, then closes.
async fn says(pieces: &'static [&'static [u8]]) -> RawOrigin {
    RawOrigin::start(move |mut stream| async move {
        read_head(&mut stream).await;
        for piece in pieces {
            // Err: the proxy has had enough.
            if stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways_and_never_vouch() {
    let origin = RawOrigin::start(|mut stream| async move {
        let mut seen = read_head(&mut stream).await;
        while !seen.ends_with("\r\n\r\n") || !seen.contains("\r\n0\r\n") {
            seen.push(char::from(stream.read_u8().await.unwrap()));
        }
        let trailers = seen.split("\r\n0\r\n").nth(1).unwrap();
        assert_eq!(trailers, "X-Checksum: up\r\n\r\n");
        let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
            2\r\nok\r\n0\r\nX-Sum: down\r\nContent-Length: 9\r\n\r\n";
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let lb = Lb::start(&config(origin.address)).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
        5\r\nhello\r\n0\r\nX-Checksum: up\r\nX-Forwarded-For: 8.8.8.8\r\nHost: b\r\n\r\n";
    let answer = RawConnection::exchange(lb.address("http"), request).await;
    assert!(answer.ends_with("\r\n2\r\nok\r\n0\r\nX-Sum: down\r\n\r\n"), "{answer}");
    assert!(answer.contains("\r\nTrailer: X-Sum\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_does_not_look_whole_to_http_10() {
    let origin =
        says(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]).await;
    let lb = Lb::start(&config(origin.address)).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let ended = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    lb.access_line(|line| line["cause"] == "upstream_incomplete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_for_any_protocol_and_outlives_the_clients_half() {
    let origin = RawOrigin::start(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.to_ascii_lowercase().contains("\r\nupgrade: tcp\r\n"), "{head}");
        let switch = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let mut input = String::new();
        stream.read_to_string(&mut input).await.unwrap();
        stream.write_all(input.to_uppercase().as_bytes()).await.unwrap();
    })
    .await;
    let lb = Lb::start(&config(origin.address)).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    // What comes right behind the request is the tunnel's already.
    let request =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, tcp\r\n\r\nearly ";
    stream.write_all(request).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 UPGRADED\r\n"));
    stream.write_all(b"and late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut output = String::new();
    stream.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "EARLY AND LATE");
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_only_promises_is_504_in_time() {
    const HINTS: &[&[u8]] = &[b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"];
    const DRIP: &[&[u8]] = &[b"H", b"T", b"T", b"P", b"/", b"1", b".", b"1", b" ", b"2"];
    for pieces in [HINTS, DRIP] {
        let origin = RawOrigin::start(move |mut stream| async move {
            read_head(&mut stream).await;
            for piece in pieces.iter().cycle() {
                if stream.write_all(piece).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(if pieces == DRIP { 200 } else { 10 }))
                    .await;
            }
        })
        .await;
        let lb = Lb::start(&config(origin.address)).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = RawConnection::exchange(lb.address("http"), request).await;
        assert!(answer.contains("HTTP/1.1 504 "), "{answer}");
        lb.access_line(|line| line["cause"] == "request_timeout").await;
        lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calling_it_grpc_buys_no_endless_patience() {
    let origin = RawOrigin::start(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[0; 65536]).await.is_ok() {}
    })
    .await;
    let lb = Lb::start(&config(origin.address)).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // Nothing of it is read.
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    lb.access_line(|line| line["cause"] == "response_too_slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_its_upload_gets_the_rest_of_its_answer() {
    let origin = RawOrigin::start(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nfirst";
        stream.write_all(head).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stream.write_all(b" last").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let lb = Lb::start(&config(origin.address)).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegun";
    stream.write_all(request).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 403 "));
    stream.shutdown().await.unwrap();
    let mut body = String::new();
    stream.read_to_string(&mut body).await.unwrap();
    assert_eq!(body, "first last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_cut_by_the_drain_is_in_the_log() {
    let origin = RawOrigin::start(|mut stream| async move {
        read_head(&mut stream).await;
        let switch = b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let yaml = config(origin.address).replace("read: 1s", "read: 1h")
        + "shutdown: { drain_timeout: 300ms }\n";
    let mut lb = Lb::start(&yaml).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request).await.unwrap();
    read_head(&mut stream).await;
    lb.signal("TERM");
    assert_eq!(lb.exit_code().await, Some(0));
    lb.access_line(|line| line["status"] == 101).await;
}
