//! What holds for every request.

use reqwest::{Client, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Site, problem};

#[tokio::test]
async fn every_response_names_its_instance_and_request() {
    let site = Site::new();
    let backend = site.start();
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/nowhere"),
        ("DELETE", "/api/v1/users"),
        ("POST", "/api/v1/users"),
        ("GET", "/ws"),
    ] {
        let response = backend.request(method, path).send().await.unwrap();
        assert_eq!(response.headers()["x-served-by"], backend.name.as_str(), "{method} {path}");
        assert_eq!(response.headers()["x-request-id"].len(), 32, "{method} {path}");
    }
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_one() {
    let site = Site::new();
    let backend = site.start();
    let answered_id = async |sent: &str| {
        let request = backend.request("GET", "/health").header("x-request-id", sent);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(answered_id("abc-123").await, "abc-123");
    assert_ne!(answered_id(&"x".repeat(129)).await, "x".repeat(129));
    assert_ne!(answered_id("two words").await, "two words");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let site = Site::new();
    let backend = site.start();
    problem(backend.get("/nowhere").await, 404).await;

    for (path, allowed) in [("/api/v1/users", "GET,HEAD,POST"), ("/health", "GET,HEAD")] {
        let response = backend.request("DELETE", path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allowed);
        problem(response, 405).await;
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let site = Site::new();
    let backend = site.start();
    for path in ["/health", "/api/v1/users", "/api/v1/diagnostics/bytes?count=1000"] {
        let length = backend.get(path).await.headers()["content-length"].clone();
        let response = backend.request("HEAD", path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-length"], length, "{path}");
        assert!(response.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn http2_is_served_by_prior_knowledge() {
    let site = Site::new();
    let backend = site.start();
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let response = client.get(backend.url("/health")).send().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.headers()["x-served-by"], backend.name.as_str());

    let uploaded = vec![b'x'; 1 << 20];
    let request = client.post(backend.url("/api/v1/diagnostics/body")).body(uploaded);
    let report: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(report["bytes"], 1 << 20);

    let response = client.head(backend.url("/nowhere")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let site = Site::new();
    let backend = site.start();
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let head = "POST /api/v1/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
        Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let site = Site::new();
    let backend = site.start();
    let body = vec![b'x'; 8 << 20];
    for (path, status) in [("/nowhere", "404"), ("/api/v1/users", "413"), ("/health", "405")] {
        let mut stream = TcpStream::connect(backend.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        // The connection is good for another request.
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();

        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains("HTTP/1.1 200 "), "{text}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::new();
    let backend = site.start();
    let mut stream = TcpStream::connect(backend.address).await.unwrap();
    let request = |path: &str, rest: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    let requests = [
        request("/api/v1/diagnostics/echo?status=201&delay_ms=50", ""),
        request("/health", ""),
        request("/nowhere", "Connection: close\r\n"),
    ];
    stream.write_all(requests.concat().as_bytes()).await.unwrap();

    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let starts = text.match_indices("HTTP/1.1 ");
    let statuses: Vec<_> = starts.map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["201", "200", "404"]);
}
