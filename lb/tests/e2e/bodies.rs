//! Bodies: streamed, bounded, in both directions.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::routing::simple;
use crate::support::{Client, Lb, Origin, RawConnection, respond};

const MIB: usize = 1024 * 1024;

/// Bytes that are different everywhere, from an offset on.
fn pattern(offset: usize, length: usize) -> Bytes {
    (offset..offset + length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A hash that depends on every byte and its place.
#[derive(Default, PartialEq, Debug, Clone, Copy)]
struct Sum(u64, usize);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
        }
        self.1 += bytes.len();
    }
}

fn sum_of_pattern(length: usize) -> Sum {
    let mut sum = Sum::default();
    (0..length).step_by(MIB).for_each(|offset| sum.add(&pattern(offset, MIB.min(length - offset))));
    sum
}

async fn mirror() -> Origin {
    Origin::start(|request| async move {
        let path = request.uri().path().to_owned();
        if let Some(length) = path.strip_prefix("/download/") {
            let length: usize = length.parse().unwrap();
            let frames = futures_util::stream::iter((0..length).step_by(MIB))
                .map(move |offset| Ok(Frame::data(pattern(offset, MIB.min(length - offset)))));
            return Response::new(BodyExt::boxed(StreamBody::new(frames)));
        }
        let mut sum = Sum::default();
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                sum.add(data);
            }
        }
        respond(200, format!("{} {}", sum.0, sum.1))
    })
    .await
}

fn raised(origin: &Origin) -> String {
    format!(
        r#"
listeners:
  http: {{ bind: ["127.0.0.1:0"] }}
  https: {{ bind: ["127.0.0.1:0"], tls: {{ certificates: [{{ cert: api.pem, key: api.key }}] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes:
      - {{ match: {{ path_prefix: /upload }}, upstream: api, limits: {{ body: 200MiB }} }}
      - {{ match: {{ path_prefix: / }}, upstream: api }}
"#,
        origin.address
    )
}

/// Far from all of it, also where the allocator's own threads get little time.
const TOO_MUCH: u64 = 64 * MIB as u64;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_pass_each_way_in_little_memory() {
    const LENGTH: usize = 100 * MIB;
    let origin = mirror().await;
    let lb = Lb::start(&raised(&origin)).await;
    let expected = sum_of_pattern(LENGTH);
    for (client, base) in
        [(Client::plain(), lb.url("")), (lb.client(), lb.secure_url("localhost", ""))]
    {
        // Whatever a connection needs is there before memory is looked at.
        client.get(&format!("{base}/download/65536")).await.unwrap().bytes().await.unwrap();
        let before = lb.resident_memory();
        let mut most = before;
        // What it is made of, when it is too much.
        let mut excess = None;
        let mut look = |phase: &str| {
            most = most.max(lb.resident_memory());
            if most.saturating_sub(before) >= TOO_MUCH && excess.is_none() {
                excess = Some(format!("{phase} at {base}:\n{}", lb.memory_in_detail()));
            }
        };

        let chunks = futures_util::stream::iter((0..LENGTH).step_by(MIB))
            .map(|offset| Ok::<_, std::io::Error>(pattern(offset, MIB.min(LENGTH - offset))));
        let upload =
            client.0.post(format!("{base}/upload")).body(reqwest::Body::wrap_stream(chunks)).send();
        let watch = async {
            loop {
                look("upload");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let response =
            tokio::select! { response = upload => response.unwrap(), () = watch => unreachable!() };
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), format!("{} {}", expected.0, expected.1));

        let mut sum = Sum::default();
        let mut download = client.get(&format!("{base}/download/{LENGTH}")).await.unwrap();
        while let Some(chunk) = download.chunk().await.unwrap() {
            sum.add(&chunk);
            look("download");
        }
        assert_eq!(sum, expected);
        let growth = most.saturating_sub(before);
        assert!(growth < TOO_MUCH, "{growth} bytes more than before; {}", excess.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_however_it_is_framed() {
    let origin = mirror().await;
    let lb = Lb::start(&raised(&origin)).await;
    for (client, base) in
        [(Client::plain(), lb.url("")), (lb.client(), lb.secure_url("localhost", ""))]
    {
        let announced =
            client.0.post(format!("{base}/x")).body(vec![0; 11 * MIB]).send().await.unwrap();
        assert_eq!(announced.status(), 413);
        assert!(announced.headers()["proxy-status"].to_str().unwrap().contains("body_too_large"));
        let chunks =
            futures_util::stream::iter(0..11).map(|_| Ok::<_, std::io::Error>(vec![0; MIB]));
        let chunked = client
            .0
            .post(format!("{base}/x"))
            .body(reqwest::Body::wrap_stream(chunks))
            .send()
            .await
            .unwrap();
        assert_eq!(chunked.status(), 413);
        assert!(chunked.text().await.unwrap().contains("body_too_large"));
        assert_eq!(client.get(&format!("{base}/x")).await.unwrap().status(), 200);
    }
    assert_eq!(lb.metric("lb_endpoint_failures_total", &[]).await, 0.0, "not the endpoint's fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = mirror().await;
    let lb = Lb::start(&raised(&origin)).await;
    for _ in 0..20 {
        let mut connection = RawConnection::open(lb.address("http")).await;
        connection.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n").await;
        // Sends on, as clients do that only read at the end.
        let mut refused = false;
        for _ in 0..200 {
            use tokio::io::AsyncWriteExt;
            if connection.0.write_all(&[b'x'; 16 * 1024]).await.is_err() {
                refused = true;
                break;
            }
        }
        assert!(!refused, "no reset while the answer is unread");
        let response = connection.read_until("\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_is_answered_before_the_body_comes() {
    let origin = mirror().await;
    for protocol in ["http", "h2c"] {
        let yaml =
            simple(&origin).replace("endpoints:", &format!("protocol: {protocol}, endpoints:"));
        let lb = Lb::start(&yaml).await;
        let mut connection = RawConnection::open(lb.address("http")).await;
        connection
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
            .await;
        let interim = connection.read_until("\r\n\r\n").await;
        assert!(interim.starts_with("HTTP/1.1 100 "), "{protocol}: {interim}");
        connection.send("hello").await;
        let response = connection.read_to_end().await;
        let mut sum = Sum::default();
        sum.add(b"hello");
        assert!(response.ends_with(&format!("{} 5", sum.0)), "{protocol}: {response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_over_the_limit_is_refused_without_the_body() {
    let origin = mirror().await;
    let lb = Lb::start(&simple(&origin)).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    connection
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let response = connection.read_until("\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    assert_eq!(origin.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_10_clients_are_served() {
    let origin = Origin::named("old").await;
    let lb = Lb::start(&simple(&origin)).await;
    let response =
        RawConnection::exchange(lb.address("http"), "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1."), "{response}");
    assert!(response.ends_with("\r\n\r\nold"), "no chunks for HTTP/1.0: {response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_bodiless_statuses_pass() {
    let origin = Origin::start(|request| async move {
        match request.uri().path() {
            "/204" => respond(204, ""),
            "/304" => respond(304, ""),
            _ => respond(200, "body"),
        }
    })
    .await;
    let lb = Lb::start(&simple(&origin)).await;
    let mut connection = RawConnection::open(lb.address("http")).await;
    for (request, status, length) in [
        ("HEAD /", "200", Some("content-length: 4")),
        ("GET /204", "204", None),
        ("GET /304", "304", None),
    ] {
        connection.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = connection.read_until("\r\n\r\n").await.to_lowercase();
        assert!(response.starts_with(&format!("http/1.1 {status}")), "{response}");
        assert!(response.ends_with("\r\n\r\n"), "{response}");
        if let Some(length) = length {
            assert!(response.contains(length), "{response}");
        }
    }
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(connection.read_to_end().await.ends_with("body"), "the connection is still in step");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_streams_before_it_is_complete() {
    let (send, receive) = tokio::sync::mpsc::channel::<&'static str>(1);
    let receive = std::sync::Arc::new(tokio::sync::Mutex::new(Some(receive)));
    let origin = Origin::start(move |_| {
        let receive = receive.clone();
        async move {
            let receive = receive.lock().await.take().unwrap();
            let frames = futures_util::stream::unfold(receive, |mut receive| async {
                let text = receive.recv().await?;
                Some((Ok(Frame::data(Bytes::from(text))), receive))
            });
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
    })
    .await;
    let lb = Lb::start(&simple(&origin)).await;
    send.send("first").await.unwrap();
    let mut response = Client::plain().get(&lb.url("/")).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    send.send("second").await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "second");
    drop(send);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_chunked_upload_both_connections_are_in_step() {
    let origin = mirror().await;
    let lb = Lb::start(&raised(&origin)).await;
    for (client, base) in
        [(Client::plain(), lb.url("")), (lb.client(), lb.secure_url("localhost", ""))]
    {
        for round in 0..300 {
            let length = 1 + round * 997;
            let chunks =
                futures_util::stream::iter((0..length).step_by(20_000)).map(move |offset| {
                    Ok::<_, std::io::Error>(pattern(offset, 20_000.min(length - offset)))
                });
            let upload =
                client.0.post(format!("{base}/upload")).body(reqwest::Body::wrap_stream(chunks));
            let response = upload.send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.text().await.unwrap().ends_with(&format!(" {length}")));
            let download = client.get(&format!("{base}/download/{length}")).await.unwrap();
            assert_eq!(download.status(), 200, "round {round} {}", lb.access_lines().join("\n"));
            assert_eq!(download.bytes().await.unwrap().len(), length);
        }
    }
}
