//! WebSocket tunnels.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::{Client, Engine, Lb, Origin, RawOrigin, engine, respond};

/// Echoes what it is sent; on the text "close" it closes with 4001.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message == Message::text("close") {
                        let frame =
                            CloseFrame { code: CloseCode::from(4001), reason: "as told".into() };
                        let _ = socket.close(Some(frame)).await;
                    } else if message.is_text() || message.is_binary() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    address
}

fn config(address: std::net::SocketAddr, route: &str) -> String {
    format!(
        r#"
defaults: {{ timeouts: {{ read: 500ms, send: 500ms, request: 1s }} }}
listeners:
  http: {{ bind: ["127.0.0.1:0"] }}
upstreams: {{ api: {{ endpoints: [{{ address: "{address}" }}] }} }}
virtual_hosts:
  - hosts: ["*"]
    routes: [{{ match: {{ path_prefix: /ws }}, upstream: api, {route} }}]
"#
    )
}

async fn open(lb: &Lb) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let url = format!("ws://{}/ws", lb.address("http"));
    tokio_tungstenite::connect_async(url).await.expect("the tunnel opens").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_each_way_in_order() {
    let lb =
        Lb::start(&config(echo().await, "websocket: true, timeouts: { read: 7d, send: 7d }")).await;
    let (mut sender, mut receiver) = open(&lb).await.split();
    let sending = tokio::spawn(async move {
        for number in 0..1000 {
            let message = if number % 2 == 0 {
                Message::text(number.to_string())
            } else {
                Message::binary(Bytes::from(number.to_string().repeat(50)))
            };
            sender.send(message).await.unwrap();
        }
        sender
    });
    for number in 0..1000 {
        let expected =
            if number % 2 == 0 { number.to_string() } else { number.to_string().repeat(50) };
        let message = receiver.next().await.unwrap().unwrap();
        assert_eq!(message.into_data(), expected.as_bytes());
    }
    let mut sender = sending.await.unwrap();
    sender.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(
        receiver.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"there?"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_outlives_the_ordinary_timeouts_and_holds_its_lease() {
    let lb =
        Lb::start(&config(echo().await, "websocket: true, timeouts: { read: 7d, send: 7d }")).await;
    let mut socket = open(&lb).await;
    lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    // Longer than read, send and request of the defaults.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    assert_eq!(lb.metric("lb_endpoint_in_flight", &[]).await, 1.0);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    let line = lb.access_line(|line| line["status"] == 101).await;
    assert!(line["duration_ms"].as_f64().unwrap() > 1500.0, "{line}");
    assert!(line.get("cause").is_none(), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_ends_after_its_read_timeout() {
    let lb = Lb::start(&config(echo().await, "websocket: true")).await;
    let mut socket = open(&lb).await;
    let ended =
        tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("it ends");
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))));
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_is_said_in_a_tunnel_that_breaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let switch = b"HTTP/1.1 101 Switching Protocols\r\n\
                Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let _ = stream.write_all(switch).await;
            // A word from the client; then it breaks.
            let _ = stream.read(&mut buffer).await;
            let _ = stream.set_zero_linger();
        }
    });
    let lb = Lb::start(&config(address, "websocket: true")).await;
    let mut client = TcpStream::connect(lb.address("http")).await.unwrap();
    let request = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(client.read_u8().await.unwrap());
    }
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&heard));
    client.write_all(b"word").await.unwrap();
    let mut rest = Vec::new();
    // Whether it ends with FIN or RST is the engine's affair.
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
    let line = lb.access_line(|line| line["status"] == 101).await;
    assert_eq!(line["cause"], "upstream_incomplete", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn close_codes_pass_in_both_directions() {
    let lb =
        Lb::start(&config(echo().await, "websocket: true, timeouts: { read: 1h, send: 1h }")).await;
    let mut socket = open(&lb).await;
    socket.send(Message::text("close")).await.unwrap();
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => {
            assert_eq!(frame.code, CloseCode::from(4001));
            assert_eq!(frame.reason.as_str(), "as told");
        }
        other => panic!("{other:?}"),
    }
    while socket.next().await.is_some() {}
    let mut socket = open(&lb).await;
    let frame = CloseFrame { code: CloseCode::from(4002), reason: "bye".into() };
    socket.close(Some(frame)).await.unwrap();
    match socket.next().await {
        // The echo of our own code: it arrived over there.
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::from(4002)),
        other => panic!("{other:?}"),
    }
    while socket.next().await.is_some() {}
    lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_websocket_passes_no_upgrade() {
    let origin = Origin::start(|request| async move {
        assert!(!request.headers().contains_key("upgrade"));
        respond(200, "plain")
    })
    .await;
    let lb = Lb::start(&config(origin.address, "access_log: true")).await;
    let response = Client::plain()
        .0
        .get(lb.url("/ws"))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_origin_refuses_is_an_ordinary_response() {
    let origin = Origin::start(|_| async { respond(403, "no tunnels") }).await;
    let lb = Lb::start(&config(origin.address, "websocket: true")).await;
    let error = tokio_tungstenite::connect_async(format!("ws://{}/ws", lb.address("http")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_whole() {
    let lb =
        Lb::start(&config(echo().await, "websocket: true, timeouts: { read: 1h, send: 1h }")).await;
    let mut socket = open(&lb).await;
    let large: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    socket.send(Message::binary(large.clone())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_data(), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_each_way_passes_whole_and_in_order() {
    // Pingora reads nothing from an endpoint while it writes to it: when more is under
    // way than the sockets hold, each waits for the other ("Known limits").
    let total = match engine() {
        Engine::Auto => 24 * 1024 * 1024,
        Engine::Pingora => 256 * 1024,
    };
    let origin = RawOrigin::start(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switch).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    })
    .await;
    let lb =
        Lb::start(&config(origin.address, "websocket: true, timeouts: { read: 60s, send: 60s }"))
            .await;
    let mut stream = TcpStream::connect(lb.address("http")).await.unwrap();
    let upgrade =
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(upgrade).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let byte = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let mut at = 0;
        while at < total {
            let piece: Vec<u8> = (at..total.min(at + 300_000)).map(byte).collect();
            writer.write_all(&piece).await.unwrap();
            at += piece.len();
        }
        writer
    });
    let mut seen = vec![0; 1 << 16];
    let mut at = 0;
    while at < total {
        let count = reader.read(&mut seen).await.unwrap();
        assert_ne!(count, 0, "it ends after {at} bytes");
        let wrong = seen[..count].iter().enumerate().find(|(i, seen)| **seen != byte(at + i));
        assert!(wrong.is_none(), "byte {} is {wrong:?}", at + wrong.unwrap().0);
        at += count;
    }
    assert_eq!(at, total);
    drop((sending.await.unwrap(), reader));
    let line = lb.access_line(|line| line["status"] == 101).await;
    assert_eq!((&line["bytes_sent"], &line["bytes_received"]), (&total.into(), &total.into()));
}
