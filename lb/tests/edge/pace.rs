//! How slowly a client may send a body and take a response; and who else may be
//! slow without being taken for one.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::setup::{
    PATIENCE, closed, echo, edge, failures_of_endpoints, large, read_all, read_response,
    read_to_end, tls,
};
use crate::support::{Client, Lb, Origin, RawConnection, RawOrigin, respond};

const PACE: &str = "deadlines: { min_rate: 500B, grace: 400ms }";
const GRACE: Duration = Duration::from_millis(400);

const LARGE: usize = 64 << 20;

async fn blamed_on_the_client(lb: &Lb, listener: &str, cause: &str, closing: &str) {
    lb.access_line(|line| line["cause"] == cause && line["listener"] == listener).await;
    closed(lb, listener, closing, 1).await;
    assert_eq!(failures_of_endpoints(lb).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408() {
    let origin = echo().await;
    for framing in ["Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"] {
        let lb = edge(PACE, origin.address).await;
        let head = format!("POST /silent HTTP/1.1\r\nHost: localhost\r\n{framing}");
        let answer = RawConnection::exchange(lb.address("http"), &head).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{framing}: {answer}");
        assert!(answer.contains("client_body_timeout"), "{answer}");
        blamed_on_the_client(&lb, "http", "client_body_timeout", "request_body_too_slow").await;
        let mut secure = tls(&lb).await;
        secure.write_all(head.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut secure).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{framing}: {answer}");
        closed(&lb, "https", "request_body_too_slow", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_408() {
    let origin = echo().await;
    let lb = edge(PACE, origin.address).await;
    let (mut reading, mut writing) =
        TcpStream::connect(lb.address("http")).await.unwrap().into_split();
    writing
        .write_all(b"POST /drip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        .await
        .unwrap();
    // 20 bytes a second.
    let dripping = tokio::spawn(crate::setup::drip(writing, b'x'));
    let answer = read_to_end(&mut reading).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    blamed_on_the_client(&lb, "http", "client_body_timeout", "request_body_too_slow").await;
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_keeps_the_rate_passes_however_long_it_takes() {
    let origin = echo().await;
    let lb = edge(PACE, origin.address).await;
    for chunked in [false, true] {
        let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 2000" };
        let head = format!("POST /steady HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // 1000 bytes a second, for five times the grace.
        for _ in 0..20 {
            sleep(Duration::from_millis(100)).await;
            let piece = "x".repeat(100);
            let piece = if chunked { format!("64\r\n{piece}\r\n") } else { piece };
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let answer = read_response(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with(&"x".repeat(2000)));
    }
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_nobody_takes_is_given_up() {
    let origin = large(LARGE).await;
    let lb = edge(PACE, origin.address).await;
    let mut clear = TcpStream::connect(lb.address("http")).await.unwrap();
    clear.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    blamed_on_the_client(&lb, "http", "response_too_slow", "response_too_slow").await;
    let mut secure = tls(&lb).await;
    secure.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    blamed_on_the_client(&lb, "https", "response_too_slow", "response_too_slow").await;
    // What the kernel holds may still come; the whole does not.
    let (seen, _) = read_all(&mut clear).await;
    assert!(seen.len() < LARGE, "{} bytes", seen.len());
    let (seen, ended) = read_all(&mut secure).await;
    assert!(seen.len() < LARGE && ended.is_err(), "{} bytes, {ended:?}", seen.len());
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_an_upgrade_buys_no_patience() {
    let origin = large(LARGE).await;
    let lb = edge(PACE, origin.address).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    // The origin does not switch; what it sends is a response like any other.
    blamed_on_the_client(&lb, "http", "response_too_slow", "response_too_slow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_taken_at_the_rate_arrives_whole() {
    const LENGTH: usize = 4 << 20;
    let origin = large(LENGTH).await;
    let lb = edge("deadlines: { min_rate: 20KiB, grace: 500ms }", origin.address).await;
    let socket = TcpSocket::new_v4().unwrap();
    // So that the kernel takes little in advance.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(lb.address("http")).await.unwrap();
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = vec![0; 4096];
    let mut seen = 0;
    let begun = Instant::now();
    // 40 KiB a second: twice the rate, for eight times the grace.
    while begun.elapsed() < Duration::from_secs(4) {
        sleep(Duration::from_millis(100)).await;
        seen += timeout(PATIENCE, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    }
    assert_eq!(
        lb.metric("lb_connections_closed_total", &["cause=\"response_too_slow\""]).await,
        0.0
    );
    loop {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap() {
            0 => break,
            length => seen += length,
        }
    }
    assert!(seen > LENGTH, "{seen} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_no_slow_client() {
    let origin = Origin::start(|_| async move {
        sleep(GRACE * 3).await;
        respond(200, "late")
    })
    .await;
    let lb = edge(PACE, origin.address).await;
    assert_eq!(Client::plain().text(&lb.url("/")).await, "late");
    let upload = Client::plain().0.post(lb.url("/")).body(vec![0; 100_000]);
    assert_eq!(upload.send().await.unwrap().text().await.unwrap(), "late");
    assert_eq!(lb.client().text(&lb.secure_url("localhost", "/")).await, "late");
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_drips_from_the_endpoint_is_no_slow_client() {
    let origin = RawOrigin::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
        for _ in 0..5 {
            sleep(GRACE).await;
            let _ = stream.write_all(b"x").await;
        }
    })
    .await;
    let lb = edge(PACE, origin.address).await;
    assert_eq!(Client::unpooled().text(&lb.url("/")).await, "xxxxx");
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_reads_an_upload_slowly_is_no_slow_client() {
    const UPLOAD: usize = 8 << 20;
    let origin = RawOrigin::start(|mut stream| async move {
        let mut buffer = vec![0; 65536];
        let mut left = UPLOAD;
        for round in 0.. {
            if round % 40 == 0 && round < 160 {
                // The buffers in between fill up.
                sleep(GRACE * 2).await;
            }
            let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread").await;
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    let lb = edge(PACE, origin.address).await;
    let request = Client::plain().0.post(lb.url("/upload")).body(vec![0; UPLOAD]);
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &*response.text().await.unwrap()), (200, "read"));
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_told_to_send_is_not_slow() {
    let origin = RawOrigin::start(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        sleep(GRACE * 3).await;
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntold").await;
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    let lb = edge(PACE, origin.address).await;
    let head = "PUT /told HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                Content-Length: 4\r\n\r\n";
    let mut stream = RawConnection::open(lb.address("http")).await;
    stream.send(head).await;
    let interim = stream.read_until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    stream.send("body").await;
    assert!(stream.read_until("told").await.starts_with("HTTP/1.1 200 "));
    // Told to send, it has no more time than others.
    let mut stream = RawConnection::open(lb.address("http")).await;
    stream.send(head).await;
    stream.read_until("\r\n\r\n").await;
    let answer = stream.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    closed(&lb, "http", "request_body_too_slow", 1).await;
}
