//! WebSockets.

use futures_util::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::{Backend, PATIENCE, Site, eventually, fields, problem};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(backend: &Backend, path: &str) -> Socket {
    let (socket, response) =
        tokio_tungstenite::connect_async(backend.websocket_url(path)).await.unwrap();
    assert_eq!(response.headers()["x-served-by"], backend.name.as_str());
    assert!(response.headers().contains_key("x-request-id"));
    socket
}

async fn receive<S>(socket: &mut WebSocketStream<S>) -> Message
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap()
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
}

#[tokio::test]
async fn messages_are_echoed() {
    let site = Site::new();
    let backend = site.start();
    let mut socket = connect(&backend, "/ws").await;
    for message in [
        Message::text("hällo"),
        Message::binary(vec![0, 255]),
        Message::text(""),
        Message::binary(vec![7; 64 * 1024]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(receive(&mut socket).await, message);
    }

    socket.send(Message::Ping("beat".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::Pong("beat".into()));
    assert_eq!(backend.metric("fastnext_websockets").await, 1.0);
}

#[tokio::test]
async fn a_close_is_answered_with_its_own_code() {
    let site = Site::new();
    let backend = site.start();
    for code in [1000, 1001, 4321] {
        let mut socket = connect(&backend, "/ws").await;
        socket.send(close(code, "bye")).await.unwrap();
        assert_eq!(receive(&mut socket).await, close(code, "bye"));
        assert!(socket.next().await.is_none());
    }
    eventually("the sockets are gone", async || {
        (backend.metric("fastnext_websockets").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_room_is_shared_by_its_members() {
    let site = Site::new();
    let backend = site.start();
    let mut one = connect(&backend, "/ws?room=lobby").await;
    let mut two = connect(&backend, "/ws?room=lobby").await;
    let mut other = connect(&backend, "/ws?room=attic").await;
    assert_eq!(backend.metric("fastnext_websocket_rooms").await, 2.0);

    one.send(Message::text("hello")).await.unwrap();
    assert_eq!(receive(&mut one).await, Message::text("hello"));
    assert_eq!(receive(&mut two).await, Message::text("hello"));
    other.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(receive(&mut other).await, Message::binary(vec![1]));

    drop((one, two));
    eventually("the room is gone", async || {
        (backend.metric("fastnext_websocket_rooms").await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_that_does_not_read_misses_messages_and_is_told() {
    let site = Site::new();
    let backend = site.start();
    let mut writer = connect(&backend, "/ws?room=lobby").await;

    // With a small window, so that little fits in between.
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(16 * 1024).unwrap();
    let stream = tcp.connect(backend.address).await.unwrap();
    let url = backend.websocket_url("/ws?room=lobby");
    let (mut sleeper, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();

    // 30 MiB: more than any send buffer.
    let message = Message::binary(vec![1; 60 * 1024]);
    for _ in 0..512 {
        writer.send(message.clone()).await.unwrap();
        assert_eq!(receive(&mut writer).await, message);
    }
    let told = loop {
        if let Message::Text(text) = receive(&mut sleeper).await {
            break text;
        }
    };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["type"], "lagged");
    assert!(told["missed"].as_u64().unwrap() > 100, "{told}");
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_1009() {
    let site = Site::new();
    let backend = site.start();
    let mut socket = connect(&backend, "/ws").await;
    // The server may close while this is still being sent.
    let _ = socket.send(Message::binary(vec![0; 256 * 1024])).await;
    assert!(matches!(
        receive(&mut socket).await,
        Message::Close(Some(CloseFrame { code: CloseCode::Size, .. }))
    ));
}

#[tokio::test]
async fn a_stopping_process_closes_its_sockets_with_1001() {
    let site = Site::new();
    let mut backend = site.start();
    let mut echo = connect(&backend, "/ws").await;
    let mut member = connect(&backend, "/ws?room=lobby").await;
    backend.signal(Signal::SIGTERM);
    for socket in [&mut echo, &mut member] {
        assert!(matches!(
            receive(socket).await,
            Message::Close(Some(CloseFrame { code: CloseCode::Away, .. }))
        ));
        // Reading on answers the close frame.
        while let Some(Ok(_)) = socket.next().await {}
    }
    assert_eq!(backend.wait_for_exit().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let site = Site::new();
    let backend = site.start();
    let response = backend.get("/ws").await;
    assert_eq!(response.headers()["upgrade"], "websocket");
    problem(response, 426).await;

    let Err(Error::Http(response)) =
        tokio_tungstenite::connect_async(backend.websocket_url("/ws?room=a%20b")).await
    else {
        panic!("a room of this name");
    };
    assert_eq!(response.status(), 422);

    let handshake = backend
        .request("GET", "/ws?room=")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let refusal = problem(handshake.send().await.unwrap(), 422).await;
    assert_eq!(fields(&refusal), ["room"]);
}
