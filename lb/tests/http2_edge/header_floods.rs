//! Heads without end, and heads that grow as they are decoded.

use super::frames::*;
use super::scene::{Bystander, Scene};
use serde_json::Value;

fn endless(first: Vec<u8>, continuation: Vec<u8>) -> impl FnMut() -> Option<Vec<u8>> {
    let mut first = Some(frame(HEADERS, 0, 1, &first));
    let more = frame(CONTINUATION, 0, 1, &continuation);
    // A mebibyte of small ones is a hundred thousand of them.
    let mut left = 16 * 1024 * 1024 / more.len().max(160);
    move || {
        first.take().or_else(|| {
            left = left.checked_sub(1)?;
            Some(more.clone())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_continuations_end() {
    let scene = Scene::new().await;
    let frames = endless(request("GET", "/", &[]), block(&[("a", "b")]));
    scene.survives("http2_continuation_flood", ENHANCE_YOUR_CALM, frames).await;
    assert_eq!(scene.attackers_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_continuations_end() {
    let scene = Scene::new().await;
    let frames = endless(request("GET", "/", &[]), Vec::new());
    scene.survives("http2_continuation_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_continuations_end() {
    let scene = Scene::new().await;
    let value = "v".repeat(4000);
    let frames = endless(
        request("GET", "/", &[]),
        block(&[("a", &value), ("b", &value), ("c", &value), ("d", &value)]),
    );
    scene.survives("http2_continuation_flood", ENHANCE_YOUR_CALM, frames).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_references_ends() {
    let scene = Scene::new().await;
    // An entry of almost the whole table, then nothing but references to it.
    let mut entry = vec![0x40];
    string(&mut entry, b"x-bomb");
    string(&mut entry, &[b'v'; 4000]);
    let mut head = request("GET", "/", &[]);
    head.extend_from_slice(&entry);
    head.resize(16_000, 0x80 | 62);
    let mut frames = Some(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    scene.survives("http2_header_bomb", ENHANCE_YOUR_CALM, move || frames.take()).await;
    assert_eq!(scene.attackers_requests(), 0);
}

/// A head of `size` bytes or a little less, in frames.
fn head_of(size: usize) -> Vec<u8> {
    let value = "v".repeat(1000);
    let names: Vec<String> =
        (0..size / 1050).map(|number| format!("x-filler-{number:02}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &*value)).collect();
    let head = request("GET", "/large", &fields);
    let mut chunks = head.chunks(16_384).peekable();
    let mut bytes = frame(HEADERS, END_STREAM, 1, chunks.next().unwrap());
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(CONTINUATION, flags, 1, chunk));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_our_limit_is_answered_by_us() {
    let scene = Scene::new().await;
    for size in [34, 48, 60] {
        let mut client = Client::open(&scene.lb).await;
        client.send(head_of(size * 1024)).await;
        assert_eq!(client.answer(1).await.status, 431, "{size} KiB");
        assert_eq!(client.get(3, "/").await.body, b"0", "the connection lives");
    }
    let large = |line: &Value| line["target"] == "/large" && line["status"] == 431;
    assert_eq!(scene.lb.access_line(large).await["cause"], "headers_too_large");
    assert_eq!(scene.attackers_requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_what_is_decoded_is_refused_and_the_connection_lives() {
    let scene = Scene::new().await;
    let mut client = Client::open(&scene.lb).await;
    client.send(head_of(90 * 1024)).await;
    assert_eq!(client.answer(1).await.status, 431);
    assert_eq!(client.get(3, "/").await.body, b"0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_in_pieces_is_put_together() {
    let scene = Scene::new().await;
    let mut client = Client::open(&scene.lb).await;
    let head = request("GET", "/pieces", &[("x-last", "1")]);
    let mut bytes = frame(HEADERS, END_STREAM, 1, &head[..10]);
    for chunk in head[10..head.len() - 5].chunks(30) {
        bytes.extend(frame(CONTINUATION, 0, 1, chunk));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &head[head.len() - 5..]));
    for byte in bytes {
        client.send([byte]).await;
    }
    assert_eq!(client.answer(1).await.status, 200);
    assert_eq!(scene.origin.requests()[0].header("x-last").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_that_the_library_resets_end_the_connection() {
    for (fields, code, cause) in [
        (vec![(":method", "GET"), (":path", "/")], ENHANCE_YOUR_CALM, "http2_made_you_reset"),
        (
            vec![
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "api.test"),
                (":path", "/"),
                ("connection", "close"),
            ],
            ENHANCE_YOUR_CALM,
            "http2_made_you_reset",
        ),
    ] {
        let scene = Scene::new().await;
        let head = block(&fields);
        let mut stream = 1_u32;
        let more = move || {
            stream += 2;
            (stream < 10_000).then(|| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head))
        };
        scene.survives(cause, code, more).await;
        assert_eq!(scene.attackers_requests(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_thirty_one_malformed_requests_are_borne() {
    let scene = Scene::new().await;
    let bystander = Bystander::begin(&scene.lb).await;
    let mut client = Client::open(&scene.lb).await;
    let head = block(&[(":method", "GET"), (":scheme", "https"), (":path", "/")]);
    for number in 0..31 {
        let stream = 1 + 2 * number;
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)).await;
        assert_eq!(client.answer(stream).await.status, 400);
    }
    assert_eq!(client.get(63, "/").await.body, b"0");
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 65, &head)).await;
    assert_eq!(client.ended().await.unwrap().code, ENHANCE_YOUR_CALM);
    scene.closed("http2_malformed_flood").await;
    bystander.end().await;
}
