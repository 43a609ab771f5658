//! Where two things meet: bytes behind a request that is the last, headers cut
//! where nobody cuts them, a stop between two requests.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::setup::{
    GET, LAST, PATIENCE, closed, echo, edge, failures_of_endpoints, large, read_response,
    read_to_end, tls_over,
};
use crate::support::{Lb, Origin, RawConnection, respond};

/// A stream that cuts what is written first at one place.
async fn cut_header(lb: &Lb, header: &[u8], at: usize) -> TcpStream {
    let mut stream = TcpStream::connect(lb.address("https")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&header[..at]).await.unwrap();
    // The rest of the header and the ClientHello are to come as one segment.
    sleep(Duration::from_millis(50)).await;
    stream.set_nodelay(false).unwrap();
    stream.write_all(&header[at..]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_hello_behind_a_cut_proxy_header_is_whole() {
    let origin = Origin::named("behind").await;
    let lb = edge("proxy_protocol: { mode: required, trusted: [127.0.0.1] }", origin.address).await;
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";
    for at in [1, 20, header.len() - 1] {
        let stream = cut_header(&lb, header, at).await;
        // Post-quantum key exchange makes the hello larger than a segment.
        let mut secure = timeout(PATIENCE, tls_over(&lb, stream)).await.expect("it shakes hands");
        secure.write_all(LAST.as_bytes()).await.unwrap();
        assert!(read_to_end(&mut secure).await.ends_with("behind"), "cut at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_with_a_body_is_an_ordinary_request() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    for (head, body) in [
        ("POST /ws HTTP/1.1\r\nContent-Length: 5\r\n", "hello"),
        ("GET /ws HTTP/1.1\r\nContent-Length: 5\r\n", "hello"),
        ("POST /ws HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let answer = RawConnection::exchange(
            lb.address("http"),
            format!(
                "{head}Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n{body}"
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("hello"), "{answer}");
    }
    let asked = origin.requests().iter().filter(|r| r.header("upgrade").is_some()).count();
    assert_eq!((asked, failures_of_endpoints(&lb).await), (0, 0.0));
}

/// A connection of which little is read at a time.
async fn slow_reader(lb: &Lb) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(lb.address("http")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_response_is_whole_whatever_lies_behind_its_request() {
    const LENGTH: usize = 3_000_000;
    let origin = large(LENGTH).await;
    let lb = edge("", origin.address).await;
    let mut stream = slow_reader(&lb).await;
    let behind = GET.repeat(600);
    stream.write_all(format!("{LAST}{behind}").as_bytes()).await.unwrap();
    let mut received = 0;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("bytes come");
        match read.unwrap_or_else(|error| panic!("{error} after {received} bytes")) {
            0 => break,
            read => received += read,
        }
    }
    assert!(received > LENGTH, "{received}");
    assert_eq!(origin.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_our_own_have_to_be_taken_too() {
    let origin = echo().await;
    let lb = edge("deadlines: { min_rate: 500B, grace: 400ms }", origin.address).await;
    let (_reading, mut writing) = slow_reader(&lb).await.into_split();
    let request = "GET /redirected HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let flood =
        tokio::spawn(async move { while writing.write_all(request.as_bytes()).await.is_ok() {} });
    closed(&lb, "http", "response_too_slow", 1).await;
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_without_being_told_keeps_the_pace() {
    let origin = echo().await;
    let lb = edge("deadlines: { min_rate: 500B, grace: 400ms }", origin.address).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let head = "POST /untold HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_line_behind_a_request_begins_none() {
    let origin = echo().await;
    let lb = edge("deadlines: { head: 300ms, idle: 2s }", origin.address).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    stream.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    // Closed as an idle connection is, without a word.
    let since = Instant::now();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(since.elapsed() > Duration::from_secs(1));
    closed(&lb, "http", "idle_timeout", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_is_noticed_behind_what_it_sent() {
    let origin = Origin::start(|_| async {
        sleep(PATIENCE * 2).await;
        respond(200, "too late")
    })
    .await;
    let lb = edge("", origin.address).await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    stream.write_all(GET.repeat(500).as_bytes()).await.unwrap();
    while origin.count() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    // Not closed but reset: nobody is there any more.
    stream.set_zero_linger().unwrap();
    drop(stream);
    lb.access_line(|line| line["cause"] == "client_closed").await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_gets_no_interim_response() {
    let origin = echo().await;
    let lb = edge("", origin.address).await;
    let answer = RawConnection::exchange(
        lb.address("http"),
        "POST /old HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
    assert!(origin.requests()[0].header("expect").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_no_request_of_a_connection_in_use() {
    let origin = Origin::start(|_| async {
        sleep(Duration::from_millis(2)).await;
        respond(200, "served")
    })
    .await;
    let mut lb = edge("", origin.address).await;
    let address = lb.address("http");
    let clients: Vec<_> = (0..30)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // One request after the other until told that the last one was it.
                for count in 0.. {
                    stream.write_all(GET.as_bytes()).await.unwrap();
                    let answer = read_response(&mut stream).await;
                    assert!(answer.contains("served"), "request {count}: {answer:?}");
                    if answer.to_ascii_lowercase().contains("connection: close") {
                        return count;
                    }
                }
                unreachable!()
            })
        })
        .collect();
    while origin.count() < 300 {
        sleep(Duration::from_millis(5)).await;
    }
    lb.signal("TERM");
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    assert_eq!(lb.exit_code().await, Some(0));
}
