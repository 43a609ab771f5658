//! Clients that let us wait.

use std::time::{Duration, Instant};

use super::frames::*;
use super::scene::{Bystander, Scene};

const IDLE: Duration = Duration::from_millis(1500);

/// More than an idle connection may take to end: saying goodbye is a second.
const IDLE_AND_GOODBYE: Duration = Duration::from_millis(1500 + 1000 + 600);

async fn impatient() -> Scene {
    let deadlines = "deadlines: { http2_handshake: 400ms, head: 600ms, idle: 1500ms, grace: 1s }";
    Scene::with(deadlines, "").await
}

/// Answers nothing, and says how long the connection lived.
async fn inert(client: &mut Client) -> Duration {
    let begun = Instant::now();
    client.ended().await;
    begun.elapsed()
}

/// Answers nothing, and says how long it took to be told goodbye.
async fn told(client: &mut Client) -> Duration {
    let begun = Instant::now();
    while client.goodbye.is_none() {
        client.frame().await.expect("GOAWAY before the end");
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_after_tls_ends() {
    let scene = impatient().await;
    let mut client = Client::silent(&scene.lb).await;
    assert!(inert(&mut client).await < IDLE);
    scene.closed("http2_handshake_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_preface_ends() {
    let scene = impatient().await;
    let mut client = Client::silent(&scene.lb).await;
    client.send(&PREFACE[..10]).await;
    assert!(inert(&mut client).await < IDLE);
    scene.closed("http2_handshake_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_preface_is_refused() {
    let scene = impatient().await;
    let mut client = Client::silent(&scene.lb).await;
    client.send(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert!(inert(&mut client).await < IDLE);
    scene.closed("http2_handshake_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_without_settings_ends() {
    let scene = impatient().await;
    let mut client = Client::silent(&scene.lb).await;
    client.send(PREFACE).await;
    assert!(inert(&mut client).await < IDLE);
    assert_eq!(client.goodbye.unwrap().code, ENHANCE_YOUR_CALM);
    scene.closed("http2_handshake_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_ends_however_it_is_cut() {
    let head = request("GET", "/", &[]);
    for half in [
        frame(HEADERS, END_STREAM, 1, &head),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)[..30].to_vec(),
        [frame(HEADERS, 0, 1, &head), frame(CONTINUATION, END_HEADERS, 1, &[0; 9])[..12].to_vec()]
            .concat(),
    ] {
        let scene = impatient().await;
        let mut client = Client::open(&scene.lb).await;
        client.send(half).await;
        assert!(inert(&mut client).await < IDLE);
        assert_eq!(client.goodbye.as_ref().unwrap().code, ENHANCE_YOUR_CALM);
        scene.closed("request_head_timeout").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_ends() {
    let scene = impatient().await;
    let mut client = Client::open(&scene.lb).await;
    let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET", "/", &[]));
    let mut bytes = head.iter();
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let goodbye = client
        .flood_slowly(async || {
            tick.tick().await;
            bytes.next().map(|byte| vec![*byte])
        })
        .await;
    assert_eq!(goodbye.unwrap().code, ENHANCE_YOUR_CALM);
    assert!(begun.elapsed() < IDLE, "{:?}", begun.elapsed());
    scene.closed("request_head_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_even_if_its_client_is_inert() {
    let scene = impatient().await;
    let mut client = Client::open(&scene.lb).await;
    let lived = inert(&mut client).await;
    assert!((IDLE..IDLE_AND_GOODBYE).contains(&lived), "{lived:?}");
    assert_eq!(client.goodbye.unwrap().code, NO_ERROR);
    scene.closed("idle_timeout").await;
    scene.lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_even_if_its_client_never_reads() {
    let scene = impatient().await;
    let begun = Instant::now();
    let client = Client::open(&scene.lb).await;
    scene.closed("idle_timeout").await;
    scene.lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 0.0).await;
    let lived = begun.elapsed();
    assert!((IDLE..IDLE_AND_GOODBYE).contains(&lived), "{lived:?}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_do_not_keep_an_idle_connection() {
    let scene = impatient().await;
    let mut client = Client::open(&scene.lb).await;
    let begun = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(150));
    let goodbye = client
        .flood_slowly(async || {
            tick.tick().await;
            Some(frame(PING, 0, 0, &[0; 8]))
        })
        .await;
    assert_eq!(goodbye.unwrap().code, NO_ERROR);
    assert!(begun.elapsed() < IDLE_AND_GOODBYE);
    scene.closed("idle_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_time_begins_when_the_last_stream_ends() {
    let scene = impatient().await;
    let mut client = Client::open(&scene.lb).await;
    client.send(get(1, "/gated")).await;
    // Whatever part of an idle time the stream took is not part of the next.
    tokio::time::sleep(IDLE * 2 / 3).await;
    scene.gate.add_permits(1);
    assert_eq!(client.answer(1).await.status, 200);
    let lived = told(&mut client).await;
    let early = IDLE - Duration::from_millis(100);
    assert!((early..IDLE + Duration::from_millis(600)).contains(&lived), "{lived:?}");
    assert!(inert(&mut client).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_an_open_stream_is_not_idle() {
    let scene = impatient().await;
    let mut client = Client::open(&scene.lb).await;
    client.send(get(1, "/gated")).await;
    tokio::time::sleep(IDLE * 2 + IDLE / 2).await;
    scene.gate.add_permits(1);
    assert_eq!(client.answer(1).await.status, 200);
    assert_eq!(client.goodbye, None);
    assert_eq!(client.get(3, "/").await.body, b"0");
    let lived = told(&mut client).await;
    let early = IDLE - Duration::from_millis(100);
    assert!((early..IDLE + Duration::from_millis(600)).contains(&lived), "{lived:?}");
    assert!(inert(&mut client).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_ended() {
    let scene = impatient().await;
    let bystander = Bystander::begin(&scene.lb).await;
    let window = (1 << 30) - 1;
    let mut client = Client::open_with(&scene.lb, &[(4, window)]).await;
    client.send(window_update(0, window)).await;
    client.send(get(1, "/big")).await;
    scene.closed("response_too_slow").await;
    drop(client);
    bystander.end().await;
    scene.is_calm().await;
}
