//! Bodies that stop, in either direction.

use std::time::{Duration, Instant};

use super::frames::*;
use super::scene::{Bystander, Scene};

const GRACE: Duration = Duration::from_secs(1);

async fn scene(route: &str) -> Scene {
    Scene::with("deadlines: { grace: 1s }", route).await
}

/// The time that a body may pause is the one in which an endpoint has to answer;
/// but an endpoint that waits for the client is not to blame.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_is_the_clients_fault() {
    let scene = scene("timeouts: { read: 1s }").await;
    let mut client = Client::open(&scene.lb).await;
    let whole = [("content-length", "10")];
    for (stream, fields, some) in
        [(1, &[][..], &b"some"[..]), (3, &whole, b"some"), (5, &whole, b"")]
    {
        client.send(post(stream, "/stops", fields)).await;
        if !some.is_empty() {
            client.send(frame(DATA, 0, stream, some)).await;
        }
        let begun = Instant::now();
        let answer = client.answer(stream).await;
        assert!(answer.status == 408 || stream > 1, "{answer:?}");
        assert!(begun.elapsed() < GRACE * 3, "{:?}", begun.elapsed());
    }
    crate::support::eventually("the three in the log", || {
        let lines = scene.lb.access_lines();
        let late = lines.iter().filter(|line| line.contains("\"client_body_timeout\"")).count();
        (late == 3).then_some(())
    })
    .await;
    assert_eq!(client.get(7, "/").await.body, b"0", "the connection lives");
    assert_eq!(scene.lb.metric("lb_endpoint_failures_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_pauses_for_less_than_the_grace_arrives() {
    let scene = scene("").await;
    let mut client = Client::open(&scene.lb).await;
    client.send(post(1, "/pauses", &[])).await;
    for _ in 0..4 {
        client.send(frame(DATA, 0, 1, &[b'x'; 1000])).await;
        tokio::time::sleep(GRACE / 2).await;
    }
    client.send(frame(DATA, END_STREAM, 1, &[])).await;
    assert_eq!(client.answer(1).await.body, b"4000");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "not so yet: on HTTP/2 nobody watches the rate of a body"]
async fn a_body_that_drips_is_ended() {
    let scene = scene("").await;
    let bystander = Bystander::begin(&scene.lb).await;
    let mut client = Client::open(&scene.lb).await;
    client.send(post(1, "/drips", &[])).await;
    let mut tick = tokio::time::interval(GRACE / 5);
    let begun = Instant::now();
    client
        .flood_slowly(async || {
            tick.tick().await;
            (begun.elapsed() < GRACE * 5).then(|| frame(DATA, 0, 1, b"x"))
        })
        .await;
    let line = scene.lb.access_line(|line| line["target"] == "/drips").await;
    assert_eq!(line["cause"], "client_body_timeout", "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() < 4000.0, "{line}");
    bystander.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_is_not_the_clients_fault() {
    let scene = scene("timeouts: { read: 20s }").await;
    let mut client = Client::open(&scene.lb).await;
    client.send(post(1, "/gated", &[])).await;
    // All that the windows and the sockets hold, and then silence.
    client.send(frame(DATA, 0, 1, &[b'x'; 16_384])).await;
    client.send(frame(DATA, END_STREAM, 1, &[b'x'; 16_384])).await;
    tokio::time::sleep(GRACE * 3).await;
    scene.gate.add_permits(1);
    assert_eq!(client.answer(1).await.body, b"32768");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_streams_of_grpc_live_as_long_as_their_route_says() {
    let scene = scene("timeouts: { read: 20s }").await;
    let mut client = Client::open(&scene.lb).await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    client.send(post(1, "/pkg.Service/Method", &fields)).await;
    client.send(frame(DATA, 0, 1, b"\0\0\0\0\x02hi")).await;
    tokio::time::sleep(GRACE * 3).await;
    client.send(frame(DATA, END_STREAM, 1, b"\0\0\0\0\x02ho")).await;
    assert_eq!(client.answer(1).await.body, b"14");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: the time between two writes is not ours to set"]
async fn a_response_without_a_window_is_given_up() {
    let scene = scene("").await;
    let mut client = Client::open_with(&scene.lb, &[(4, 0)]).await;
    client.send(get(1, "/big")).await;
    // The connection is not idle meanwhile, and nothing of it is late.
    assert_eq!(client.frame().await.map(|frame| frame.kind), Some(SETTINGS));
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(scene.lb.metric("lb_endpoint_in_flight", &[]).await, 1.0);
    let line = scene.lb.access_line(|line| line["target"] == "/big").await;
    let seconds = line["duration_ms"].as_f64().unwrap() / 1000.0;
    assert!((59.0..63.0).contains(&seconds), "{line}");
    drop(client);
    scene.is_calm().await;
}
