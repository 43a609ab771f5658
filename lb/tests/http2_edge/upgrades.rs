//! WebSocket through the listener: what comes early, and what is declined.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Lb, RawConnection, RawOrigin};

fn config(origin: &RawOrigin) -> String {
    format!(
        r#"
listeners: {{ http: {{ bind: ["127.0.0.1:0"] }} }}
upstreams: {{ api: {{ endpoints: [{{ address: "{}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: / }}, upstream: api, websocket: true }}]
"#,
        origin.address
    )
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Reads a head.
async fn head(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(seen).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_come_with_the_request_reach_the_endpoint_after_it_agrees() {
    let origin = RawOrigin::start(|mut stream| async move {
        let Some(_) = head(&mut stream).await else { return };
        let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(switching.as_bytes()).await.unwrap();
        let mut early = [0; 9];
        stream.read_exact(&mut early).await.unwrap();
        stream.write_all(b"<").await.unwrap();
        stream.write_all(&early).await.unwrap();
        stream.write_all(b">").await.unwrap();
    })
    .await;
    let lb = Lb::start(&config(&origin)).await;
    let mut client = RawConnection::open(lb.address("http")).await;
    client.send(format!("{UPGRADE}early").as_bytes()).await;
    client.send("more").await;
    let seen = client.read_until("<earlymore>").await;
    assert!(seen.starts_with("HTTP/1.1 101 "), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_upgrade_is_declined_takes_the_next_request() {
    let origin = RawOrigin::start(|mut stream| async move {
        while let Some(head) = head(&mut stream).await {
            let body = if head.starts_with("GET /ws ") { "declined" } else { "next" };
            let response =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    })
    .await;
    let lb = Lb::start(&config(&origin)).await;
    let mut client = RawConnection::open(lb.address("http")).await;
    for _ in 0..3 {
        client.send(UPGRADE).await;
        let declined = client.read_until("declined").await;
        assert!(declined.starts_with("HTTP/1.1 200 "), "{declined}");
        client.send("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert!(client.read_until("next").await.starts_with("HTTP/1.1 200 "));
    }
}
