//! The endpoints for testing proxies.

use std::time::{Duration, Instant};

use futures_util::stream;
use reqwest::{Body, StatusCode};
use serde_json::{Value, json};

use crate::support::{Site, fields, problem};

#[tokio::test]
async fn an_echo_shows_the_request_as_it_came() {
    let site = Site::new();
    let backend = site.start();
    let path = "/api/v1/diagnostics/echo?status=418&x=a%2Fb";
    let request = backend
        .request("PUT", path)
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-forwarded-for", "192.0.2.2");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    let echo: Value = response.json().await.unwrap();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["path"], path);
    assert_eq!(echo["version"], "HTTP/1.1");
    assert_eq!(echo["headers"]["x-forwarded-for"], json!(["192.0.2.1", "192.0.2.2"]));
    assert_eq!(echo["headers"]["host"], json!([backend.address.to_string()]));
}

#[tokio::test]
async fn an_echo_takes_its_time() {
    let site = Site::new();
    let backend = site.start();
    let start = Instant::now();
    backend.get("/api/v1/diagnostics/echo?delay_ms=200").await;
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn an_echo_refuses_what_is_no_final_status() {
    let site = Site::new();
    let backend = site.start();
    let refusal = backend.get("/api/v1/diagnostics/echo?status=101&delay_ms=-1").await;
    assert_eq!(fields(&problem(refusal, 422).await), ["delay_ms", "status"]);

    let response = backend.get("/api/v1/diagnostics/echo?status=204").await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(!response.headers().contains_key("content-length"));
}

#[tokio::test]
async fn a_body_is_counted_and_digested_without_a_limit() {
    let site = Site::new();
    let backend = site.start();

    let response = backend.request("PATCH", "/api/v1/diagnostics/body").body("abc").send().await;
    let report: Value = response.unwrap().json().await.unwrap();
    // FIPS 180-4's example.
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(report, json!({"bytes": 3, "sha256": digest}));

    // Chunked, and far beyond the limit of JSON bodies.
    let chunks = (0..256).map(|_| Ok::<_, std::io::Error>(vec![0; 64 * 1024]));
    let request = backend
        .request("POST", "/api/v1/diagnostics/body")
        .body(Body::wrap_stream(stream::iter(chunks)));
    let report: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(report["bytes"], 16 * 1024 * 1024);
}

#[tokio::test]
async fn bytes_are_sent_with_or_without_their_length() {
    let site = Site::new();
    let backend = site.start();
    let path = "/api/v1/diagnostics/bytes?count=200000";
    let expected: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();

    let response = backend.get(path).await;
    assert_eq!(response.headers()["content-length"], "200000");
    assert_eq!(response.bytes().await.unwrap(), expected);

    let response = backend.get(&format!("{path}&chunked=1")).await;
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(response.bytes().await.unwrap(), expected);

    let response = backend.request("HEAD", "/api/v1/diagnostics/bytes?count=9999999999").send();
    assert_eq!(response.await.unwrap().headers()["content-length"], "1073741824");

    let refusal = backend.get("/api/v1/diagnostics/bytes?chunked=yes").await;
    assert_eq!(fields(&problem(refusal, 422).await), ["count", "chunked"]);
}
