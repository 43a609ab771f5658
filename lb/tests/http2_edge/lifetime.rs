//! How long a connection serves: its share of requests, and the process's end.

use std::time::{Duration, Instant};

use super::frames::*;
use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_says_goodbye_after_its_requests_and_loses_none() {
    let scene = Scene::with("limits: { requests_per_connection: 3 }", "").await;
    let mut client = Client::open(&scene.lb).await;
    client.send([get(1, "/gated"), get(3, "/gated")].concat()).await;
    client.send(get(5, "/gated")).await;
    // The first GOAWAY announces that another will say where it ends.
    while client.goodbye.is_none() {
        client.frame().await.expect("GOAWAY, then the answers");
    }
    scene.gate.add_permits(3);
    for _ in 0..3 {
        let ended = loop {
            let frame = client.frame().await.expect("the answers");
            if frame.ends_stream() {
                break frame;
            }
        };
        assert_eq!((ended.kind, ended.flags), (DATA, END_STREAM));
    }
    client.ended().await;
    assert_eq!(client.goodbye.unwrap().code, NO_ERROR);
    scene.closed("request_limit").await;
    assert_eq!(scene.attackers_requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decent_client_loses_no_request_over_many_connections() {
    let scene = Scene::with("limits: { requests_per_connection: 5 }", "").await;
    let (client, url) = (scene.lb.client(), scene.lb.secure_url("api.test", "/"));
    for _ in 0..10 {
        let all = (0..10).map(|_| client.text(&url));
        for text in futures_util::future::join_all(all).await {
            assert_eq!(text, "0");
        }
    }
    assert_eq!(scene.attackers_requests(), 100);
    assert!(scene.lb.metric("lb_connections_total", &["listener=\"https\""]).await >= 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inert_client_does_not_keep_a_connection_that_has_served_its_share() {
    let scene = Scene::with("limits: { requests_per_connection: 1 }", "").await;
    let mut client = Client::open(&scene.lb).await;
    client.send(get(1, "/")).await;
    let begun = Instant::now();
    // Reads, but acknowledges nothing.
    client.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    scene.closed("request_limit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_streams_are_announced() {
    for (listener, expected) in [("", 128), ("http2: { concurrent_streams: 2 }", 2)] {
        let scene = Scene::with(listener, "").await;
        let mut client = Client::open(&scene.lb).await;
        let settings = client.frame().await.unwrap();
        assert_eq!(settings.kind, SETTINGS);
        assert_eq!(settings.parameter(3), Some(expected));
        let streams = 2 * expected + 1;
        let all: Vec<u8> =
            (0..=expected).flat_map(|number| get(1 + 2 * number, "/gated")).collect();
        client.send(all).await;
        let refused = client.answer(streams).await;
        assert_eq!(refused.reset, Some(REFUSED_STREAM));
        scene.gate.add_permits(expected as usize);
        assert_eq!(client.answer(1).await.body, b"0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn term_lets_streams_finish_and_waits_for_nobody_inert() {
    let mut scene = Scene::new().await;
    let mut busy = Client::open(&scene.lb).await;
    busy.send(get(1, "/gated")).await;
    scene.lb.metric_becomes("lb_endpoint_in_flight", &[], 1.0).await;
    let mut inert = Client::open(&scene.lb).await;
    let mut deaf = Client::open(&scene.lb).await;
    deaf.send(frame(PING, 0, 0, &[0; 8])).await;
    scene.lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 3.0).await;
    scene.lb.signal("TERM");
    let begun = Instant::now();
    inert.ended().await;
    assert_eq!(inert.goodbye.unwrap().code, NO_ERROR);
    scene.lb.metric_becomes("lb_connections_open", &["listener=\"https\""], 1.0).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    while busy.goodbye.is_none() {
        busy.frame().await.expect("GOAWAY");
    }
    scene.gate.add_permits(1);
    assert_eq!(busy.answer(1).await.body, b"0");
    busy.ended().await;
    assert_eq!(scene.lb.exit_code().await, Some(0));
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn term_does_not_cut_what_a_slow_client_has_yet_to_take() {
    let mut scene = Scene::new().await;
    let window = (1 << 30) - 1;
    let mut client = Client::open_with(&scene.lb, &[(4, window)]).await;
    client.send(window_update(0, window)).await;
    client.send(get(1, "/big")).await;
    let mut taken = 0;
    // Taken so far that the rest waits in buffers, ours and the system's.
    while taken < 8 * 1024 * 1024 {
        let frame = client.frame().await.expect("more");
        taken += if frame.kind == DATA { frame.payload.len() } else { 0 };
    }
    scene.lb.signal("TERM");
    scene.lb.logged("draining").await;
    // Longer than a goodbye takes, shorter than the grace.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let answer = client.answer(1).await;
    assert_eq!(taken + answer.body.len(), 16 * 1024 * 1024, "{:?}", answer.reset);
    assert_eq!(scene.lb.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn term_does_not_cut_responses_that_wait_in_our_buffers() {
    const PAGES: u32 = 120;
    let mut scene = Scene::new().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(scene.lb.address("https")).await.unwrap();
    let mut client = Client::over(&scene.lb, stream).await;
    let window = (1 << 30) - 1;
    let mut bytes = [PREFACE, &settings(&[(4, window)]), &window_update(0, window)].concat();
    bytes.extend((0..PAGES).flat_map(|number| get(1 + 2 * number, "/page")));
    client.send(bytes).await;
    crate::support::eventually("the origin to answer all", || {
        (scene.attackers_requests() == PAGES as usize).then_some(())
    })
    .await;
    // Every exchange is over; the client has yet to read a byte.
    scene.lb.metric_becomes("lb_endpoint_in_flight", &[], 0.0).await;
    scene.lb.signal("TERM");
    scene.lb.logged("draining").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut whole, mut taken) = (0, 0);
    while let Some(frame) = client.frame().await {
        if frame.kind == DATA {
            taken += frame.payload.len();
            whole += u32::from(frame.ends_stream());
        }
    }
    assert_eq!((whole, taken), (PAGES, PAGES as usize * 30 * 1024));
    assert_eq!(client.goodbye.unwrap().code, NO_ERROR);
    assert_eq!(scene.lb.exit_code().await, Some(0));
}
