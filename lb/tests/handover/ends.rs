//! What becomes of the old process and of what is open there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::family::{Family, MOMENT, gone, yaml};
use crate::support::{Client, Origin, RawConnection, respond};

/// Answers `/slow` when the test lets it.
async fn gated() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let origin = Origin::start({
        let gate = Arc::clone(&gate);
        move |request| {
            let gate = Arc::clone(&gate);
            async move {
                if request.uri().path() == "/slow" {
                    gate.acquire().await.unwrap().forget();
                }
                respond(200, "finished")
            }
        }
    })
    .await;
    (origin, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_busy_ones_after_their_response() {
    let (origin, gate) = gated().await;
    let family = Family::start(&yaml(&origin)).await;
    let old = family.pid().unwrap();
    let mut idle = RawConnection::open(family.lb.address("http")).await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.read_until("finished").await;
    let mut busy = RawConnection::open(family.lb.address("http")).await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (client, url) = (family.lb.client(), family.lb.secure_url("api.test", "/slow"));
    let stream = tokio::spawn(async move { client.text(&url).await });
    family.lb.metric_becomes("lb_endpoint_in_flight", &[], 2.0).await;

    family.hand_over().await;
    assert_eq!(idle.read_to_end().await, "", "closed without a word");
    tokio::time::sleep(MOMENT).await;
    assert!(!stream.is_finished());
    assert_eq!(Client::plain().text(&family.lb.url("/")).await, "finished", "the new one serves");
    gate.add_permits(2);
    let answer = busy.read_to_end().await;
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert!(answer.ends_with("finished"), "{answer}");
    assert_eq!(stream.await.unwrap(), "finished");
    // Long before its drain timeout.
    gone(old).await;
    assert!(!family.lb.log().contains("the drain timeout is over"));
}

async fn echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_go_on_until_the_drain_timeout() {
    let origin = Origin::named("x").await;
    let text = yaml(&origin)
        .replace("drain_timeout: 20s", "drain_timeout: 3s")
        .replace(
            "virtual_hosts:",
            &format!(
                "  echo: {{ endpoints: [{{ address: \"{}\" }}] }}\nvirtual_hosts:",
                echo().await
            ),
        )
        .replace("upstream: api, websocket: true", "upstream: echo, websocket: true");
    let family = Family::start(&text).await;
    let old = family.pid().unwrap();
    let url = format!("ws://{}/ws", family.lb.address("http"));
    let mut tunnel = tokio_tungstenite::connect_async(url).await.unwrap().0;
    family.hand_over().await;
    for _ in 0..5 {
        tunnel.send(Message::text("there?")).await.unwrap();
        assert_eq!(tunnel.next().await.unwrap().unwrap(), Message::text("there?"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Nobody closes it: the timeout does.
    assert!(!matches!(tunnel.next().await, Some(Ok(_))));
    gone(old).await;
    assert!(family.lb.log().contains("the drain timeout is over"));
    assert_eq!(Client::plain().text(&family.lb.url("/")).await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_server_is_the_new_process_s() {
    let origin = Origin::named("x").await;
    let family = Family::start(&yaml(&origin)).await;
    let started = family.lb.metric("process_start_time_seconds", &[]).await;
    // It shows seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    family.hand_over().await;
    family.lb.ready().await;
    assert!(family.lb.metric("process_start_time_seconds", &[]).await > started);
}
