//! Streams that begin only to end (CVE-2023-44487, CVE-2025-8671).

use super::frames::*;
use super::scene::{Bystander, Scene};

/// `one` for so many streams, ten to a write.
fn streams(count: u32, one: impl Fn(u32) -> Vec<u8>) -> impl FnMut() -> Option<Vec<u8>> {
    let mut next = 0;
    move || {
        let batch = next..(next + 10).min(count);
        next = batch.end;
        (!batch.is_empty()).then(|| batch.flat_map(|number| one(1 + 2 * number)).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end() {
    let scene = Scene::new().await;
    let one = |stream| [get(stream, "/gated"), reset(stream)].concat();
    scene.survives("http2_reset_flood", ENHANCE_YOUR_CALM, streams(10_000, one)).await;
    assert!(scene.attackers_requests() < 600, "{}", scene.attackers_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_of_requests_that_were_taken_up_end() {
    let scene = Scene::new().await;
    let bystander = Bystander::begin(&scene.lb).await;
    let mut client = Client::open(&scene.lb).await;
    for batch in 0..24 {
        let all = batch * 20..(batch + 1) * 20;
        let requests = all.clone().flat_map(|number| get(1 + 2 * number, "/gated"));
        client.send(requests.collect::<Vec<u8>>()).await;
        crate::support::eventually("the origin to see them", || {
            (scene.attackers_requests() >= all.end as usize).then_some(())
        })
        .await;
        client.send(all.flat_map(|number| reset(1 + 2 * number)).collect::<Vec<u8>>()).await;
    }
    assert_eq!(client.get(961, "/").await.body, b"0", "480 are borne");
    // And then all that there is left at once.
    let rest = (490..700).flat_map(|number| [get(1 + 2 * number, "/"), reset(1 + 2 * number)]);
    client.send(rest.collect::<Vec<_>>().concat()).await;
    assert_eq!(client.ended().await.unwrap().code, ENHANCE_YOUR_CALM);
    scene.closed("http2_reset_flood").await;
    assert!(scene.attackers_requests() < 700);
    bystander.end().await;
    scene.is_calm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_overflow_make_us_reset_only_so_often() {
    let scene = Scene::new().await;
    let one = |stream| [get(stream, "/gated"), window_update(stream, 0x7fff_ffff)].concat();
    scene.survives("http2_made_you_reset", ENHANCE_YOUR_CALM, streams(10_000, one)).await;
    assert!(scene.attackers_requests() < 600, "{}", scene.attackers_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_behind_the_end_is_a_breach() {
    let scene = Scene::new().await;
    let one = |stream| [get(stream, "/gated"), frame(DATA, 0, stream, b"more")].concat();
    // The library takes it for worse than it is.
    scene.survives("http2_protocol_error", PROTOCOL_ERROR, streams(10_000, one)).await;
    assert!(scene.attackers_requests() < 600, "{}", scene.attackers_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_beyond_their_length_make_us_reset_only_so_often() {
    let scene = Scene::new().await;
    let one = |stream| {
        let head = post(stream, "/gated", &[("content-length", "1")]);
        [head, frame(DATA, END_STREAM, stream, b"more than one")].concat()
    };
    scene.survives("http2_made_you_reset", ENHANCE_YOUR_CALM, streams(10_000, one)).await;
    assert!(scene.attackers_requests() < 600, "{}", scene.attackers_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_update_of_nothing_is_a_breach() {
    let scene = Scene::new().await;
    let one = |stream| [get(stream, "/gated"), window_update(stream, 0)].concat();
    scene.survives("http2_protocol_error", PROTOCOL_ERROR, streams(10_000, one)).await;
    assert!(scene.attackers_requests() < 600, "{}", scene.attackers_requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_most_are_refused_and_the_connection_lives() {
    let scene = Scene::new().await;
    let mut client = Client::open(&scene.lb).await;
    let all: Vec<u8> = (0..140).flat_map(|number| get(1 + 2 * number, "/gated")).collect();
    client.send(all).await;
    let mut refused = 0;
    while refused < 12 {
        let frame = client.frame().await.expect("the connection lives");
        if frame.kind == RST_STREAM {
            assert_eq!(frame.code(), REFUSED_STREAM);
            refused += 1;
        }
    }
    scene.gate.add_permits(128);
    let mut served = 0;
    while served < 128 {
        let frame = client.frame().await.expect("the connection lives");
        assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
        served += usize::from(frame.ends_stream());
    }
    assert_eq!(client.get(281, "/").await.body, b"0");
    assert_eq!(scene.attackers_requests(), 129);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_refusals_is_closed() {
    let scene = Scene::new().await;
    scene
        .survives(
            "http2_made_you_reset",
            ENHANCE_YOUR_CALM,
            streams(10_000, |stream| get(stream, "/gated")),
        )
        .await;
    assert!(scene.attackers_requests() <= 128 + 10);
}
