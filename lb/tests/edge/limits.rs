//! Limits on connections: the newest is refused, those inside are served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::setup::{
    GET, closed, connect_from, echo, edge, edge_with, is_served, read_response, served_at_last, tls,
};
use crate::support::{Client, Lb, RawConnection};

async fn connect(lb: &Lb) -> TcpStream {
    TcpStream::connect(lb.address("http")).await.unwrap()
}

/// Two inside are served, the third is refused, and let in when one has left.
async fn holds_two(lb: &Lb, cause: &str, mut connect: impl AsyncFnMut() -> TcpStream) {
    let mut first = connect().await;
    let mut second = connect().await;
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    for refused in 1..=3 {
        assert!(!is_served(&mut connect().await).await, "{cause}: a third is served");
        closed(lb, "http", cause, refused).await;
    }
    let health = Client::plain().text(&format!("http://{}/healthz", lb.status)).await;
    assert_eq!(health, "alive\n");
    assert!(is_served(&mut first).await && is_served(&mut second).await, "{cause}");
    lb.metric_becomes("lb_connections_open", &["listener=\"http\""], 2.0).await;
    drop(first);
    let mut third = served_at_last(&mut connect).await;
    assert!(is_served(&mut second).await && is_served(&mut third).await, "{cause}");
    assert!(!is_served(&mut connect().await).await, "{cause}: a place was counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_has_room_for_so_many_connections() {
    let origin = echo().await;
    let lb = edge_with("max_connections: 2", "", origin.address).await;
    holds_two(&lb, "connection_limit", async || connect(&lb).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_counts_over_all_listeners_and_workers() {
    let origin = echo().await;
    let lb = edge_with("max_connections: 2\nworkers: 4", "", origin.address).await;
    let mut secure = tls(&lb).await;
    let mut clear = connect(&lb).await;
    assert!(is_served(&mut clear).await);
    for _ in 0..8 {
        assert!(!is_served(&mut connect(&lb).await).await);
    }
    closed(&lb, "http", "connection_limit", 8).await;
    secure.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_response(&mut secure).await.starts_with("HTTP/1.1 200 "));
    drop(secure);
    served_at_last(async || connect(&lb).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_has_room_for_so_many_connections() {
    let origin = echo().await;
    let lb = edge("limits: { connections: 2 }", origin.address).await;
    // The other listener counts for itself.
    let _secure = (tls(&lb).await, tls(&lb).await);
    holds_two(&lb, "listener_connection_limit", async || connect(&lb).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_many_connections() {
    let origin = echo().await;
    let lb = edge("limits: { connections_per_client: 2 }", origin.address).await;
    let address = lb.address("http");
    let mut others = Vec::new();
    for source in ["127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        let mut other = connect_from(source, address).await;
        assert!(is_served(&mut other).await, "{source}");
        drop(other);
        others.push(source);
    }
    lb.metric_becomes("lb_connections_open", &["listener=\"http\""], 0.0).await;
    holds_two(&lb, "client_connection_limit", async || connect_from("127.0.0.2", address).await)
        .await;
    for source in others {
        assert!(is_served(&mut connect_from(source, address).await).await, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_of_one_client_take_no_place_of_the_others() {
    let origin = echo().await;
    let keys = "limits: { connections: 3, connections_per_client: 1 }";
    let lb = edge(keys, origin.address).await;
    let address = lb.address("http");
    let mut greedy = connect_from("127.0.0.2", address).await;
    assert!(is_served(&mut greedy).await);
    for _ in 0..20 {
        assert!(!is_served(&mut connect_from("127.0.0.2", address).await).await);
    }
    closed(&lb, "http", "client_connection_limit", 20).await;
    let mut third = connect_from("127.0.0.3", address).await;
    let mut fourth = connect_from("127.0.0.4", address).await;
    assert!(is_served(&mut third).await && is_served(&mut fourth).await);
    assert!(!is_served(&mut connect_from("127.0.0.5", address).await).await);
    closed(&lb, "http", "listener_connection_limit", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_lingers_after_its_answer_keeps_its_place() {
    let origin = echo().await;
    let lb = edge("limits: { connections: 1 }", origin.address).await;
    // Answered, and still open on this side.
    let mut lingering = connect(&lb).await;
    lingering.write_all(b"no request at all\r\n\r\n").await.unwrap();
    assert!(read_response(&mut lingering).await.starts_with("HTTP/1.1 400 "));
    assert!(!is_served(&mut connect(&lb).await).await, "sockets are open without bound");
    closed(&lb, "http", "listener_connection_limit", 1).await;
    assert_eq!(lb.metric("lb_connections_open", &["listener=\"http\""]).await, 1.0);
    drop(lingering);
    drop(served_at_last(async || connect(&lb).await).await);
    lb.metric_becomes("lb_connections_open", &["listener=\"http\""], 0.0).await;
    // A body that is too late, or of which too much has come.
    let mut lingering = connect(&lb).await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
    lingering.write_all(head.as_bytes()).await.unwrap();
    assert!(read_response(&mut lingering).await.starts_with("HTTP/1.1 400 "));
    assert!(!is_served(&mut connect(&lb).await).await, "sockets are open without bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_of_a_connection_is_told_so() {
    let origin = echo().await;
    let lb = edge("limits: { requests_per_connection: 3 }", origin.address).await;
    for path in ["/forwarded", "/redirected"] {
        let mut stream = RawConnection::open(lb.address("http")).await;
        // All at once: what comes behind the last is not answered.
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.send(request.repeat(3)).await;
        let answers = stream.read_to_end().await.to_lowercase();
        let answers: Vec<&str> = answers.split("http/1.1 ").skip(1).collect();
        assert_eq!(answers.len(), 3, "{path}: {answers:?}");
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(answer.contains("connection: close"), index == 2, "{path}: {answers:?}");
        }
    }
    closed(&lb, "http", "request_limit", 2).await;
    // A pipeline beyond the limit: the rest goes unanswered, and the answers
    // that were sent are not taken away by a reset.
    let mut stream = RawConnection::open(lb.address("http")).await;
    stream.send(GET.repeat(50)).await;
    let answers = stream.read_to_end().await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_a_connection_is_a_limit_too() {
    let origin = echo().await;
    let lb = edge("limits: { requests_per_connection: 1 }", origin.address).await;
    for count in 1..=3 {
        let mut stream = connect(&lb).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        let answer = read_response(&mut stream).await.to_lowercase();
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        closed(&lb, "http", "request_limit", count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_limit_ends_connections_and_loses_no_request() {
    let origin = echo().await;
    let lb = edge("limits: { requests_per_connection: 5 }", origin.address).await;
    let client = lb.client();
    let url = lb.secure_url("localhost", "/many");
    for round in 0..10 {
        let requests = (0..8).map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let response = loop {
                    match client.0.post(&url).body("sent").send().await {
                        Ok(response) => break response,
                        Err(error) => assert!(never_sent(&error), "{error:?}"),
                    }
                };
                assert_eq!(response.version(), http::Version::HTTP_2);
                response.text().await.unwrap()
            })
        });
        for request in requests.collect::<Vec<_>>() {
            let answer = tokio::time::timeout(Duration::from_secs(30), request).await.unwrap();
            assert_eq!(answer.unwrap(), "sent", "round {round}");
        }
    }
    assert_eq!(origin.count(), 80);
    let ended =
        lb.metric("lb_connections_closed_total", &["cause=\"request_limit\"", "\"https\""]).await;
    assert!(ended >= 5.0, "{ended} connections reached their limit");
}

/// Others may use a connection up before the request that had it opened goes
/// out. The client's pool tries again by itself only on connections that have
/// served before.
fn never_sent(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_canceled)
}
