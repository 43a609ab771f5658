//! Frames that cost the sender nothing.

use std::iter::repeat_with;

use super::frames::*;
use super::scene::Scene;

/// So many frames, a thousand in a write.
fn repeated(count: usize, one: Vec<u8>) -> impl FnMut() -> Option<Vec<u8>> {
    let mut batches = repeat_with(move || one.repeat(1000)).take(count / 1000);
    move || batches.next()
}

/// The same behind something that opens a stream.
fn behind(first: Vec<u8>, count: usize, one: Vec<u8>) -> impl FnMut() -> Option<Vec<u8>> {
    let mut first = Some(first);
    let mut rest = repeated(count, one);
    move || first.take().or_else(&mut rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_bounded() {
    let scene = Scene::new().await;
    let ping = frame(PING, 0, 0, &[0; 8]);
    scene.survives("http2_ping_flood", ENHANCE_YOUR_CALM, repeated(10_000, ping)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_bounded() {
    let scene = Scene::new().await;
    let one = settings(&[(4, 65_535)]);
    scene.survives("http2_settings_flood", ENHANCE_YOUR_CALM, repeated(10_000, one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_is_bounded() {
    let scene = Scene::new().await;
    let frames = behind(post(1, "/upload", &[]), 50_000, frame(DATA, 0, 1, &[]));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_nothing_but_padding_is_bounded() {
    const PADDED: u8 = 8;
    let scene = Scene::new().await;
    let frames = behind(post(1, "/upload", &[]), 50_000, frame(DATA, PADDED, 1, &[0]));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_are_bounded() {
    let scene = Scene::new().await;
    let frames = repeated(50_000, frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 10]));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_unknown_types_are_bounded() {
    let scene = Scene::new().await;
    let frames = repeated(50_000, frame(0xfa, 0xff, 1, b"whatever"));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_updates_are_bounded() {
    let scene = Scene::new().await;
    let frames = behind(get(1, "/gated"), 100_000, window_update(1, 1));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goodbyes_are_bounded() {
    let scene = Scene::new().await;
    let frames = behind(get(1, "/gated"), 50_000, frame(GOAWAY, 0, 0, &[0; 8]));
    scene.survives("http2_empty_frame_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_much_may_update_its_windows_often() {
    let scene = Scene::new().await;
    let mut client = Client::open(&scene.lb).await;
    client.send(get(1, "/big")).await;
    let mut taken = 0;
    while taken < 16 * 1024 * 1024 {
        let frame = client.frame().await.expect("more of the body");
        if frame.kind != DATA {
            continue;
        }
        taken += frame.payload.len();
        // Ten updates for each frame, where two would do.
        let share = (frame.payload.len() / 5).max(1) as u32;
        let updates = [window_update(0, share), window_update(1, share)].concat().repeat(5);
        let rest = (frame.payload.len() as u32).saturating_sub(share * 5);
        client.send(updates).await;
        if rest > 0 {
            client.send([window_update(0, rest), window_update(1, rest)].concat()).await;
        }
    }
    assert_eq!(client.goodbye, None);
    assert_eq!(scene.lb.metric("lb_connections_closed_total", &[]).await, 0.0);
}
