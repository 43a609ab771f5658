//! Every deadline of a client, each with a cause of its own.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::setup::{
    GET, closed, drip, echo, edge, edge_with, failures_of_endpoints, read_response, read_to_end,
    tls,
};
use crate::support::{Client, RawConnection};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_408_when_its_whole_time_is_over() {
    let origin = echo().await;
    let lb = edge("deadlines: { head: 400ms }", origin.address).await;
    let begun = Instant::now();
    let (mut reading, mut writing) =
        TcpStream::connect(lb.address("http")).await.unwrap().into_split();
    writing.write_all(b"POST /dripped?q=1 HTTP/1.1\r\nX: ").await.unwrap();
    let dripping = tokio::spawn(drip(writing, b'x'));
    let answer = read_to_end(&mut reading).await;
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    let line = lb.access_line(|line| line["cause"] == "request_head_timeout").await;
    assert_eq!((&line["method"], &line["status"]), (&"POST".into(), &408.into()), "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() >= 400.0, "{line}");
    assert!(line.to_string().contains("/dripped"), "{line}");
    closed(&lb, "http", "request_head_timeout", 1).await;
    drop(reading);
    dripping.await.unwrap();
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_line_is_408_and_logged_as_far_as_it_came() {
    let origin = echo().await;
    let lb = edge("deadlines: { head: 300ms }", origin.address).await;
    for (count, (sent, method, target)) in
        [("GET /half", "GET", "/half"), ("DEL", "-", "DEL"), ("\r\nG", "-", "G")]
            .into_iter()
            .enumerate()
    {
        let answer = RawConnection::exchange(lb.address("http"), sent).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{sent:?}: {answer}");
        closed(&lb, "http", "request_head_timeout", count as u32 + 1).await;
        let line = lb.access_line(|line| line["status"] == 408 && line["target"] == target).await;
        assert_eq!(line["method"], method, "{line}");
    }
    let mut secure = tls(&lb).await;
    secure.write_all(b"GET /half HTTP/1.1\r\nHo").await.unwrap();
    let answer = read_to_end(&mut secure).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    closed(&lb, "https", "request_head_timeout", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_head_begins_anew_with_each_request() {
    let origin = echo().await;
    let lb = edge("deadlines: { head: 500ms, idle: 10s }", origin.address).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    for _ in 0..4 {
        let (first, second) = GET.split_at(20);
        stream.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(second.as_bytes()).await.unwrap();
        assert!(read_response(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_without_a_word() {
    let origin = echo().await;
    let lb = edge("deadlines: { idle: 300ms }", origin.address).await;
    // Before the first byte.
    let mut silent = TcpStream::connect(lb.address("http")).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    closed(&lb, "http", "idle_timeout", 1).await;
    assert_eq!(lb.access_lines(), Vec::<String>::new());
    // After a response.
    let mut kept = TcpStream::connect(lb.address("http")).await.unwrap();
    kept.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut kept).await;
    let begun = Instant::now();
    assert_eq!(read_to_end(&mut kept).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    closed(&lb, "http", "idle_timeout", 2).await;
    assert_eq!(lb.metric("lb_requests_total", &["cause=\"request_head_timeout\""]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_tls_connection_is_closed_with_a_notification() {
    let origin = echo().await;
    let lb = edge("deadlines: { idle: 300ms }", origin.address).await;
    // Without close_notify rustls makes an error of the end.
    assert_eq!(read_to_end(&mut tls(&lb).await).await, "");
    let mut kept = tls(&lb).await;
    kept.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut kept).await;
    assert_eq!(read_to_end(&mut kept).await, "");
    closed(&lb, "https", "idle_timeout", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_begins_no_tls_is_closed() {
    let origin = echo().await;
    let lb = edge("deadlines: { tls_handshake: 300ms }", origin.address).await;
    let mut silent = TcpStream::connect(lb.address("https")).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    closed(&lb, "https", "tls_handshake_timeout", 1).await;
    // A record that never becomes whole, in drips.
    let (mut reading, mut writing) =
        TcpStream::connect(lb.address("https")).await.unwrap().into_split();
    writing.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
    let dripping = tokio::spawn(drip(writing, 7));
    let mut rest = Vec::new();
    // The bytes that it sends on may make a reset of the end.
    let _ = reading.read_to_end(&mut rest).await;
    closed(&lb, "https", "tls_handshake_timeout", 2).await;
    assert_eq!(
        lb.metric("lb_tls_handshakes_total", &["result=\"failed\"", "listener=\"https\""]).await,
        2.0
    );
    dripping.await.unwrap();
    assert!(read_response_over_tls(&lb).await.starts_with("HTTP/1.1 200 "));
}

async fn read_response_over_tls(lb: &crate::support::Lb) -> String {
    let mut secure = tls(lb).await;
    secure.write_all(GET.as_bytes()).await.unwrap();
    read_response(&mut secure).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_header_that_does_not_come_closes_the_connection() {
    let origin = echo().await;
    let proxied = "proxy_protocol: { mode: required, trusted: [127.0.0.1] }";
    let lb =
        edge(&format!("deadlines: {{ proxy_header: 300ms }}, {proxied}"), origin.address).await;
    for listener in ["http", "https"] {
        for (count, sent) in ["", "PROXY TCP4 10.1.1.1 ", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a"]
            .iter()
            .enumerate()
        {
            let mut stream = TcpStream::connect(lb.address(listener)).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert_eq!(read_to_end(&mut stream).await, "", "{sent:?}");
            closed(&lb, listener, "proxy_header_timeout", count as u32 + 1).await;
        }
    }
    assert_eq!(lb.access_lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_websocket_is_not_an_idle_client() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let lb = edge("deadlines: { idle: 200ms, head: 200ms, grace: 200ms }", address).await;
    let url = format!("ws://{}/ws", lb.address("http"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for _ in 0..2 {
        // Longer than every deadline.
        tokio::time::sleep(Duration::from_millis(700)).await;
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    }
    assert_eq!(lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dripping_clients_do_not_delay_the_others() {
    const DRIPPERS: usize = 1000;
    let origin = echo().await;
    let lb = edge_with("workers: 2", "deadlines: { head: 5s }", origin.address).await;
    let client = Client::plain();
    let measure = async || {
        let mut times = Vec::new();
        for _ in 0..300 {
            let begun = Instant::now();
            let response = client.get(&lb.url("/ordinary")).await.expect("an ordinary answer");
            assert_eq!(response.status(), 200);
            response.bytes().await.unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        (times[150], times[296])
    };
    let alone = measure().await;
    let mut drippers = Vec::new();
    for _ in 0..DRIPPERS {
        let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
        drippers.push(tokio::spawn(async move {
            let (mut reading, writing) = stream.into_split();
            let dripping = tokio::spawn(drip(writing, b'x'));
            let answer = read_to_end(&mut reading).await;
            drop(reading);
            dripping.abort();
            answer
        }));
    }
    let beside = measure().await;
    println!("p50, p99 alone: {alone:?}; beside {DRIPPERS} drips: {beside:?}");
    for dripper in drippers {
        let answer = dripper.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    closed(&lb, "http", "request_head_timeout", DRIPPERS as u32).await;
    assert_eq!(failures_of_endpoints(&lb).await, 0.0);
}
